"""Whose log it is: the comparison alone, without a broker (D11)."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from unittest.mock import AsyncMock, Mock

import pytest

from agent.app.identity import Identity, Verdict, judge
from agent.config.schema import Gateway
from agent.events import GatewayRun
from agent.systemd import machine_id
from sync.kafka import Newest
from sync.values import CannotTell, NotReady, Origin

HERE, THERE = "a" * 32, "b" * 32


def own(run=6, log_id="log-a", told_at=40, *, behind=False):
    return Origin(log_id, run, 1_000, 1, told_at, behind)


def told(run=5, log_id="log-a", machine=HERE):
    return GatewayRun(
        gateway_id="gw-1",
        site_id="site",
        log_id=log_id,
        run=run,
        machine_id=machine,
        first_seq=1,
        log_first_seq=1,
        version="0",
        at=datetime(2026, 1, 2, tzinfo=UTC),
        identity="same",
    )


@pytest.mark.parametrize(
    ("mine", "upstream", "expected"),
    [
        pytest.param(own(), told(), Verdict.SAME, id="the run before was told"),
        pytest.param(own(), told(run=3), Verdict.SAME, id="runs between were never told"),
        pytest.param(own(told_at=-1), None, Verdict.FIRST, id="nobody told anything"),
        pytest.param(own(), told(run=9), Verdict.RESTORED, id="upstream knows of later runs"),
        pytest.param(own(), told(run=6), Verdict.RESTORED, id="upstream knows of this run, told by another start"),
        pytest.param(own(), told(run=9, log_id="log-b"), Verdict.RESTORED, id="the log went on under another id"),
        pytest.param(own(told_at=-1), told(run=6), Verdict.RESTORED, id="told, though the log never heard of it"),
        pytest.param(own(run=2, told_at=-1), told(run=9, log_id="log-b"), Verdict.FIRST, id="begun anew, empty"),
        pytest.param(own(run=7), told(run=6, log_id="log-b"), Verdict.SAME, id="a damaged file was put aside"),
        pytest.param(own(), told(machine=THERE), Verdict.COPIED, id="the last run was on another machine"),
        pytest.param(own(run=2, told_at=-1), told(log_id="log-b", machine=THERE), Verdict.FIRST, id="new hardware"),
        pytest.param(own(), told(machine=""), Verdict.SAME, id="a machine without an id is no other machine"),
        pytest.param(own(), None, Verdict.UNKNOWN, id="what was told is gone"),
        pytest.param(own(told_at=-1, behind=True), None, Verdict.RESTORED, id="older than what stands beside it"),
    ],
)
def test_a_log_is_told_from_its_copies(mine, upstream, expected):
    judgement = judge(mine, HERE, upstream)
    assert judgement.verdict is expected
    assert bool(judgement.reason) == (expected in {Verdict.RESTORED, Verdict.COPIED, Verdict.UNKNOWN})


def test_where_this_machine_has_no_id_only_runs_are_compared():
    assert judge(own(), "", told(machine=THERE)).verdict is Verdict.SAME
    assert judge(own(), "", told(run=6, machine=THERE)).verdict is Verdict.RESTORED


def test_the_machines_own_id_does_not_travel(tmp_path):
    file = tmp_path / "machine-id"
    file.write_text("3d1219c7c4c5404aaa1f6d2a48adfda4\n")
    # As `systemd-id128 machine-id --app-specific` of systemd 252 answers there.
    assert machine_id(file) == "46aae81de6484ab9ad9bbc5d55863716"


@pytest.mark.parametrize("content", ["", "uninitialized\n", "12ab\n"])
def test_a_machine_that_has_no_id_yet_has_none(tmp_path, content):
    file = tmp_path / "machine-id"
    file.write_text(content)
    assert machine_id(file) == ""
    assert machine_id(tmp_path / "none") == ""


class Absent:
    """A cluster that does not know the topic at first, as one that has just started."""

    def __init__(self, times, upstream):
        self.times, self.upstream, self.asked = times, upstream, 0

    def newest_of(self, *_):
        return self

    async def partition_count(self):
        self.asked += 1
        return CannotTell("UnknownTopicOrPartition (3)") if self.asked <= self.times else 1

    async def read(self, *_):
        return Newest() if self.upstream is None else Newest(self.upstream.model_dump_json().encode(), 40)


async def verdict(mine, absent):
    """The verdict, and how often it was asked for."""
    durable = Mock(origin=AsyncMock(return_value=mine), compared=AsyncMock(), fork=AsyncMock(return_value=0))
    durable.assign_partition = AsyncMock(return_value=0)
    gateway = Gateway(id="gw-1", site="site", machine_id=HERE)
    identity = Identity(durable, Mock(), Mock(), gateway)
    for times in range(1, 40):
        with contextlib.suppress(NotReady):
            await identity.before_first_send(absent, "wait")
        if identity.judgement is not None:
            return identity.judgement.verdict, times
    raise AssertionError("it never ends")


async def test_a_topic_that_was_told_a_run_is_waited_for_a_while():
    restored = told(run=9)
    assert await verdict(own(), Absent(5, restored)) == (Verdict.RESTORED, 6)
    assert await verdict(own(), Absent(99, restored)) == (Verdict.UNKNOWN, 20)


async def test_a_new_log_waits_only_a_moment_for_a_topic_that_is_not_there():
    assert await verdict(own(told_at=-1), Absent(2, None)) == (Verdict.FIRST, 3)
    assert await verdict(own(told_at=-1), Absent(99, None)) == (Verdict.UNKNOWN, 3)
