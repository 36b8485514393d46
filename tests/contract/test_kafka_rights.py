"""What a gateway may do there and what the cluster grants (D6, D12), as Apache Kafka's own authorizer has it."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from sync.kafka import KafkaSettings, KafkaSink, Role, Weight
from sync.values import CannotTell, Found, Known, NotReady
from tests.support.batches import batch_of
from tests.support.cluster import KafkaCluster
from tests.support.kafka import CLUSTER, DESCRIBE, DESCRIBE_CONFIGS, READ, SCRAM_LINK, WRITE, ApacheKafka, allow
from tests.support.proxy import Proxy
from tests.support.sinks import accepted, ready

pytestmark = pytest.mark.broker

DAY_MS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def guarded():
    """One broker that knows the user `gateway`, who may do nothing yet."""
    with (
        ApacheKafka(config=SCRAM_LINK, scram={"gateway": "s3cret"}) as kafka,
        Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port),
    ):
        yield kafka


@pytest.fixture
async def sink(guarded, tmp_path):
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    sink = KafkaSink(
        KafkaSettings(
            brokers=(f"{guarded.host}:{guarded.link_port}",),
            security="sasl_plaintext",
            username="gateway",
            password_file=password,
        )
    )
    yield sink
    await sink.close()


async def topic_with(guarded, *operations):
    name = f"rights-{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(guarded.create_topic, name)
    for operation in operations:
        await asyncio.to_thread(allow, guarded.bootstrap, "gateway", operation, name)
    return name


async def sent(sink, topic):
    batch = batch_of([b"a", b"b"], topic=topic, producer=await ready(sink.new_producer), base_sequence=0)
    await accepted(sink, batch)
    return batch


async def test_who_may_only_write_cannot_tell_and_says_that_it_may_not_read(guarded, sink):
    topic = await topic_with(guarded, WRITE)
    batch = await sent(sink, topic)
    for ask in (sink.look_up, sink.read_back):
        answer = await ready(ask, batch)
        assert isinstance(answer, CannotTell)
        assert answer.may_not_read
        assert "READ" in answer.reason


async def test_who_may_read_and_write_can_tell_both(guarded, sink):
    topic = await topic_with(guarded, WRITE, READ)
    batch = await sent(sink, topic)
    assert await ready(sink.look_up, batch) == Known(1)
    assert await ready(sink.read_back, batch) == Found(0)


async def test_who_may_not_even_see_the_topic_is_to_ask_again(guarded, sink):
    topic = await topic_with(guarded)
    other = await topic_with(guarded, WRITE)
    batch = batch_of([b"a"], topic=topic, producer=(await sent(sink, other)).claim.producer, base_sequence=0)
    for ask in (sink.look_up, sink.read_back):
        with pytest.raises(NotReady, match="TopicAuthorizationFailed"):
            await ask(batch)


async def test_the_expiry_is_told_to_those_who_may_ask_for_it(guarded, sink, monkeypatch):
    await topic_with(guarded, WRITE)
    assert await ready(sink.id_expiration_s) is None
    monkeypatch.setattr(sink, "_ask_expiration_again_s", 0.0)  # an hour later
    await asyncio.to_thread(allow, guarded.bootstrap, "gateway", DESCRIBE_CONFIGS, "kafka-cluster", kind=CLUSTER)
    assert await ready(sink.id_expiration_s) == DAY_MS / 1000


async def test_an_assessment_names_the_rights_that_are_missing(guarded, sink):
    topic = await topic_with(guarded, WRITE)
    (found,) = await ready(sink.assess, {topic: Role.RECORDS})
    wanting = {finding.name for finding in found.wanting(Weight.ADVICE)}
    assert {"right:READ", "right:DESCRIBE_CONFIGS"} <= wanting
    assert not {"right:WRITE", "right:DESCRIBE"} & wanting
    assert "cleanup.policy" in {finding.name for finding in found.unknown}
    for operation in (READ, DESCRIBE_CONFIGS):
        await asyncio.to_thread(allow, guarded.bootstrap, "gateway", operation, topic)
    (found,) = await ready(sink.assess, {topic: Role.RECORDS})
    assert "right:READ" not in {finding.name for finding in found.wanting(Weight.ADVICE)}
    assert not {finding.name for finding in found.unknown} - {"producer.id.expiration.ms"}


async def test_a_topic_that_is_only_read_needs_no_right_to_write(guarded, sink):
    topic = await topic_with(guarded, DESCRIBE)
    (found,) = await ready(sink.assess, {topic: Role.READ})
    assert "right:READ" in {finding.name for finding in found.wanting(Weight.GUARANTEE)}
    await asyncio.to_thread(allow, guarded.bootstrap, "gateway", READ, topic)
    (found,) = await ready(sink.assess, {topic: Role.READ})
    assert not {"right:READ", "right:WRITE"} & {finding.name for finding in found.wanting(Weight.GUARANTEE)}


async def test_an_assessment_says_what_one_broker_cannot_give(guarded, sink):
    topic = await topic_with(guarded, DESCRIBE, DESCRIBE_CONFIGS)
    hidden = await topic_with(guarded)
    asked = {topic: Role.RECORDS, hidden: Role.RECORDS}
    found = {assessment.topic: assessment for assessment in await ready(sink.assess, asked)}
    wanting = {finding.name for finding in found[topic].wanting(Weight.GUARANTEE)}
    assert {"replication", "min.insync.replicas", "right:WRITE"} <= wanting
    assert found[hidden].falls_short
    assert "grant it DESCRIBE" in found[hidden].findings[0].text


@pytest.fixture(scope="module")
def cluster():
    with KafkaCluster() as cluster:
        yield cluster


GOOD = {"message.timestamp.type": "LogAppendTime"}
BEFORE_4_0 = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**63 - 1)}


@pytest.mark.parametrize(
    ("configs", "replicas", "wanting"),
    [
        ({}, [1, 2, 3], set()),
        ({}, [1, 2], {"replication"}),
        ({"min.insync.replicas": "1"}, [1, 2, 3], {"min.insync.replicas"}),
        ({"unclean.leader.election.enable": "true"}, [1, 2, 3], {"unclean.leader.election.enable"}),
        ({"cleanup.policy": "compact"}, [1, 2, 3], {"cleanup.policy"}),
        ({"cleanup.policy": "compact,delete"}, [1, 2, 3], {"cleanup.policy"}),
        ({"message.timestamp.type": "CreateTime"}, [1, 2, 3], {"message.timestamp.type"}),
        (BEFORE_4_0, [1, 2, 3], {"message.timestamp.type", "message.timestamp.after.max.ms"}),
    ],
)
async def test_each_condition_of_the_guarantee_is_looked_at(cluster, configs, replicas, wanting):
    """D12."""
    topic = f"assessed-{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(
        cluster.create_topic,
        topic,
        {0: [3, 1, 2], 1: replicas} if len(replicas) == 3 else {0: replicas},
        GOOD | configs,
    )
    sink = KafkaSink(KafkaSettings(tuple(cluster.bootstrap)))
    (found,) = await ready(sink.assess, {topic: Role.RECORDS})
    await sink.close()
    assert not found.unknown
    assert {finding.name for weight in Weight for finding in found.wanting(weight)} == wanting
    assert found.falls_short is bool(wanting - {"message.timestamp.type", "message.timestamp.after.max.ms"})


async def test_a_topic_compacted_by_design_needs_only_its_replicas(cluster):
    topic = f"assessed-{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(cluster.create_topic, topic, None, {"cleanup.policy": "compact"})
    sink = KafkaSink(KafkaSettings(tuple(cluster.bootstrap)))
    (found,) = await ready(sink.assess, {topic: Role.NEWEST})
    await sink.close()
    assert not found.falls_short
    assert not found.wanting(Weight.ADVICE)


async def test_an_expiry_under_a_day_falls_short():
    """D12."""
    with ApacheKafka(config={"producer.id.expiration.ms": "60000"}) as kafka:
        await asyncio.to_thread(kafka.create_topic, "short")
        sink = KafkaSink(KafkaSettings((kafka.bootstrap,)))
        (found,) = await ready(sink.assess, {"short": Role.RECORDS})
        assert await ready(sink.id_expiration_s) == 60
        await sink.close()
    assert "producer.id.expiration.ms" in {finding.name for finding in found.wanting(Weight.GUARANTEE)}
