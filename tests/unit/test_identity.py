"""Whose log it is: the comparison, and what comes of it in a log in memory, without a broker (D11)."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from agent.app.identity import Identity, Verdict, judge
from agent.config.schema import Gateway
from agent.events import Encoder, GatewayRun
from agent.pipeline import Outbox
from agent.systemd import machine_id
from sync.kafka import Newest
from sync.log import MemoryLog
from sync.values import BrokerUnreachable, CannotTell, Lane, NotReady, Origin, Standing, Stream
from tests.support.log import TOPIC, claim, drain, envelopes, settings

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
    """D11."""
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


class Upstream:
    """A cluster with the last run record, or with none. At first it does not know the topic, as one just started."""

    def __init__(self, absences, last):
        self.absences, self.last, self.asked = absences, last, 0

    def newest_of(self, topic, key):
        assert (topic, key) == ("gateway-runs", b"gw-1")
        return self

    async def partition_count(self):
        self.asked += 1
        return CannotTell("UnknownTopicOrPartition (3)") if self.asked <= self.absences else 1

    async def read(self, *_):
        return Newest() if self.last is None else Newest(self.last.model_dump_json().encode(), 40)


async def fresh(folder):
    """A log that has told of no run, with a record to send."""
    log = MemoryLog(settings(folder))
    await log.append(envelopes("pending"))
    return log


async def grown(folder):
    """A log that has told of a run, at offset 40, with a record that may have been sent."""
    log = await fresh(folder)
    await log.compared()
    await log.append(envelopes("told", topic="gateway-runs"))
    runs = Stream(Lane.LIVE, "gateway-runs", await log.assign_partition("gateway-runs", 1))
    log.settle(await log.lease(claim(runs), 1 << 20), 40)
    return log


@dataclass
class Known:
    """What came of it: `attempts` until it was known; the events and run records that were posted, and all values."""

    verdict: Verdict
    attempts: int
    events: list[dict]
    runs: list[dict]
    sent: list[str]


async def ask(log, upstream):
    outbox = Outbox(log)
    identity = Identity(log, outbox, Encoder("gw-1", "site"), Gateway(id="gw-1", site="site", machine_id=HERE))
    for attempts in range(1, 40):
        with contextlib.suppress(NotReady):
            await identity.before_first_send(upstream, "wait")
        if identity.judgement is not None:
            await outbox.written(10)
            found = await drain(log)
            events, runs = (
                [json.loads(value) for value in found.get((Lane.LIVE, topic), ())]
                for topic in ("system-events", "gateway-runs")
            )
            return Known(identity.judgement.verdict, attempts, events, runs, found.get((Lane.LIVE, TOPIC), []))
    raise AssertionError("it never ends")


async def is_known_to_be_no_copy(log):
    """What came in since then may have been sent, should a fork come after all."""
    await log.append(envelopes("later"))
    return await log.fork(Standing.WAITS) == 1


async def test_a_restored_log_is_forked_once_a_topic_that_was_told_a_run_is_there_again(tmp_path):
    """D11."""
    log = await grown(tmp_path)
    old_id = log.stats().log_id
    known = await ask(log, Upstream(5, told(run=9, log_id=old_id)))
    assert (known.verdict, known.attempts) == (Verdict.RESTORED, 6)
    new_id = log.stats().log_id
    assert new_id != old_id
    assert (log.stats().waiting, known.sent) == (1, []), "what may have been sent waits"
    (event,), (run,) = known.events, known.runs
    assert (event["event"], event["data"]["verdict"]) == ("log_restored", "restored")
    assert (event["data"]["log_id"], event["data"]["old_log_id"], event["data"]["count"]) == (new_id, old_id, 1)
    assert (run["log_id"], run["run"], run["machine_id"], run["identity"]) == (new_id, 1, HERE, "restored")


async def test_a_topic_that_was_told_a_run_is_waited_for_a_while(tmp_path):
    log = await grown(tmp_path)
    own_id = log.stats().log_id
    known = await ask(log, Upstream(99, told(run=9, log_id=own_id)))
    assert (known.verdict, known.attempts) == (Verdict.UNKNOWN, 20)
    assert (log.stats().log_id, known.sent) == (own_id, ["pending"])
    (event,), (run,) = known.events, known.runs
    assert (event["event"], event["data"]["log_id"]) == ("identity_unknown", own_id)
    assert (run["log_id"], run["identity"]) == (own_id, "unknown")


@pytest.mark.parametrize(
    ("absences", "verdict", "events"), [(2, Verdict.FIRST, []), (99, Verdict.UNKNOWN, ["identity_unknown"])]
)
async def test_a_new_log_waits_only_a_moment_for_a_topic_that_is_not_there(tmp_path, absences, verdict, events):
    log = await fresh(tmp_path)
    own_id = log.stats().log_id
    known = await ask(log, Upstream(absences, None))
    assert (known.verdict, known.attempts) == (verdict, 3)
    assert [event["event"] for event in known.events] == events
    assert [(run["log_id"], run["identity"]) for run in known.runs] == [(own_id, verdict.value)]
    assert known.sent == ["pending"]
    assert await is_known_to_be_no_copy(log)


class OutOfReach(Upstream):
    """The one broker that leads the topic cannot be reached; `others` of the cluster can, or none."""

    def __init__(self, *, others):
        super().__init__(0, None)
        self.others = others

    async def read(self, *_):
        raise BrokerUnreachable("a announces broker 1 as b", "cure", "b:9092", others=self.others)


async def test_one_broker_out_of_reach_holds_up_what_others_lead_for_a_while_only(tmp_path):
    """D11: an alarm must not wait for the leader of another topic."""
    known = await ask(await grown(tmp_path), OutOfReach(others=True))
    assert known.verdict is Verdict.UNKNOWN
    assert [event["event"] for event in known.events] == ["identity_unknown"]


async def test_where_no_announced_broker_is_reached_it_is_waited_for(tmp_path):
    """Nothing could be sent either, and a copy must not go unnoticed for that."""
    with pytest.raises(AssertionError, match="never ends"):
        await ask(await grown(tmp_path), OutOfReach(others=False))
