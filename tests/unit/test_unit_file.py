"""The unit and its companions, judged by systemd's own tools."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "tidegate.service"

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def root(tmp_path):
    """As much of a root as `verify` looks at: systemd's own units, and the programs that ours names."""
    system = tmp_path / "usr/lib/systemd"
    system.mkdir(parents=True)
    shutil.copytree("/lib/systemd/system", system / "system", symlinks=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    for program in ("opt/tidegate/bin/tidegate", "bin/kill"):
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        path.chmod(0o755)
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    shutil.copy(UNIT, units)
    return tmp_path


@pytest.mark.parametrize("with_credentials", [False, True], ids=["alone", "with credentials"])
def test_verify_has_nothing_to_say(root, with_credentials):
    if with_credentials:
        dropin = root / "etc/systemd/system/tidegate.service.d"
        dropin.mkdir()
        shutil.copy(FOLDER / "credentials.example", dropin / "credentials.conf")
    done = run("systemd-analyze", f"--root={root}", "--man=no", "verify", "tidegate.service")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_verify_is_awake(root):
    unit = root / "etc/systemd/system/tidegate.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSec=soon"))
    done = run("systemd-analyze", f"--root={root}", "--man=no", "verify", "tidegate.service")
    assert "Failed to parse" in done.stderr


def test_exposure_is_at_most_two():
    # The threshold counts tenths.
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", UNIT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_account_and_folders_are_made_as_the_unit_expects(tmp_path):
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", FOLDER / "tidegate.sysusers")
    assert done.returncode == 0, done.stderr
    account = (tmp_path / "etc/passwd").read_text().splitlines()[-1].split(":")
    assert (account[0], account[5]) == ("tidegate", "/var/lib/tidegate")
    assert account[6].endswith("/nologin")
    lines = [line.split() for line in (FOLDER / "tidegate.tmpfiles").read_text().splitlines() if line[0] != "#"]
    made = {path: (mode, user, group) for _, path, mode, user, group, _ in lines}
    assert made["/etc/tidegate"] == (setting(UNIT.read_text(), "ConfigurationDirectoryMode"), "root", account[0])
    assert made["/etc/tidegate/secrets"] == ("0700", "root", "root")


def test_paths_in_the_unit_are_those_of_the_schema():
    from agent.config import schema  # noqa: PLC0415 - the one test here that needs the hub

    gateway = schema.Gateway(id="g", site="s")
    text = UNIT.read_text()
    assert gateway.state_dir == Path("/var/lib") / setting(text, "StateDirectory")
    assert gateway.runtime_dir == Path("/run") / setting(text, "RuntimeDirectory")


def setting(text: str, name: str) -> str:
    (value,) = [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]
    return value


def test_four_stages_of_stopping_fit_into_the_time_systemd_gives():
    from agent.supervisor import Policy, Stage  # noqa: PLC0415 - see above

    assert len(Stage) * Policy().stop_s < int(setting(UNIT.read_text(), "TimeoutStopSec"))
