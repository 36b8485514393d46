"""Something listens where a Kafka is named, and speaks another protocol."""

import asyncio
import contextlib
import logging
import struct

import pytest

from sync.kafka import Traffic
from sync.kafka.connection.connector import Connector
from sync.kafka.settings import KafkaSettings
from sync.values import Unreachable

FETCH_FROM_5_TO_1 = struct.pack(">hihhh", 0, 1, 3, 5, 1)
NO_VERSIONS = struct.pack(">hi", 0, -1)


@contextlib.asynccontextmanager
async def answering(body):
    """A server that answers each question with `body`; its port."""

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                question = await reader.readexactly(struct.unpack(">i", await reader.readexactly(4))[0])
                answer = question[4:8] + body
                writer.write(struct.pack(">i", len(answer)) + answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("body", [NO_VERSIONS, FETCH_FROM_5_TO_1, b"", b"\xff" * 40])
async def test_an_answer_that_is_none_of_kafkas_is_told_in_a_sentence_and_asked_for_again(body, caplog):
    async with answering(body) as port:
        settings = KafkaSettings((f"127.0.0.1:{port}",), "client", connect_timeout_s=2.0)
        with caplog.at_level(logging.ERROR), pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
            await Connector(settings, Traffic()).dial("127.0.0.1", port, "control")
    assert not caplog.records


async def test_the_sentence_says_that_no_kafka_answered():
    async with answering(NO_VERSIONS) as port:
        with pytest.raises(Unreachable, match="its answer is not Kafka's protocol"):
            await Connector(KafkaSettings((f"127.0.0.1:{port}",), "client"), Traffic()).dial(
                "127.0.0.1", port, "control"
            )
