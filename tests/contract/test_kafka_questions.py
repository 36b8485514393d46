"""What a broker cannot be asked is decided by its own list of questions, at once, and costs no other its answer."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from sync.kafka import KafkaSettings, KafkaSink, Role
from sync.log import LogSettings, SqliteLog
from sync.shipper import Repeated, Shipper, ShipperSettings
from sync.values import CannotTell, Envelope, Found, Lane
from tests.support.batches import batch_of
from tests.support.consumer import read_topic
from tests.support.kafka_relay import KafkaRelay
from tests.support.log import running
from tests.support.sinks import accepted, ready

pytestmark = pytest.mark.broker

OFFSET_FOR_LEADER_EPOCH, DESCRIBE_CONFIGS, DESCRIBE_PRODUCERS = 23, 32, 61
UNSUPPORTED_COMPRESSION, ZSTD = 76, 4


@pytest.fixture
def topic(kafka):
    name = f"questions-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name)
    return name


@pytest.fixture
def relay(kafka):
    with KafkaRelay(kafka) as relay:
        yield relay


@pytest.fixture
async def sink(relay):
    sink = KafkaSink(KafkaSettings((relay.bootstrap,)))
    yield sink
    await sink.close()


async def sent(sink, topic):
    batch = batch_of([b"a", b"b"], topic=topic, producer=await ready(sink.new_producer), base_sequence=0)
    await accepted(sink, batch)
    return batch


async def test_a_broker_that_names_no_log_end_cannot_be_asked_and_that_is_said_once(relay, sink, topic, caplog):
    relay.missing = frozenset({OFFSET_FOR_LEADER_EPOCH})
    batch = await sent(sink, topic)
    for question in (sink.look_up, sink.read_back, sink.look_up):
        answer = await question(batch)
        assert isinstance(answer, CannotTell)
        assert answer.may_not_read
        assert "does not answer EpochEnd" not in answer.reason
        assert "does not answer OffsetForLeaderEpoch" in answer.reason
    assert len([record for record in caplog.records if "cannot be looked up" in record.message]) == 1


async def test_a_broker_that_lists_no_producers_is_read_instead(relay, sink, topic):
    relay.missing = frozenset({DESCRIBE_PRODUCERS})
    batch = await sent(sink, topic)
    answer = await sink.look_up(batch)
    assert isinstance(answer, CannotTell)
    assert not answer.may_not_read
    assert await ready(sink.read_back, batch) == Found(0)


async def test_what_such_a_broker_has_not_answered_goes_again_under_its_own_id(relay, kafka, topic, tmp_path):
    """D6: it would know the id, so nothing is doubled, and nothing need be marked."""
    relay.missing = frozenset({OFFSET_FOR_LEADER_EPOCH})
    relay.refused = {ZSTD: UNSUPPORTED_COMPRESSION}
    synchronised = tmp_path / "synchronised"
    synchronised.touch()
    settings = LogSettings(tmp_path / "log.sqlite", "gw", "site", clock_file=synchronised)
    async with running(SqliteLog(settings)) as log:
        await log.append([Envelope(Lane.LIVE, topic, b"k", b"%d" % number, ()) for number in range(30)])
        events = []
        for done in (lambda: relay.refusals > 2, lambda: sum(log.stats().depth.values()) == 0):
            settings = ShipperSettings(retry_s=(0.1, 0.3), backoff_most_s=0.2)
            shipping = asyncio.create_task(
                Shipper(log, KafkaSink(KafkaSettings((relay.bootstrap,))), settings, events.append).run()
            )
            async with asyncio.timeout(60):
                while not done():
                    await asyncio.sleep(0.02)
            shipping.cancel()
            await asyncio.wait({shipping})
            relay.refused = {}
    assert [int(record.value) for record in await read_topic(kafka.bootstrap, topic)] == list(range(30))
    assert not [event for event in events if isinstance(event, Repeated)]


async def test_a_question_that_ends_the_connection_leaves_the_others_their_answers(relay, sink, topic):
    relay.closes = frozenset({DESCRIBE_CONFIGS})
    (assessed,) = await sink.assess({topic: Role.RECORDS})
    found = {finding.name: finding.holds for finding in assessed.findings}
    assert found["replication"] is False
    assert found["cleanup.policy"] is None
    assert found["right:WRITE"] is not None


async def test_what_is_lacking_for_a_look_up_is_told(relay, sink):
    assert await sink.cannot_look_up() == ""
    relay.missing = frozenset({OFFSET_FOR_LEADER_EPOCH})
    await sink.close()
    assert await sink.cannot_look_up() == "OffsetForLeaderEpoch"
