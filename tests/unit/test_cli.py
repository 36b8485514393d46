"""The verbs as a shell sees them: what is said where, and with which exit status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__
from agent.http import ControlSocket

ROOT = Path(__file__).parents[2]
TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
BROKEN = "gateway: {id: a, site: b}\nkafka: {brokers: [x]}\nmqtt: [{name: m, local: true, prot: 1}]\n"


def tidegate(*words, **how):
    env = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")} | how.pop("env", {})
    return subprocess.run(
        [TIDEGATE, *words], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=env, **how
    )


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(BROKEN)
    return path


def test_the_version_is_that_of_the_package():
    done = tidegate("--version")
    assert (done.returncode, done.stdout) == (0, f"tidegate {__version__}\n")


def test_help_names_every_verb_and_every_exit_status():
    done = tidegate("-h")
    assert done.returncode == 0
    words = ["run", "check", "status", "reload", "log", "audit", "schema"]
    for word in (*words, "0  ok", "3  the daemon is not running"):
        assert word in done.stdout


def test_an_unknown_verb_is_a_mistake_in_the_command():
    done = tidegate("frobnicate")
    assert done.returncode == 2
    assert "frobnicate" in done.stderr


class TestCheck:
    def test_finds_nothing_wrong_with_the_shipped_document(self):
        done = tidegate("check", "--config", "config.yaml")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("config.yaml: no problems, revision ")

    def test_gives_one_line_a_problem_and_no_traceback(self, broken):
        done = tidegate("check", "-c", str(broken))
        assert done.returncode == 2
        assert done.stdout == ""
        hint = "such as kafka.example:9092; ports end at 65535"
        assert done.stderr.splitlines() == [
            f"{broken}:2: kafka.brokers[0]: must be host:port, not x (hint: {hint})",
            f"{broken}:3: mqtt[0].prot: unknown key (hint: did you mean port?)",
        ]

    def test_tells_a_script_the_same(self, broken):
        done = tidegate("check", "--json", env={"TIDEGATE_CONFIG": str(broken)})
        assert (done.returncode, done.stderr) == (2, "")
        answer = json.loads(done.stdout)
        assert not answer["valid"]
        assert [(problem["line"], problem["path"]) for problem in answer["problems"]] == [
            (2, "kafka.brokers[0]"),
            (3, "mqtt[0].prot"),
        ]

    def test_reads_a_push_from_standard_input(self):
        text = BROKEN.replace("[x]", "['${HOME}:1']").replace(", prot: 1", "")
        done = tidegate("check", "-c", "-", "--pushed", input=text)
        assert done.returncode == 2
        assert "standard input:2: kafka.brokers[0]: a push may not read" in done.stderr
        assert tidegate("check", "-c", "-", input=text, env={"HOME": "h"}).returncode == 0

    def test_holds_a_push_against_the_configuration_of_its_gateway(self, folder):
        good = BROKEN.replace("[x]", "['k:1']").replace(", prot: 1", "") + "fleet: {partition: 0}\n"
        (folder / "config.yaml").write_text(good)
        words = ("check", "-c", "-", "--pushed", "--against", str(folder / "config.yaml"))
        done = tidegate(*words, input=good.replace("k:1", "k:2"))
        assert done.returncode == 2
        assert done.stderr.startswith("standard input:2: kafka.brokers: a push may not change this key")
        assert tidegate(*words, input=good + "sensors: []\n").returncode == 0
        assert "add --pushed" in tidegate("check", "--against", "config.yaml").stderr

    def test_says_which_file_is_not_there(self, tmp_path):
        done = tidegate("check", "-c", str(tmp_path / "none"))
        assert (done.returncode, done.stdout) == (2, "")
        assert "cannot be read: no such file or directory" in done.stderr

    def test_finds_what_a_reload_would_refuse_although_the_schema_lets_it_pass(self, folder):
        path = folder / "config.yaml"
        path.write_text(
            'gateway: {id: a, site: b}\nkafka: {brokers: ["k:1"]}\nmqtt: [{name: m, local: true}]\n'
            "models: [{name: fish, path: nowhere}]\n"
        )
        done = tidegate("check", "-c", str(path))
        assert done.returncode == 2
        assert f"{path}:4: models[0].path: " in done.stderr
        assert "cannot be read" in done.stderr

    def test_needs_no_server_no_kafka_and_no_native_code(self):
        done = subprocess.run(
            [
                sys.executable,
                "-X",
                "importtime",
                "-c",
                "from agent.cli import main; main()",
                "check",
                "-c",
                "config.yaml",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=ROOT,
        )
        brought = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert {"click", "pydantic"} <= brought
        assert not brought & {"fastapi", "uvicorn", "numpy", "cv2", "onnxruntime", "aiokafka", "sqlite3"}


def test_a_run_on_a_broken_document_says_why_and_ends(broken):
    done = tidegate("run", "-c", str(broken), env={"STATE_DIRECTORY": str(broken.parent)})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[1] == f"{broken}:3: mqtt[0].prot: unknown key (hint: did you mean port?)"
    assert "Traceback" not in done.stderr


class TestSchema:
    def test_prints_all_of_them_or_one(self):
        names = tidegate("schema", "--list").stdout.split()
        everything = json.loads(tidegate("schema").stdout)
        assert list(everything) == names
        assert {"sensor-data", "farm-alerts", "config"} <= set(names)
        assert json.loads(tidegate("schema", "sensor-data").stdout) == everything["sensor-data"]

    def test_names_what_there_is_where_there_is_no_such_one(self):
        done = tidegate("schema", "nonsense")
        assert done.returncode == 2
        assert "sensor-data" in done.stderr

    def test_ends_quietly_when_nobody_reads_on(self):
        command = f"set -o pipefail; {TIDEGATE} schema | head -1; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        assert done.stdout.splitlines()[0] == "{"
        assert done.stdout.splitlines()[1] in ("0", "141")


DETAILED = {
    "version": "1",
    "gateway": "barge-1",
    "site": "s",
    "status": "1 of 2 units running; mqtt:barge is waiting (connection refused)",
    "ready": True,
    "reasons": [],
    "config": {"revision": "0123456789abcdef", "source": "file", "refused": 0},
    "units": [
        {"name": "log", "state": "running", "reason": "", "hint": "", "crashes": 0},
        {"name": "mqtt:barge", "state": "waiting", "reason": "refused\x1b[2J", "hint": "is it up?", "crashes": 2},
    ],
    "log": {
        "bytes": 3 * 1024**2,
        "lost": {"log_stalled": 7},
        "lanes": {"alert": {"depth": 1234, "delivered": 5, "oldest_pending_s": 7200.0}},
    },
    "uplink": {"circuit": "open", "reason": "no route to host"},
    "alerts": [{"alert_id": "t/high", "at": "2026-03-01T12:00:00Z", "text": "too warm"}],
}


class Hub:
    farm = None

    def __init__(self):
        self.answer = dict(DETAILED)

    def live(self):
        return True

    def ready(self):
        return []

    def metrics(self):
        return b"", "text/plain"

    def detailed(self):
        return self.answer

    async def decide_log(self, *, adopt):
        return {"records": 7 if adopt else 0}

    async def reload(self):
        refused = self.answer.get("refused_reload", False)
        outcome = {
            "outcome": "refused",
            "problems": ["c.yaml:1: x: unknown key"],
            "revision": "ab",
            "changed_units": [],
        }
        return outcome if refused else {"outcome": "applied", "revision": "cd" * 32, "changed_units": ["mqtt:barge"]}


@contextlib.asynccontextmanager
async def serving(hub, folder):
    task = asyncio.create_task(ControlSocket(folder, hub).run())
    try:
        async with asyncio.timeout(20):
            while not (folder / "tidegate.sock").exists() and not task.done():
                await asyncio.sleep(0.01)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def ask(*words, **how):
    return await asyncio.to_thread(tidegate, *words, **how)


THINNED_FIRST = (
    "if nothing is delivered, old readings become one-minute values in 9 d, and it is full in 10 d at the earliest"
)


class TestStatus:
    async def test_shows_units_lanes_alerts_and_the_link(self, folder):
        async with serving(Hub(), folder):
            done = await ask("status", "--runtime-dir", str(folder))
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0] == "barge-1 at s, tidegate 1"
        assert "uplink  not connected: no route to host" in lines
        assert "log     3.0 MiB, 7 records lost since the start" in lines
        (unit,) = [line for line in lines if line.startswith("mqtt:barge")]
        assert unit.split() == ["mqtt:barge", "waiting", "2", "refused", "[2J", "(is", "it", "up?)"]
        (lane,) = [line for line in lines if line.startswith("alert")]
        assert lane.split() == ["alert", "1,234", "2", "h", "5"]
        (alert,) = [line for line in lines if line.startswith("t/high")]
        assert alert.endswith("too warm")

    @pytest.mark.parametrize(
        ("lanes", "missing", "said"),
        [
            (("900000", "800000"), "", THINNED_FIRST),
            (("900000", None), "", "full in 10 d if nothing is delivered"),
            ((None, None), "", "not filling up"),
            ((None, None), "measured for 3 s", "no forecast yet of when it is full: measured for 3 s"),
        ],
    )
    async def test_says_how_much_the_log_writes_and_when_it_is_full(self, folder, lanes, missing, said):
        hub = Hub()
        bulk, live = (None if full is None else int(full) for full in lanes)
        hub.answer["log"] = {
            "bytes": 1.2 * 1024**3,
            "bound_bytes": 2 * 1024**3,
            "written_bytes_per_day": 310 * 1024**2,
            "forecast_missing": missing,
            "lanes": {"bulk": {"full_s": bulk}, "live": {"full_s": live}},
        }
        async with serving(hub, folder):
            done = await ask("status", "--runtime-dir", str(folder))
        assert f"log     1.2 GiB of 2.0 GiB, writes 310.0 MiB a day; {said}" in done.stdout.splitlines()

    async def test_finds_the_daemon_by_its_configuration(self, folder):
        document = (ROOT / "config.yaml").read_text()
        async with serving(Hub(), folder):
            found = await ask("status", "-c", "config.yaml", env={"TIDEGATE_RUNTIME_DIR": str(folder)})
            (folder / "config.yaml").write_text(
                document.replace("${TIDEGATE_RUNTIME_DIR:-/run/tidegate}", ".") + "x: 1\n"
            )
            broken = await ask("status", "-c", str(folder / "config.yaml"))
        assert (found.returncode, broken.returncode) == (0, 0)

    async def test_says_that_readings_are_not_kept(self, folder):
        hub = Hub()
        hub.answer |= {"ready": False, "reasons": ["log: cannot write to its disk"]}
        async with serving(hub, folder):
            done = await ask("status", "--runtime-dir", str(folder))
        assert done.returncode == 1
        assert "ready   no: log: cannot write to its disk" in done.stdout

    async def test_tells_a_script_everything(self, folder):
        async with serving(Hub(), folder):
            done = await ask("status", "--json", "--runtime-dir", str(folder))
        assert json.loads(done.stdout) == DETAILED

    async def test_takes_an_answer_that_lacks_what_it_shows(self, folder):
        hub = Hub()
        hub.answer = {"ready": True}
        async with serving(hub, folder):
            done = await ask("status", "--runtime-dir", str(folder))
        assert (done.returncode, done.stderr) == (0, "")

    def test_no_daemon_is_a_status_of_its_own(self, folder):
        done = tidegate("status", "--runtime-dir", str(folder))
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == f"the daemon is not running: nothing listens on {folder}/tidegate.sock\n"

    def test_a_socket_that_was_left_behind_is_no_daemon(self, folder):
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(folder / "tidegate.sock"))
        assert tidegate("status", "--runtime-dir", str(folder)).returncode == 3

    def test_somebody_else_on_the_socket_is_told_apart(self, folder):
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(folder / "tidegate.sock"))
            other.listen()
            asking = subprocess.Popen(
                [TIDEGATE, "status", "--runtime-dir", str(folder)], stderr=subprocess.PIPE, text=True
            )
            peer, _ = other.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"hello\n")
            _, said = asking.communicate(timeout=60)
        assert asking.returncode == 1
        assert said.startswith("cannot talk to the daemon on ")
        assert "Traceback" not in said


class TestReload:
    async def test_says_what_became_of_it(self, folder):
        async with serving(Hub(), folder):
            done = await ask("reload", "--runtime-dir", str(folder))
        assert (done.returncode, done.stdout) == (0, "applied: cdcdcdcdcdcd (mqtt:barge)\n")

    async def test_a_refusal_names_the_problems(self, folder):
        hub = Hub()
        hub.answer["refused_reload"] = True
        async with serving(hub, folder):
            done = await ask("reload", "--runtime-dir", str(folder))
        assert (done.returncode, done.stderr) == (2, "c.yaml:1: x: unknown key\n")


def test_colours_are_for_terminals_that_want_them():
    def on_a_terminal(**env):
        leader, follower = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-c", SHOW], stdout=follower, stderr=follower, cwd=ROOT, env=os.environ | env
        )
        os.close(follower)
        said = b""
        with contextlib.suppress(OSError):
            while piece := os.read(leader, 4096):
                said += piece
        child.wait(60)
        os.close(leader)
        return said

    assert b"\x1b[32mrunning" in on_a_terminal(NO_COLOR="")
    assert b"\x1b" not in on_a_terminal(NO_COLOR="1")


SHOW = """
import click
from agent.cli import main
from agent.cli.table import table

@click.command()
def show():
    "Show a table."
    for line in table(("UNIT", "STATE"), [["log", "running"]]):
        click.echo(line)

main.get_command = lambda ctx, name: show
main(["show"])
"""


@pytest.mark.parametrize("words", [["schema"], ["check", "-c", "config.yaml", "--json"]])
def test_an_answer_that_finds_no_room_is_one_line(words):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [TIDEGATE, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False, cwd=ROOT
        )
    assert (done.returncode, done.stderr) == (1, "cannot write the output: No space left on device\n")
