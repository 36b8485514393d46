"""Look-ups on three nodes: what is not replicated does not count, and a leader may move at any moment (D6, F7)."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import replace

import pytest

from sync.kafka import KafkaSettings, KafkaSink
from sync.kafka.connection.kept import CONTROL
from sync.kafka.connection.protocol import DescribeProducersRequest
from sync.kafka.questions.lookup import LookUp, _Lead
from sync.values import (
    Absent,
    BrokerUnreachable,
    CannotTell,
    Found,
    Known,
    NotReady,
    Producer,
    Refused,
    Unknown,
    Unreachable,
)
from tests.support.batches import batch_of
from tests.support.cluster import KafkaCluster
from tests.support.consumer import read_topic
from tests.support.kafka import delete_before
from tests.support.sinks import accepted, ready

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def cluster():
    with KafkaCluster() as cluster:
        yield cluster


@pytest.fixture
async def sink(cluster):
    """With little patience: a node that stands still is to be noticed soon."""
    sink = KafkaSink(KafkaSettings(tuple(cluster.bootstrap), request_timeout_s=3.0, connect_timeout_s=2.0))
    yield sink
    await sink.close()


def topic_on(cluster, replicas=None, configs=None):
    name = f"cluster-{uuid.uuid4().hex[:8]}"
    cluster.create_topic(name, replicas, configs)
    return name


def ten(topic, producer, base_sequence, partition=0):
    """Ten records, named by their sequence."""
    values = [str(base_sequence + index).encode() for index in range(10)]
    return batch_of(
        values,
        topic=topic,
        producer=producer,
        base_sequence=base_sequence,
        partition=partition,
        first=base_sequence + 1,
    )


@contextlib.contextmanager
def paused(cluster, *numbers):
    for number in numbers:
        cluster.nodes[number].pause()
    try:
        yield
    finally:
        for number in numbers:
            cluster.nodes[number].resume()


async def not_ready(ask, batch, *, match):
    """The reason for which asking again is needed, once it is that one: a paused node may be asked first."""
    async with asyncio.timeout(60):
        while True:
            with pytest.raises(NotReady) as waits:
                await ask(batch)
            if match in waits.value.reason:
                return waits.value.reason


async def test_what_stands_on_the_leader_alone_counts_once_it_is_replicated(cluster, sink):
    """D3, F7, and the barrier of D6."""
    topic = topic_on(cluster)
    producer = await ready(sink.new_producer)
    await accepted(sink, ten(topic, producer, 0))
    second = ten(topic, producer, 10)
    with paused(cluster, 2, 3):
        assert isinstance(await sink.send(second), Unknown)
        # Node 1 alone has it, and says so: the barrier is needed.
        connection = await sink._client.connection(1, CONTROL)
        answer = await sink._client.ask(connection, DescribeProducersRequest(topic, 0))
        assert [entry[2] for entry in answer.topics[0][1][0][3]] == [19]
        for ask in (sink.look_up, sink.read_back):
            reason = await not_ready(ask, second, match="replicated up to")
            assert reason.endswith("replicated up to 10, and broker 1 has 20")
    assert await ready(sink.look_up, second) == Known(19)
    assert await ready(sink.read_back, second) == Found(10)
    assert await accepted(sink, second) == 10


async def test_what_the_leader_alone_had_and_takes_with_it_is_not_there(cluster, sink):
    """F7, and the barrier of D6."""
    topic = topic_on(cluster)
    producer = await ready(sink.new_producer)
    first = ten(topic, producer, 0)
    acked = await accepted(sink, first) + 9
    second = replace(ten(topic, producer, 10), acked_offset=acked)
    with paused(cluster, 2, 3):
        # What they had asked for before has come back empty by then (replica.fetch.wait.max.ms is 500 ms).
        await asyncio.sleep(1.0)
        assert isinstance(await sink.send(second), Unknown)
        await not_ready(sink.look_up, second, match="replicated up to")
        await asyncio.to_thread(cluster.nodes[1].kill)
    try:
        assert await ready(sink.look_up, second) == Known(9)
        assert await ready(sink.read_back, second) == Absent()
        assert await accepted(sink, second) == 10
        assert await ready(sink.look_up, second) == Known(19)
    finally:
        await asyncio.to_thread(cluster.nodes[1].start)
    await all_in_sync(cluster, topic)
    found = [record.value for record in await read_topic(cluster.bootstrap, topic)]
    assert found == [str(number).encode() for number in range(20)]


async def test_after_the_leader_has_moved_the_new_one_tells_the_same(cluster, sink):
    topic = topic_on(cluster)
    producer = await ready(sink.new_producer)
    batch = ten(topic, producer, 0)
    await accepted(sink, batch)
    await all_in_sync(cluster, topic)
    await asyncio.to_thread(cluster.move_leader, topic, 2)
    assert await ready(sink.look_up, batch) == Known(9)
    assert await ready(sink.read_back, batch) == Found(0)
    assert await accepted(sink, batch) == 0


async def asked_of_who_is_there(ask, batch):
    """Again, if the question went to a node before its cut was noticed: then it is simply Unreachable."""
    try:
        return await ask(batch)
    except Unreachable:
        return await ask(batch)


async def test_behind_a_link_to_each_node_only_the_leaders_matters(cluster):
    topic = topic_on(cluster)
    with contextlib.ExitStack() as stack:
        links = {number: stack.enter_context(node.link()) for number, node in cluster.nodes.items()}
        sink = KafkaSink(KafkaSettings(cluster.link_brokers, request_timeout_s=3.0, connect_timeout_s=2.0))
        batch = ten(topic, await ready(sink.new_producer), 0)
        await accepted(sink, batch)
        await all_in_sync(cluster, topic)
        links[1].refuse()
        for ask in (sink.look_up, sink.read_back):
            with pytest.raises(BrokerUnreachable):
                await asked_of_who_is_there(ask, batch)
        await asyncio.to_thread(cluster.move_leader, topic, 3)
        assert await ready(sink.look_up, batch) == Known(9)
        assert await ready(sink.read_back, batch) == Found(0)
        links[1].allow()
        links[2].stall()
        assert await ready(sink.look_up, batch) == Known(9)
        await sink.close()


async def test_a_look_up_that_began_under_another_epoch_does_not_count(cluster, sink):
    topic = topic_on(cluster)
    batch = ten(topic, await ready(sink.new_producer), 0)
    await accepted(sink, batch)
    await all_in_sync(cluster, topic)
    look_up = LookUp(sink._client, batch)
    lead, connection = await look_up._lead(CONTROL)
    await look_up._still(lead, connection)
    await asyncio.to_thread(cluster.move_leader, topic, 2)
    await asyncio.to_thread(cluster.move_leader, topic, 1)  # the same node again, and not the same lead
    with pytest.raises(NotReady, match="FencedLeaderEpoch"):
        await look_up._still(lead, connection)


async def test_a_leader_that_was_deposed_and_agrees_with_itself_is_found_out_by_another(cluster, sink):
    topic = topic_on(cluster)
    batch = ten(topic, await ready(sink.new_producer), 0)
    await accepted(sink, batch)
    look_up = LookUp(sink._client, batch)
    lead, connection = await look_up._lead(CONTROL)
    agreed = look_up._epoch_end(lead)
    look_up._epoch_end = lambda _: agreed  # it goes on under its own epoch
    with pytest.raises(NotReady, match="has changed its leader"):
        await look_up._still(_Lead(lead.node, lead.epoch - 1), connection)


async def test_a_partition_without_a_leader_holds_up_only_its_own(cluster, sink):
    """D3."""
    topic = topic_on(cluster, {0: [3], 1: [1]}, {"min.insync.replicas": "1"})
    producer = await ready(sink.new_producer)
    batches = [ten(topic, producer, 0, partition) for partition in (0, 1)]
    for batch in batches:
        await accepted(sink, batch)
    await asyncio.to_thread(cluster.nodes[3].kill)
    try:
        await asyncio.to_thread(cluster.wait, lambda: cluster.leader_of(topic, 0) is None, "partition without leader")
        for ask in (sink.look_up, sink.read_back):
            await not_ready(ask, batches[0], match="has no leader")
        await refused(sink, ten(topic, producer, 10, 0), "no leader")
        assert await ready(sink.look_up, batches[1]) == Known(9)
        assert await ready(sink.read_back, batches[1]) == Found(0)
        await accepted(sink, ten(topic, producer, 10, 1))
    finally:
        await asyncio.to_thread(cluster.nodes[3].start)
    assert await ready(sink.look_up, batches[0]) == Known(9)
    await accepted(sink, ten(topic, producer, 10, 0))


async def test_partitions_added_change_nothing_for_the_others(cluster, sink):
    topic = topic_on(cluster)
    producer = await ready(sink.new_producer)
    batch = ten(topic, producer, 0)
    await accepted(sink, batch)
    await asyncio.to_thread(cluster.add_partitions, topic, 3)
    assert await ready(sink.partition_count, topic) == 3
    assert await ready(sink.look_up, batch) == Known(9)
    assert await ready(sink.read_back, batch) == Found(0)
    elsewhere = ten(topic, producer, 0, partition=2)
    assert await accepted(sink, elsewhere) == 0
    assert await ready(sink.look_up, elsewhere) == Known(9)


async def test_retention_on_all_replicas_leaves_nothing_to_tell_by(cluster, sink):
    topic = topic_on(cluster)
    producer = await ready(sink.new_producer)
    await accepted(sink, ten(topic, producer, 0))
    batch = replace(ten(topic, Producer(producer.id + 1_000, 0), 0), acked_offset=3)
    await asyncio.to_thread(delete_before, cluster.bootstrap, topic, 8)
    assert isinstance(await ready(sink.read_back, batch), CannotTell)
    assert await ready(sink.read_back, replace(batch, acked_offset=7)) == Absent()


async def refused(sink, batch, reason):
    async with asyncio.timeout(60):
        while not (isinstance(outcome := await sink.send(batch), Refused) and reason in outcome.reason):
            await asyncio.sleep(0.1)
    assert not outcome.permanent


async def all_in_sync(cluster, topic):
    await asyncio.to_thread(cluster.wait, lambda: cluster.in_sync(topic) == {1, 2, 3}, "replicas in sync")
