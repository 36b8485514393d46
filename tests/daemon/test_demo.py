"""The demo as a new user runs it: it says what it runs on, ends by itself, counts, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.daemon import ROOT

pytestmark = pytest.mark.broker


def _demo(tmp_path, *arguments, **environment):
    # Everything that the demo starts inherits this name, so that what is left behind can be found.
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TIDEGATE_DEMO_TEST": str(tmp_path), **environment}
    command = [sys.executable, "-m", "tests.demo", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _left_behind(tmp_path):
    mark = f"TIDEGATE_DEMO_TEST={tmp_path}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes())
        except OSError:
            continue
    return found


def _gone(tmp_path):
    deadline = time.monotonic() + 10
    while _left_behind(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    return _left_behind(tmp_path) == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "first_line"),
    [
        ({}, "Kafka: Apache Kafka, one node: every record arrives exactly once"),
        ({"PATH": "/nonexistent"}, "Kafka: Tansu, in memory, for there is no Java and Maven here: every record"),
    ],
    ids=["with Java", "without Java"],
)
def test_it_ends_by_itself_with_nothing_missing(environment, first_line, tmp_path):
    demo = _demo(tmp_path, "--seconds", "5", **environment)
    said, _ = demo.communicate(timeout=110)
    assert demo.returncode == 0, said
    assert said.startswith(first_line)
    committed, found, missing, duplicated = map(
        int, re.search(r"│ all +│ +(\d+) │ +(\d+) │ +(\d+) │ +(\d+)", said).groups()
    )
    assert committed == found > 300
    assert missing == 0
    assert environment or duplicated == 0, "exactly once, where the broker can"
    for topic in ("sensor-data", "camera-events", "farm-alerts", "system-events"):
        assert topic in said
    assert _gone(tmp_path), "no process and no folder is left"


def test_ctrl_c_brings_it_to_its_end_and_it_counts(tmp_path):
    demo = _demo(tmp_path)
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if "3 s |" in line:
            demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 0, "".join(lines)
    assert "│ all" in "".join(lines)
    assert _gone(tmp_path)


def test_what_cannot_start_is_said_and_nothing_is_left(tmp_path):
    demo = _demo(tmp_path, "--seconds", "5", TIDEGATE_GATEWAY_ID="not a name", PATH="/nonexistent")
    said, _ = demo.communicate(timeout=110)
    assert demo.returncode == 1, said
    assert "The demo could not go on" in said
    assert "gateway.id" in said
    assert "Traceback" not in said
    assert _gone(tmp_path)
