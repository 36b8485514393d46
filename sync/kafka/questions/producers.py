"""Producer ids: asked of the cluster, each given once (D9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiokafka.protocol.transaction import InitProducerIdRequest

from sync.kafka.errors import error_of
from sync.kafka.errors.answers import NONE, UNKNOWN_SERVER_ERROR, UNSUPPORTED_VERSION, name_of
from sync.values import Misconfigured, NotOffered, NotReady, Producer

if TYPE_CHECKING:
    from sync.kafka.connection.client import Client

_NONE_HERE: Final = "the broker does not support idempotent producers"
_CURE: Final = "set kafka.delivery to at_least_once, or use a broker with idempotent producers"
_UNEXPLAINED: Final = 3
"""Tansu answers with an error of no name, and always; Kafka itself might once."""


class Producers:
    """Asks for fresh ids over a client's connections."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._unexplained = 0

    async def new(self) -> Producer:
        """A producer id that nobody had before.

        Raises:
            Unreachable: no broker answers.
            NotReady: the coordinator still loads, or the user has no right to it.
            Misconfigured: the broker does not support idempotent producers.
        """
        try:
            answer = await self._client.question(InitProducerIdRequest(None, 0))
        except NotOffered as error:
            raise Misconfigured(_NONE_HERE, "kafka.delivery", _CURE) from error
        code = answer.error_code
        if code == NONE:
            self._unexplained = 0
            return Producer(answer.producer_id, answer.producer_epoch)
        self._unexplained = self._unexplained + 1 if code == UNKNOWN_SERVER_ERROR else 0
        if code == UNSUPPORTED_VERSION or self._unexplained >= _UNEXPLAINED:
            raise Misconfigured(_NONE_HERE, "kafka.delivery", _CURE)
        raise NotReady(f"no producer id: {name_of(code)}", error_of(code).cure)
