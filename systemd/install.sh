#!/bin/bash
# Installs or upgrades Tidegate on a gateway with Debian 12 or newer, from the folder that this script comes in.
#
#     systemd/install.sh [--packages FOLDER]
#
# As root. Run it again with a newer folder to upgrade: what is there already and equal is left alone. It never changes
# a configuration: neither /etc/tidegate/config.yaml nor what mosquitto has. A version gets a folder of its own below
# /opt, and the link /opt/tidegate is set only when the new version takes the configuration. To go back, set the link
# to the folder of the version before, which is kept, and restart.
#
# --packages FOLDER: take Python packages from there and from nowhere else, for gateways without a network.
# Exit status: 0 well; 1 a step failed; 2 the configuration is not valid, and the daemon was left as it was.
set -euo pipefail
from=$PWD
cd "$(dirname "$0")/.."
umask 022

say() { printf '==> %s\n' "$1"; }
fail() { printf 'systemd/install.sh: %s\n' "$1" >&2; exit "${2:-1}"; }

pip_options=()
while [ $# -gt 0 ]; do
    case $1 in
        --packages)
            packages=$(cd "$from" && realpath -e "${2:-}" 2>/dev/null) || fail "--packages needs a folder that is there"
            pip_options=(--no-index --find-links "$packages")
            shift 2 ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' systemd/install.sh; exit 0 ;;
        *) fail "unknown argument $1 (see --help)" ;;
    esac
done
[ "$(id -u)" -eq 0 ] || fail "needs root, for it installs a unit: sudo systemd/install.sh"
[ -d /run/systemd/system ] || fail "systemd does not run here; docs/OPERATIONS.md says what else can supervise it"
command -v apt-get >/dev/null || fail "this is not a Debian: docs/OPERATIONS.md lists the steps to do by hand"

# ---- what Debian brings

missing=()
for package in mosquitto python3-venv; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)" = "ii " ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    say "Installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    get=(apt-get install -q -y --no-install-recommends "${missing[@]}")
    # The lists of a machine that is just set up are empty or old.
    "${get[@]}" >/dev/null 2>&1 || { apt-get update -q && "${get[@]}"; } >&2 || fail "apt-get cannot install ${missing[*]}"
fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, and python3 is $(python3 -V 2>&1)"

# ---- the version, in a folder of its own

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
# Of what is installed and by which Python: an equal folder needs no second one.
content=$({ python3 -V; find agent drivers models sync docs/OPERATIONS.md pyproject.toml requirements/runtime.txt \
    -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; } | sha256sum | cut -c1-8)
home=/opt/tidegate-$version-$content
[ ! -e /opt/tidegate ] || [ -L /opt/tidegate ] || fail "/opt/tidegate is not a link: move it away"
before=$(readlink -f /opt/tidegate || true)
# The last file that is written into it.
complete=$home/share/doc/OPERATIONS.md
if [ -e "$complete" ]; then
    say "Tidegate $version is in $home already"
else
    say "Installing Tidegate $version into $home"
    rm -rf "$home"
    building=$(mktemp -d)
    trap 'rm -rf "$building"; [ -e "$complete" ] || rm -rf "$home"' EXIT
    pip() { "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir "${@:2}"; }
    python3 -m venv "$building/tools"
    pip "$building/tools" "${pip_options[@]}" --require-hashes -r requirements/build.txt
    "$building/tools/bin/hatchling" build -t wheel -d "$building/dist" >/dev/null 2>&1 ||
        fail "the wheel cannot be built: is this folder complete?"
    python3 -m venv "$home"
    pip "$home" "${pip_options[@]}" --require-hashes --only-binary :all: -r requirements/runtime.txt
    pip "$home" --no-deps --no-index "$building"/dist/tidegate-*.whl
    "$home/bin/tidegate" --version >/dev/null
    install -D -m 644 docs/OPERATIONS.md "$complete"
    sync -f "$home"
fi

# ---- the user and the folders

put() {
    # A file that is ours: replaced if it is another one. Whether it was is the exit status.
    cmp -s "$1" "$2" && return 1
    say "Writing $2"
    install -D -m 644 "$1" "$2"
}
put systemd/tidegate.sysusers /usr/lib/sysusers.d/tidegate.conf || true
put systemd/tidegate.tmpfiles /usr/lib/tmpfiles.d/tidegate.conf || true
systemd-sysusers tidegate.conf
systemd-tmpfiles --create tidegate.conf

# ---- mosquitto

broker=/etc/mosquitto/conf.d/tidegate.conf
if [ -e $broker ]; then
    cmp -s deploy/mosquitto/tidegate.conf $broker ||
        say "Leaving $broker as it is; deploy/mosquitto/tidegate.conf has what this version comes with"
elif grep -qsE '^[[:space:]]*(listener|port)[[:space:]]' /etc/mosquitto/mosquitto.conf /etc/mosquitto/conf.d/*.conf; then
    say "Leaving mosquitto as it is, for it has listeners of its own; see deploy/mosquitto/tidegate.conf for its bounds"
else
    say "Writing $broker, and restarting mosquitto"
    install -m 644 deploy/mosquitto/tidegate.conf $broker
    if ! systemctl restart mosquitto; then
        rm -f $broker
        systemctl restart mosquitto || true
        fail "mosquitto does not start with $broker, so it was removed again: journalctl -u mosquitto says why"
    fi
fi

# ---- the configuration, which is never overwritten

config=/etc/tidegate/config.yaml
fresh=
if [ ! -e $config ]; then
    fresh=yes
    say "Writing $config, an example"
    install -m 640 -g tidegate config.yaml $config
fi
# As the daemon sees it: what the unit and its drop-ins set, and secrets where systemd takes them from.
mapfile -t environment < <(systemctl show tidegate -p Environment --value | xargs -rn1 printf '%s\n')
if ! env CREDENTIALS_DIRECTORY=/etc/tidegate/secrets "${environment[@]}" \
    "$home/bin/tidegate" check --config "$config"; then
    fail "$config is not valid for $version: correct it and run this again; the daemon was left as it is" 2
fi

# ---- from here on the new version counts

changed=
if put systemd/tidegate.service /etc/systemd/system/tidegate.service; then
    changed=yes
    systemctl daemon-reload
fi
if [ "$before" != "$home" ]; then
    say "Setting /opt/tidegate to $home"
    changed=yes
    ln -sfn "$home" /opt/tidegate.new
    mv -T /opt/tidegate.new /opt/tidegate
    for old in /opt/tidegate-*/share/doc/OPERATIONS.md; do
        old=${old%/share/doc/OPERATIONS.md}
        [ "$old" = "$home" ] || [ "$old" = "$before" ] || { say "Removing $old"; rm -rf "$old"; }
    done
fi
[ -e /usr/local/bin/tidegate ] || ln -s /opt/tidegate/bin/tidegate /usr/local/bin/tidegate
systemctl --quiet enable tidegate
if [ -n "$fresh" ]; then
    say "Tidegate $version is installed. Make $config yours, then: systemctl restart tidegate"
elif [ -z "$changed" ] && systemctl --quiet is-active tidegate; then
    say "Tidegate $version runs already"
else
    say "Starting Tidegate $version"
    systemctl restart tidegate || fail "it does not start: journalctl -u tidegate says why"
fi
