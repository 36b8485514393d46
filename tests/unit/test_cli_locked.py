"""`tidegate log adopt` and `discard` while another program has the log's file locked: it is said at once."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys

import pytest

from agent.http import ControlSocket
from sync.log import SqliteLog
from sync.values import Standing
from tests.support.log import envelopes, running, settings, until

TIDEGATE = "import agent.cli.asking as a; a.CHANGE_TIMEOUT_S = float({}); from agent.cli import main; main()"
LOCKS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


class Hub:
    """What the verbs ask of the daemon, on a real log."""

    farm = None

    def __init__(self, log):
        self.log = log

    async def decide_log(self, *, adopt):
        return {"records": await (self.log.adopt() if adopt else self.log.discard())}


@contextlib.asynccontextmanager
async def deciding(folder):
    """A log of which five records wait, behind the daemon's socket."""
    async with running(SqliteLog(settings(folder))) as log:
        await log.append(envelopes(*range(5)))
        await log.compared()
        await log.fork(Standing.WAITS)
        serving = asyncio.create_task(ControlSocket(folder, Hub(log)).run())
        try:
            await until((folder / "tidegate.sock").exists)
            yield log
        finally:
            serving.cancel()
            await asyncio.wait({serving})


@contextlib.contextmanager
def locked(path):
    child = subprocess.Popen([sys.executable, "-c", LOCKS, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"locked\n"
        yield child
    finally:
        child.communicate(timeout=60)


@contextlib.contextmanager
def asking(folder, verb, timeout_s):
    command = [sys.executable, "-c", TIDEGATE.format(timeout_s), "log", "--state-dir", folder, verb]
    child = subprocess.Popen(
        [*command, "--runtime-dir", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("verb", ["adopt", "discard"])
async def test_who_has_it_locked_is_said_while_it_is_and_the_answer_follows(folder, verb):
    async with deciding(folder) as log:
        with locked(folder / "log.sqlite") as other, asking(folder, verb, 60) as child:
            said = await asyncio.to_thread(child.stderr.readline)
            assert said.startswith(f"{folder}/log.sqlite is locked by process {other.pid} (")
            assert "; waiting until " in said
            assert log.stats().waiting == 5
            other.kill()
            answer, more = await asyncio.to_thread(child.communicate, timeout=60)
        assert (child.returncode, more) == (0, "")
        assert answer.startswith("5 records ")


async def test_where_that_takes_too_long_it_ends_in_one_line_and_what_was_asked_for_is_done_later(folder):
    async with deciding(folder) as log:
        with locked(folder / "log.sqlite") as other, asking(folder, "adopt", 3) as child:
            answer, said = await asyncio.to_thread(child.communicate, timeout=60)
            assert (child.returncode, answer) == (1, "")
            _, end = said.splitlines()
            assert end.startswith(f"no answer after 3 s: {folder}/log.sqlite is locked by process ")
            assert str(other.pid) in end
            assert log.stats().waiting == 5
        await until(lambda: log.stats().waiting == 0)


async def test_an_answer_that_comes_at_once_is_all_that_is_said(folder):
    async with deciding(folder):
        with asking(folder, "adopt", 60) as child:
            answer, said = await asyncio.to_thread(child.communicate, timeout=60)
        assert (child.returncode, said) == (0, "")
        assert answer == "5 records are sent, marked possibly_repeated\n"
