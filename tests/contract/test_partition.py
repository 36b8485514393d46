"""One reader of a partition, over Apache Kafka: transactions, quotas, retention, connections that are cut."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from sync.audit import Topics
from sync.kafka import DesiredSettings, DesiredState, KafkaSettings
from sync.kafka.connection.client import Client
from sync.kafka.connection.kept import CONTROL
from sync.kafka.connection.protocol import DescriptionRequest
from sync.kafka.questions.partition import Partition
from sync.values import NotReady, Unreachable
from tests.support.kafka import delete_before, jars
from tests.support.proxy import Proxy

pytestmark = pytest.mark.broker


@pytest.fixture
def topic(kafka):
    name = f"partition-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name)
    return name


@pytest.fixture
async def client(kafka):
    client = Client(KafkaSettings((kafka.bootstrap,)), create_topics=False)
    yield client
    await client.close()


@asynccontextmanager
async def transactional(kafka, topic):
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"of-{topic}")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def publish(kafka, topic, *values, key=b"gw", headers=()):
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=key, headers=list(headers))


async def values(partition, *borders, **how):
    found = []
    async for batches in partition.read(*borders, **how):
        found += [record.value for batch in batches for record in batch.records()]
    return found


async def mixed(kafka, topic):
    """A record, a transaction that is committed, one that is aborted, and a record."""
    await publish(kafka, topic, b"first")
    async with transactional(kafka, topic) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed", key=b"gw")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted", key=b"gw")
        await producer.abort_transaction()
    await publish(kafka, topic, b"last")


async def test_aborted_transactions_and_markers_are_no_records_where_committed_ones_are_read(kafka, topic, client):
    await mixed(kafka, topic)
    committed, all_of_it = Partition(client, topic, 0, committed=True), Partition(client, topic, 0)
    assert await values(committed, 0) == [b"first", b"committed", b"last"]
    assert await values(all_of_it, 0) == [b"first", b"committed", b"aborted", b"last"]
    assert committed.position == all_of_it.position == await committed.end() == 6
    assert await values(committed, 3, 5) == [], "the aborted record and its marker"


async def test_a_transaction_that_is_open_holds_back_what_stands_behind_it(kafka, topic, client):
    await publish(kafka, topic, b"before")
    async with transactional(kafka, topic) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"open", key=b"gw")
        await publish(kafka, topic, b"behind")
        partition = Partition(client, topic, 0, committed=True)
        assert await values(partition, 0) == [b"before"]
        with pytest.raises(NotReady, match="a transaction that is still open holds back"):
            await values(partition, 0, await partition.end())
        assert await values(Partition(client, topic, 0), 0) == [b"before", b"open", b"behind"]
        await producer.commit_transaction()
    assert await values(partition, partition.position, 4) == [b"open", b"behind"]


async def test_a_document_of_a_transaction_that_was_aborted_was_never_published(kafka, topic):
    given = []

    class Cursors:
        def __init__(self):
            self.kept = {}

        async def cursor(self, name):
            return self.kept.get(name)

        async def set_cursor(self, name, value):
            self.kept[name] = value

    async def take(offset, document):
        given.append(document)

    async with transactional(kafka, topic) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"published", key=b"gw")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"withdrawn", key=b"gw")
        await producer.abort_transaction()
    settings = DesiredSettings(topic, 0, b"gw", poll_interval_s=0.1)
    desired = DesiredState(KafkaSettings((kafka.bootstrap,)), settings, Cursors())
    reading = asyncio.create_task(desired.run(take))
    async with asyncio.timeout(30):
        while desired.stats.polls < 3:
            await asyncio.sleep(0.02)
    reading.cancel()
    await asyncio.wait({reading})
    assert given == [b"published"]


async def test_an_aborted_copy_is_no_duplicate_for_the_audit(kafka, topic):
    """A mirror that writes in transactions leaves such copies, and no consumer of committed records sees them."""

    def named(number):
        return [("ce_source", b"/gateways/gw/logs/abc"), ("ce_id", b"abc-%d" % number)]

    async with transactional(kafka, topic) as producer:
        await producer.begin_transaction()
        for number in (1, 2):
            await producer.send_and_wait(topic, b"{}", key=b"gw", headers=named(number))
        await producer.abort_transaction()
        async with producer.transaction():
            for number in (1, 2, 3):
                await producer.send_and_wait(topic, b"{}", key=b"gw", headers=named(number))
    audit = Topics(KafkaSettings((kafka.bootstrap,)), "gw", [topic])
    await audit.read_on()
    await audit.close()
    statement = audit.accounts["abc"].statement()
    assert (statement.delivered, statement.duplicated, statement.repeated) == (3, 0, 0)


async def test_what_retention_takes_meanwhile_is_gone_on_from_unless_each_record_counts(kafka, topic, client):
    await publish(kafka, topic, *[b"%d" % number for number in range(10)])
    delete_before(kafka.bootstrap, topic, 6)
    partition = Partition(client, topic, 0)
    assert await values(partition, 2) == [b"6", b"7", b"8", b"9"]
    assert partition.trimmed
    with pytest.raises(NotReady, match="offset 2 cannot be read, it was removed"):
        await values(partition, 2, 10, strict=True)
    assert await values(partition, 5_000) == [b"6", b"7", b"8", b"9"], "an offset of a topic that was created again"
    assert await values(partition, 10) == []


def bound_reading(kafka, client_id, bytes_per_s):
    words = ["--bootstrap-server", kafka.bootstrap, "--alter", "--entity-type", "clients", "--entity-name", client_id]
    words += ["--add-config", f"consumer_byte_rate={bytes_per_s}"]
    command = [
        "java",
        "-Xmx96m",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        f"{jars()}/*",
        "kafka.admin.ConfigCommand",
        *words,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


async def test_a_quota_that_is_used_up_slows_reading_down_and_does_not_end_it(kafka, topic):
    """Such an answer names no partition at all."""
    client_id = f"bound-{topic}"
    await asyncio.to_thread(bound_reading, kafka, client_id, 15_000)
    await publish(kafka, topic, *[bytes(20_000)] * 12)
    client = Client(KafkaSettings((kafka.bootstrap,), client_id), create_topics=False)
    emptied = 0
    ask_leader = client.ask_leader

    async def counted(*of):
        nonlocal emptied
        answer = await ask_leader(*of)
        emptied += not answer.topics
        return answer

    client.ask_leader = counted
    partition = Partition(client, topic, 0, fetch_bytes=64 * 1024)
    async with asyncio.timeout(120):
        assert len(await values(partition, 0, 12, strict=True)) == 12
    await client.close()
    assert emptied, "the quota was never used up"


class Cutting:
    """In front of Kafka; ends connections at the next `times` requests, as a firewall that forgot them does."""

    def __init__(self, kafka):
        self.times = 0
        self.proxy = Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port, tap=self._tap)
        self.bootstrap = f"{kafka.host}:{kafka.link_port}"

    def _tap(self, upward, _data):
        if upward and self.times:
            self.times -= 1
            raise ConnectionResetError


async def test_a_kept_connection_that_was_cut_is_made_again_before_the_cluster_is_called_unreachable(kafka, topic):
    cutting = Cutting(kafka)
    with cutting.proxy:
        client = Client(KafkaSettings((cutting.bootstrap,), connect_timeout_s=5.0), create_topics=False)
        partition = Partition(client, topic, 0)
        questions = (
            lambda: client.question(DescriptionRequest([topic])),
            client.reach,
            lambda: client.partition_count(topic),
            partition.end,
            lambda: values(partition, 0),
        )
        await client.reach()
        await partition.end()
        for ask in questions:
            connections = cutting.proxy.connections
            cutting.times = 1
            await ask()
            assert cutting.times == 0, "nothing was cut"
            assert cutting.proxy.connections > connections
        cutting.times = 1_000
        with pytest.raises(Unreachable):
            await client.question(DescriptionRequest([topic]))
        assert cutting.times > 900, "each kept connection once, and one new one"
        cutting.times = 0
        assert not client.keeps(1, CONTROL)
        await client.reach()
        await client.close()
