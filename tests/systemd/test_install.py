"""README's three lines on a Debian that was just set up, and the installer again: to upgrade, or by mistake."""

from __future__ import annotations

import json

import pytest

from tests.support.machine import Machine, readme_lines

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(400)]

INSTALL = "tidegate-0.1.0/systemd/install.sh"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    made = Machine(tmp_path_factory.mktemp("machine"))
    made.put("/usr/local/bin/editor", '#!/bin/sh\nsed -i "s/barge-1/pen-7/; s/site_001/fjord/" "$1"\n')
    (made.root / "usr/local/bin/editor").chmod(0o755)
    with made:
        yield made


@pytest.fixture(scope="module")
def installed(machine):
    machine.said = machine.install()
    return machine


def pid(machine) -> str:
    return machine.unit("MainPID")["MainPID"]


def status(machine) -> dict:
    return json.loads(machine.shell("tidegate status --json || true"))


def test_the_way_from_a_debian_to_a_running_unit_is_three_lines(installed):
    assert len(readme_lines()) == 3
    assert installed.unit("ActiveState", "UnitFileState") == {"ActiveState": "active", "UnitFileState": "enabled"}
    assert [line for line in installed.said.splitlines() if line.startswith("==> ")] == [
        "==> Installing mosquitto python3-venv",
        f"==> Installing Tidegate 0.1.0 into {installed.shell('readlink -f /opt/tidegate').strip()}",
        "==> Writing /usr/lib/sysusers.d/tidegate.conf",
        "==> Writing /usr/lib/tmpfiles.d/tidegate.conf",
        "==> Writing /etc/mosquitto/conf.d/tidegate.conf, and restarting mosquitto",
        "==> Writing /etc/tidegate/config.yaml, an example",
        "==> Writing /etc/systemd/system/tidegate.service",
        f"==> Setting /opt/tidegate to {installed.shell('readlink -f /opt/tidegate').strip()}",
        "==> Tidegate 0.1.0 is installed. Make /etc/tidegate/config.yaml yours, then: systemctl restart tidegate",
    ]


def test_it_hears_the_broker_that_was_installed_with_it_under_its_own_name(installed):
    installed.until(lambda: "mqtt:barge" not in installed.unit("StatusText")["StatusText"], "connected to mosquitto")
    told = status(installed)
    assert (told["gateway"], told["site"]) == ("pen-7", "fjord")
    assert {unit["name"]: unit["state"] for unit in told["units"]}["mqtt:barge"] == "running"


def test_again_it_changes_nothing_and_says_so(installed):
    before = pid(installed)
    said = installed.shell(INSTALL)
    home = installed.shell("readlink -f /opt/tidegate").strip()
    assert [line for line in said.splitlines() if line.startswith("==> ")] == [
        f"==> Tidegate 0.1.0 is in {home} already",
        "==> Tidegate 0.1.0 runs already",
    ]
    assert pid(installed) == before


def test_an_upgrade_waits_for_a_valid_configuration_and_leaves_all_configurations_as_they_are(installed):
    before, first = pid(installed), installed.shell("readlink -f /opt/tidegate").strip()
    installed.shell("install -D /dev/null /opt/tidegate-0.0.9/share/doc/OPERATIONS.md")
    installed.shell("echo '# changed by hand' >> /etc/mosquitto/conf.d/tidegate.conf")
    installed.shell("echo 'a_key_of_long_ago: 1' >> /etc/tidegate/config.yaml")
    installed.shell("sed -i 's/^version = .*/version = \"0.2.0\"/' tidegate-0.1.0/pyproject.toml")
    said = installed.shell(INSTALL, status=2)
    assert "a_key_of_long_ago: unknown key" in said
    assert "/etc/tidegate/config.yaml is not valid for 0.2.0" in said
    assert (pid(installed), installed.shell("readlink -f /opt/tidegate").strip()) == (before, first)

    installed.shell("sed -i /a_key_of_long_ago/d /etc/tidegate/config.yaml")
    kept = installed.shell("cat /etc/tidegate/config.yaml /etc/mosquitto/conf.d/tidegate.conf")
    # As a power cut in the middle of it would leave the version's folder.
    installed.shell("rm /opt/tidegate-0.2.0-*/share/doc/OPERATIONS.md /opt/tidegate-0.2.0-*/bin/tidegate")
    # For a gateway without a network, from where it was typed.
    installed.shell("rm /etc/pip.conf")
    said = installed.shell(f"{INSTALL} --packages ../srv/packages")
    second = installed.shell("readlink -f /opt/tidegate").strip()
    assert f"==> Installing Tidegate 0.2.0 into {second}" in said
    assert "==> Leaving /etc/mosquitto/conf.d/tidegate.conf as it is" in said
    assert "==> Removing /opt/tidegate-0.0.9" in said
    assert "==> Starting Tidegate 0.2.0" in said
    assert installed.shell("cat /etc/tidegate/config.yaml /etc/mosquitto/conf.d/tidegate.conf") == kept
    assert installed.shell("ls -d /opt/tidegate-*").split() == [first, second]
    assert pid(installed) not in ("0", before)


def test_arguments_that_are_wrong_say_what_is_right(installed):
    assert "--packages needs a folder" in installed.shell(f"{INSTALL} --packages /nowhere", status=1)
    assert "see --help" in installed.shell(f"{INSTALL} --fast", status=1)
    assert "--packages FOLDER" in installed.shell(f"{INSTALL} --help")
