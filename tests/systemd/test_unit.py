"""The unit on a real systemd: READY, STATUS, reload, the watchdog, restarts, an orderly stop.

No broker and no link is there for it: all of this must hold without them. Its camera is a file.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.machine import Machine, readme_lines

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(300)]

CONFIG = """\
gateway: {id: gw-test, site: test}
kafka:
  brokers: ["127.0.0.1:9092"]
  security: sasl_plaintext
  username: gw-test
  password_file: ${CREDENTIALS_DIRECTORY}/kafka-password
mqtt:
  - name: barge
    port: 1884
    local: true
    username: gw-test
    password_file: ${CREDENTIALS_DIRECTORY}/mqtt-password
    subscriptions:
      - {topic: "farm/{site}/{tank}/{metric}", unit: degC}
models:
  - {name: fish, path: "package:fish/1"}
cameras:
  - {name: pen-3, source: /srv/clip.mp4, tank: pen-3, model: fish, loop: true}
"""
CLIP = Path(__file__).parents[1] / "data/video/9870_Gerres.mp4"
PAGE = "import urllib.request as web; print(web.urlopen('http://127.0.0.1:9464/metrics', timeout=5).read().decode())"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    made = Machine(tmp_path_factory.mktemp("machine"))
    made.put("/etc/tidegate/config.yaml", CONFIG)
    shutil.copy(CLIP, made.root / "srv/clip.mp4")
    example = Path(__file__).parents[2] / "systemd/credentials.example"
    made.put("/etc/systemd/system/tidegate.service.d/credentials.conf", example.read_text())
    for name in ("kafka-password", "mqtt-password"):
        made.put(f"/etc/tidegate/secrets/{name}", "not a real one\n")
        (made.root / f"etc/tidegate/secrets/{name}").chmod(0o600)
    with made:
        yield made


@pytest.fixture(scope="module")
def started(machine):
    archive, install, _ = readme_lines()
    machine.shell(archive)
    machine.shell(install)
    return machine


def is_active(machine) -> bool:
    return machine.unit("ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}


def wait_for_restart(machine, pid: str) -> dict[str, str]:
    """Wait until another process than `pid` has said READY; return how the earlier one ended."""

    def replaced() -> bool:
        return is_active(machine) and machine.unit("MainPID")["MainPID"] not in ("0", pid)

    machine.until(replaced, "restarted", timeout=120)
    return machine.unit("NRestarts")


def test_the_unit_is_clean_where_it_is_installed(started):
    assert started.ask("systemd-analyze", "--man=no", "verify", "/etc/systemd/system/tidegate.service") == ""


def test_start_returns_when_the_daemon_is_ready_and_says_what_it_waits_for(started):
    assert is_active(started)
    status = started.unit("StatusText", "User", "WatchdogTimestampMonotonic")
    assert status["User"] == "tidegate"
    assert "mqtt:barge" in status["StatusText"]


def test_folders_are_the_units_and_closed_to_others(started):
    listing = started.ask("stat", "-c", "%a %U %G", "/var/lib/tidegate", "/run/tidegate", "/etc/tidegate")
    assert listing.splitlines() == ["750 tidegate tidegate", "750 tidegate tidegate", "750 root tidegate"]


def test_secrets_are_roots_alone_and_reach_the_daemon_as_credentials(started):
    secrets = started.ask("stat", "-c", "%a %U", "/etc/tidegate/secrets", "/etc/tidegate/secrets/mqtt-password")
    assert secrets.splitlines() == ["700 root", "600 root"]
    # A password that it could not read would be Misconfigured; what it waits for is the broker alone.
    started.until(
        lambda: "mqtt:barge is waiting" in started.unit("StatusText")["StatusText"], "waiting for the broker"
    )
    assert "failed" not in started.unit("StatusText")["StatusText"]
    assert "not a real one" not in started.journal()


def test_camera_and_model_work_inside_the_sandbox(started):
    def frames() -> int:
        page = started.ask("/opt/tidegate/bin/python", "-c", PAGE, check=False)
        seen = re.search(r'^tidegate_model_frames_total{model="fish"} (\d+)', page, re.MULTILINE)
        return int(seen[1]) if seen else 0

    started.until(lambda: frames() > 3, "looking at frames", timeout=90)


def test_the_group_asks_the_daemon_through_its_socket(started):
    as_group = ["setpriv", "--reuid=65534", "--regid=tidegate", "--clear-groups"]
    told = json.loads(started.ask(*as_group, "/opt/tidegate/bin/tidegate", "status", "--json", check=False))
    units = {unit["name"]: unit["state"] for unit in told["units"]}
    assert units["camera:pen-3"] == "running"
    assert units["mqtt:barge"] == "waiting"


def test_a_reload_keeps_the_process_and_comes_back_ready(started):
    before = started.unit("MainPID", "NRestarts")
    started.ask("systemctl", "reload", "tidegate")
    started.until(lambda: is_active(started), "ready after the reload")
    assert started.unit("MainPID", "NRestarts") == before


def test_a_reload_of_nonsense_is_refused_and_the_old_document_goes_on(started):
    before = started.unit("MainPID")
    started.put("/etc/tidegate/config.yaml", CONFIG + "nonsense: true\n")
    started.ask("systemctl", "reload", "tidegate")
    started.until(lambda: "nonsense" in started.journal(), "refused")
    started.put("/etc/tidegate/config.yaml", CONFIG)
    started.until(lambda: is_active(started), "ready after the refusal")
    assert started.unit("MainPID") == before


def test_killed_it_is_back(started):
    before = started.unit("MainPID", "NRestarts")
    started.ask("systemctl", "kill", "--kill-who=main", "--signal=KILL", "tidegate")
    after = wait_for_restart(started, before["MainPID"])
    assert int(after["NRestarts"]) == int(before["NRestarts"]) + 1


def test_hung_it_is_ended_by_the_watchdog_and_is_back(started):
    before = started.unit("MainPID", "NRestarts")
    started.ask("systemctl", "kill", "--kill-who=main", "--signal=STOP", "tidegate")
    after = wait_for_restart(started, before["MainPID"])
    assert int(after["NRestarts"]) == int(before["NRestarts"]) + 1
    journal = started.journal()
    assert "Watchdog timeout" in journal
    assert "most recent call first" in journal  # where it hung, for whoever looks into it


def test_a_stop_is_orderly_and_leaves_no_process(started):
    started.ask("systemctl", "stop", "tidegate")
    ended = started.unit("ActiveState", "Result", "ExecMainStatus", "ExecMainCode")
    assert ended == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0", "ExecMainCode": "1"}
    assert started.ask("find", "/proc", "-maxdepth", "1", "-user", "tidegate", check=False) == ""
