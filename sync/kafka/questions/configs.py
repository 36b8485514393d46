"""Settings of topics and brokers, as the cluster tells them (needs DESCRIBE_CONFIGS)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiokafka.protocol.admin import DescribeConfigsRequest

from sync.kafka.connection.kept import CONTROL
from sync.kafka.errors.answers import NONE
from sync.values import NotOffered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.kafka.connection.client import Client

_TOPIC: Final = 2
_BROKER: Final = 4


async def topic_configs(client: Client, topics: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The named settings of each topic; a topic whose settings this user or broker may not be asked for is left out.

    Raises:
        Unreachable: no broker answers.
    """
    answer = await client.question(DescribeConfigsRequest([(_TOPIC, topic, list(names)) for topic in topics]))
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for resource in answer.resources
        if resource[0] == NONE
    }


async def broker_config(client: Client, name: str) -> str | None:
    """A setting of one of the brokers, which should be that of all; None if it may not or cannot be asked for.

    Raises:
        Unreachable: no broker answers.
    """
    node = await client.any_node()
    connection = await client.connection(node, CONTROL)
    try:
        answer = await client.ask(connection, DescribeConfigsRequest([(_BROKER, str(node), [name])]))
    except NotOffered:
        return None
    if not answer.resources:
        return None
    code, _, _, _, entries = answer.resources[0]
    return next((entry[1] for entry in entries if entry[0] == name), None) if code == NONE else None
