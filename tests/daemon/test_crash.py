"""The crash test in short (D1, D2, D6), and that it would see what it looks for. In full: `make crash`."""

from __future__ import annotations

import asyncio
import sys

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.cluster import KafkaCluster
from tests.support.crash.follower import Follower
from tests.support.crash.scenario import Variant, crash, create_topics
from tests.support.crash.victim import Conduct

pytestmark = pytest.mark.broker

SEED = 4


@pytest.fixture(scope="module")
def cluster():
    with KafkaCluster() as cluster:
        create_topics(cluster)
        yield cluster


def test_killed_again_and_again_in_a_cluster_in_havoc_it_loses_and_doubles_nothing(cluster):
    acts = {"answers lost", "answers lost to the living", "cut off", "line stalled", "leader moved"}
    variant = Variant("short", 10, gateways=1, every_s=1.5, leaderless_s=0, acts=acts)
    outcome = crash(variant, SEED, cluster=cluster)
    assert outcome.kills >= 10
    assert outcome.acts["answers lost"] > 0, outcome.acts
    assert outcome.nothing_lost, str(outcome)
    assert outcome.nothing_doubled, str(outcome)
    assert outcome.behind_s, "a reader was looked at while the gateway lay dead"
    assert outcome.held_back == 0


def test_with_a_fresh_id_on_every_resend_it_shows_duplicates(cluster):
    """The control: where this did not show, no other verdict of the crash test would mean anything."""
    broken = Conduct(prefix=(sys.executable, "-m", "tests.support.crash.fresh_ids"))
    variant = Variant("fresh-ids", 2, broken, gateways=1, leaderless_s=0, acts={"answers lost to the living"})
    outcomes = []
    # Which answers are lost is chance: those to readings are needed, which the plain consumer counts.
    while not any(outcome.again for outcome in outcomes):
        assert len(outcomes) < 4, f"a plain consumer sees it: {outcomes}"
        outcomes.append(crash(variant, SEED + len(outcomes), cluster=cluster))
    assert all(outcome.nothing_lost for outcome in outcomes), str(outcomes)
    assert any(outcome.duplicated for outcome in outcomes), "the audit sees it"


async def test_an_open_transaction_would_hold_the_reader_back(cluster):
    """The control for `held_back`."""
    cluster.create_topic("held-back")
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id="dies-inside")
    await producer.start()
    try:
        with Follower(cluster.bootstrap, "held-back") as follower:
            await producer.begin_transaction()
            await producer.send_and_wait("held-back", b"1")
            assert await asyncio.to_thread(follower.until_at_end, 3.0) is None
            await producer.abort_transaction()
            assert await asyncio.to_thread(follower.until_at_end, 60.0) is not None
    finally:
        await producer.stop()
