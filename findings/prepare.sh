# Sourced by the scripts beside it: a folder that goes away, a free port, an environment with paho, a broker that ends.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=$(mktemp -d)
BROKER=""
PAHO=2.1.0

finish() {
    if test -n "$BROKER"; then kill "$BROKER" 2>/dev/null || true; wait "$BROKER" 2>/dev/null || true; fi
    rm -rf "$WORK"
}
trap finish EXIT

python3 -m venv "$WORK/venv"
PYTHON=$WORK/venv/bin/python
"$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "paho-mqtt==$PAHO" "$@"
PORT=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

jars() { # group:artifact:version...: their jars and those that they need, in $WORK/jars
    {
        echo '<project><modelVersion>4.0.0</modelVersion><groupId>findings</groupId><artifactId>jars</artifactId>'
        echo '<version>1</version><packaging>pom</packaging><dependencies>'
        for one in "$@"; do
            IFS=: read -r group artifact version <<<"$one"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$WORK/pom.xml"
    mvn -B -q -f "$WORK/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$WORK/jars" -DincludeScope=runtime
}

start() { # the broker's command; done once it answers a CONNECT
    (cd "$WORK" && exec "$@") >"$WORK/broker.log" 2>&1 &
    BROKER=$!
    for _ in $(seq 300); do
        if "$PYTHON" - "$PORT" 2>/dev/null <<'PY'
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2) as link:
    link.sendall(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x0a\x00\x03try")
    sys.exit(link.recv(1) != b"\x20")
PY
        then return; fi
        kill -0 "$BROKER" || break
        sleep 0.2
    done
    cat "$WORK/broker.log" >&2
    exit 1
}
