"""The audit on what a real log shipped to Apache Kafka: all of it, a block that somebody took, a batch sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from sync.kafka import KafkaSettings, KafkaSink
from sync.log import LogSettings, SqliteLog
from sync.log.inspect.reader import LogReader
from sync.log.ledger.notices import uncounted_loss
from sync.shipper import Shipper, ShipperSettings
from sync.values import Claim, Envelope, Lane, Producer
from tests.support.account import account
from tests.support.kafka import delete_before

pytestmark = pytest.mark.broker

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))


class Gateway:
    """A log and a shipper, without the daemon."""

    def __init__(self, kafka, folder):
        self.kafka, self.file = kafka, folder / "log.sqlite"
        name = uuid.uuid4().hex[:8]
        self.id, self.topic = f"gw-{name}", f"readings-{name}"
        self.settings = LogSettings(self.file, self.id, "site", commit_interval_s=0.0)

    @contextlib.asynccontextmanager
    async def log(self):
        log = SqliteLog(self.settings)
        running = asyncio.create_task(log.run())
        try:
            yield log
        finally:
            running.cancel()
            await asyncio.wait({running})

    async def append(self, log, first, count):
        records = [
            Envelope(Lane.LIVE, self.topic, b"k", b"%d" % number, ()) for number in range(first, first + count)
        ]
        await log.append(records)

    async def ship(self, log, sink=None):
        await log.changed(0)  # opened: what it holds is known
        sink = sink or KafkaSink(KafkaSettings((self.kafka.bootstrap,)))
        shipping = asyncio.create_task(Shipper(log, sink, ShipperSettings(retry_s=(0.1, 0.3))).run())
        # Before it is open the log says nothing of what it holds.
        await log.cursor("nothing")
        async with asyncio.timeout(60):
            # The ledger tells a loss some seconds after it was noted.
            while sum(log.stats().depth.values()) or LogReader(self.file).unreported():
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        shipping.cancel()
        await asyncio.wait({shipping})

    async def audit(self, *words):
        command = [TIDEGATE, "audit", "--brokers", self.kafka.bootstrap, "--gateway", self.id, "--json", *words]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False, env=os.environ
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    @property
    def topics(self):
        return "--topics", f"{self.topic},system-events,dead-letters,gateway-runs"


@pytest.fixture
def gateway(kafka, tmp_path):
    kafka.create_topic("system-events")
    return Gateway(kafka, tmp_path)


async def test_what_was_shipped_is_all_there_and_a_plain_consumer_agrees(gateway):
    async with gateway.log() as log:
        for first in range(0, 500, 50):
            await gateway.append(log, first, 50)
        await gateway.ship(log)
    status, told = await gateway.audit(*gateway.topics)
    assert (status, told["missing"], told["duplicated"]) == (0, 0, 0)
    (one,) = told["logs"]
    assert (one["first"], one["last"], one["delivered"]) == (1, 500, 500)
    counted = {line.topic: line for line in await account(gateway.file, gateway.kafka.bootstrap)}[gateway.topic]
    assert (counted.found, counted.missing, counted.duplicated) == (500, 0, 0)


async def test_a_block_deleted_behind_the_logs_back_is_missing(gateway):
    """The control: where this did not show, no other verdict of the audit would mean anything."""
    async with gateway.log() as log:
        for first in range(0, 300, 30):
            await gateway.append(log, first, 30)
    with contextlib.closing(sqlite3.connect(gateway.file)) as file, file:
        keys = [key for (key,) in file.execute("SELECT key FROM blocks ORDER BY key")]
        file.execute("DELETE FROM blocks WHERE key=?", (keys[4],))
    async with gateway.log() as log:
        await gateway.ship(log)
    status, told = await gateway.audit(*gateway.topics, "--wait", "1")
    assert status == 1
    assert told["missing"] == 30
    (one,) = told["logs"]
    assert one["missing_ranges"] == [[121, 150]]


class Twice:
    """A sink that sends every batch once more under an id of its own: what D2 forbids."""

    def __init__(self, sink):
        self._sink = sink

    def __getattr__(self, name):
        return getattr(self._sink, name)

    async def send(self, batch):
        producer = await self._sink.new_producer()
        claim = Claim(batch.claim.stream, Producer(producer.id, producer.epoch), 0)
        await self._sink.send(replace(batch, claim=claim))
        return await self._sink.send(batch)


async def test_a_batch_that_stands_twice_is_doubled_unless_that_is_allowed(gateway):
    async with gateway.log() as log:
        await gateway.append(log, 0, 40)
        await gateway.ship(log, Twice(KafkaSink(KafkaSettings((gateway.kafka.bootstrap,)))))
    status, told = await gateway.audit(*gateway.topics)
    assert (status, told["missing"], told["duplicated"]) == (1, 0, 40)
    status, told = await gateway.audit(*gateway.topics, "--at-least-once")
    assert (status, told["duplicated"]) == (0, 40)


async def test_what_the_gateway_still_holds_is_pending_and_what_a_run_left_unused_is_skipped(gateway):
    async with gateway.log() as log:
        await gateway.append(log, 0, 10)
        await gateway.ship(log)
    with contextlib.closing(sqlite3.connect(gateway.file)) as file, file:
        file.execute("DELETE FROM meta WHERE name='clean'")  # as a power cut leaves it
    async with gateway.log() as log:
        await gateway.append(log, 10, 10)
        status, told = await gateway.audit(*gateway.topics, "--log", str(gateway.file))
        assert (status, told["missing"]) == (0, 0)
        (one,) = told["logs"]
        assert one["delivered"] == 10
        assert one["pending"] >= 10
        assert one["skipped"] > 1_000
        await gateway.ship(log)
    status, told = await gateway.audit(*gateway.topics)
    assert (status, told["missing"], told["logs"][0]["pending"]) == (0, 0, 0)


async def test_what_kafka_no_longer_has_of_the_oldest_numbers_is_named_unless_the_first_number_is_given(gateway):
    async with gateway.log() as log:
        await gateway.append(log, 0, 30)
        await gateway.ship(log)
    delete_before(gateway.kafka.bootstrap, gateway.topic, 20)
    status, told = await gateway.audit(*gateway.topics)
    assert (status, told["missing"], told["unseen_before"]) == (1, 0, 20)
    status, told = await gateway.audit(*gateway.topics, "--from-seq", "21")
    assert (status, told["missing"], told["unseen_before"], told["logs"][0]["delivered"]) == (0, 0, 0, 10)
    status, told = await gateway.audit(*gateway.topics, "--log", str(gateway.file))
    assert (status, told["missing"], told["unseen_before"]) == (1, 20, 0), "its own file says that it began with 1"


async def test_a_gateway_that_nobody_knows_is_not_well(gateway):
    status, told = await gateway.audit("--topics", "system-events")
    assert (status, told["logs"]) == (1, [])


async def test_what_others_write_in_a_gateways_name_is_counted_and_not_believed(gateway):
    """One odd record must neither end the audit nor make an account of its own."""
    nonsense = [
        b"[" * 100_000,
        b'{"event":"numbers_skipped","data":{"log_id":null,"first":1,"last":9}}',
        b'{"event":"numbers_skipped","data":{"log_id":"x","first":Infinity,"last":9}}',
        b'{"event":"numbers_skipped","data":{"log_id":"x","first":9,"last":1}}',
        b'{"event":"records_lost","data":{"log_id":"x","first":1,"last":1e99,"count":1,"reason":"evicted"}}',
    ]
    source = f"/gateways/{gateway.id}/logs/abc".encode()
    names = [b"abc-%d" % number for number in range(1, len(nonsense) + 1)]
    async with AIOKafkaProducer(bootstrap_servers=gateway.kafka.bootstrap) as producer:
        for name, value in zip([*names, b"abc-" + b"9" * 5_000], [*nonsense, b"{}"], strict=True):
            await producer.send_and_wait("system-events", value, headers=[("ce_source", source), ("ce_id", name)])
    status, told = await gateway.audit("--topics", "system-events")
    assert (status, [one["log_id"] for one in told["logs"]]) == (0, ["abc"])
    assert told["logs"][0]["delivered"] == len(nonsense)


async def test_an_unknown_number_of_lost_records_is_told(gateway):
    source = f"/gateways/{gateway.id}/logs/abc".encode()
    event = uncounted_loss("stalled", "abc", "the disk hung", at_ms=0, settings=gateway.settings)
    async with AIOKafkaProducer(bootstrap_servers=gateway.kafka.bootstrap) as producer:
        headers = [("ce_source", source), ("ce_id", b"abc-1")]
        await producer.send_and_wait("system-events", event.value, headers=headers)
    _, told = await gateway.audit("--topics", "system-events")
    assert told["logs"][0]["uncounted"] == {"stalled": None}


@pytest.mark.parametrize("brokers", ["", "nonsense", "127.0.0.1:99999", "127.0.0.1:abc", "a:1,,b"])
def test_brokers_that_cannot_be_any_are_told_in_a_line(brokers):
    words = [TIDEGATE, "audit", "--gateway", "g", "--brokers", brokers]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--brokers must be host:port" in done.stderr


def test_a_cluster_that_does_not_answer_and_words_that_lack_are_told_in_a_line():
    words = [TIDEGATE, "audit", "--brokers", "127.0.0.1:1"]
    done = subprocess.run([*words, "--gateway", "g"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot read" in done.stderr
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "--gateway" in done.stderr) == (2, True)
