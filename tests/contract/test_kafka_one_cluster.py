"""A client that holds to one cluster uses no connection to another, however it came by it (D6)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sync.kafka import KafkaSettings
from sync.kafka.connection.client import Client
from sync.kafka.connection.kept import CONTROL
from sync.kafka.questions.producers import Producers
from sync.values import ClusterChanged, Unreachable
from tests.support.kafka import ApacheKafka
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.broker

NODE = 1
"""The one node of the cluster."""


@pytest.fixture
async def rebuilt() -> AsyncIterator[Client]:
    """A client of a cluster that is no more: another one answers at its address."""
    with ApacheKafka() as kafka:
        client = Client(KafkaSettings((kafka.bootstrap,)), create_topics=False, one_cluster=True)
        await client.reach()
        for line in (CONTROL, "live"):
            await client.connection(NODE, line)
        client.drop(NODE, "live")
        await asyncio.to_thread(kafka.rebuild)
        yield client
        await client.close()


async def test_no_connection_of_any_line_is_made_and_every_attempt_says_so(rebuilt: Client) -> None:
    """Dropped before, lost, never made before; and none is left over for the next attempt."""
    for _ in range(2):
        for line in ("live", CONTROL, "alert"):
            with pytest.raises(ClusterChanged):
                await rebuilt.connection(NODE, line)
            assert not rebuilt.keeps(NODE, line)
    for ask in (rebuilt.reach, Producers(rebuilt).new, lambda: rebuilt.partition_count("t")):
        with pytest.raises(ClusterChanged):
            await ask()


async def test_two_that_ask_at_once_are_both_refused(rebuilt: Client) -> None:
    answers = await asyncio.gather(*[rebuilt.connection(NODE, CONTROL) for _ in range(3)], return_exceptions=True)
    assert [type(answer) for answer in answers] == [ClusterChanged] * 3


async def test_an_address_that_leads_elsewhere_is_noticed_while_the_old_cluster_still_answers() -> None:
    """A name is moved, and nothing is lost by it: only what is new ends at the other cluster."""
    with (
        ApacheKafka() as blue,
        ApacheKafka() as green,
        Proxy(blue.host, blue.behind_link_port, at=blue.link_port) as link,
    ):
        client = Client(KafkaSettings((f"{link.host}:{link.port}",)), create_topics=False, one_cluster=True)
        await client.reach()
        kept = await client.connection(NODE, CONTROL)
        link.lead_to(green.host, green.behind_link_port)
        await client.reach()
        with pytest.raises(ClusterChanged):
            await client.connection(NODE, "live")
        assert await client.connection(NODE, CONTROL) is kept
        await client.forget_cluster()
        before, after = client.cluster, await client.cluster_id()
        assert before is None
        assert after
        await client.close()


async def test_the_same_cluster_restarted_is_used_again() -> None:
    with ApacheKafka() as kafka:
        client = Client(KafkaSettings((kafka.bootstrap,)), create_topics=False, one_cluster=True)
        await client.reach()
        await client.connection(NODE, "live")
        await asyncio.to_thread(kafka.kill)
        with pytest.raises(Unreachable):
            await client.connection(NODE, "alert")
        await asyncio.to_thread(kafka.start)
        for line in ("live", "alert", CONTROL):
            assert (await client.connection(NODE, line)).connected()
        await client.close()
