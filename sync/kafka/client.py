"""The one home of aiokafka's connections: who leads what, one connection a lane, and requests with deadlines.

aiokafka's own client is not used: it keeps a metadata task of its own, retries and logs at each attempt, and
shares its connections. Here every failure goes to the caller, who decides when to try again.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import random
import socket
import ssl
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    IncompatibleBrokerVersion,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from sync.kafka.answers import NONE, OFFSET_OUT_OF_RANGE, UNKNOWN_SERVER_ERROR, UNSUPPORTED_VERSION, name_of
from sync.kafka.settings import password, tls_context
from sync.values import Misconfigured, NotReady, Producer, Unreachable

if TYPE_CHECKING:
    from sync.kafka.settings import KafkaSettings

CONTROL = "control"
"""The connection for questions; batches of each lane have one of their own."""

_BULK_SEND_BUFFER_BYTES = 16 * 1024
_FOREVER_MS = 10 * 24 * 3600 * 1000
_LATEST = -1
_EARLIEST = -2
_FETCH_WAIT_MS = 500
_NO_LEADER = -1


class TopicUnavailable(Exception):  # noqa: N818 - a condition of the cluster, like NotReady
    """The cluster answered, and the topic or partition is not there or has no leader; `code` is Kafka's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fetched:
    """Record batches as they stand in a partition, and the offset up to which it may be read."""

    high_watermark: int
    records: bytes


@dataclass(frozen=True, slots=True)
class _Topic:
    leaders: dict[int, int]


class _Watch:
    """Closes a connection on which neither a byte has left nor an answer has come for `timeout_s`."""

    def __init__(self, connection: Any, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._period_s = timeout_s / 8
        self._unsent = -1
        self._quiet_s = 0.0
        self.verdict = ""
        self._timer = asyncio.get_running_loop().call_later(self._period_s, self._look)

    def _look(self) -> None:
        unsent = _unsent_bytes(self._connection)
        self._quiet_s = self._quiet_s + self._period_s if unsent == self._unsent else 0.0
        self._unsent = unsent
        if self._quiet_s >= self._timeout_s:
            self.verdict = f"no progress for {self._timeout_s:g} s"
            self._connection.close()
        else:
            self._timer = asyncio.get_running_loop().call_later(self._period_s, self._look)

    def stop(self) -> None:
        self._timer.cancel()


class Client:
    """Connections to one cluster, made as they are needed and never retried here.

    `create_topics`: a topic asked for and not there is created, if the cluster is set to do so.
    """

    def __init__(self, settings: KafkaSettings, *, create_topics: bool) -> None:
        self._settings = settings
        self._create_topics = create_topics
        self._nodes: dict[int, tuple[str, int]] = {}
        self._topics: dict[str, _Topic] = {}
        self._connections: dict[tuple[int, str], Any] = {}
        self._dialling: dict[tuple[int, str], asyncio.Lock] = {}
        self._unexplained = 0

    async def connection(self, node: int, line: str) -> Any:
        """The connection to a node kept for `line` (a lane, or CONTROL), made where there is none.

        Raises:
            Unreachable: it cannot be reached.
            Misconfigured: it refuses our credentials.
        """
        key = (node, line)
        async with self._dialling.setdefault(key, asyncio.Lock()):
            open_one = self._connections.get(key)
            if open_one is not None and open_one.connected():
                return open_one
            if node not in self._nodes:
                raise Unreachable(f"broker {node} is not in the cluster's list")
            host, port = self._nodes[node]
            connection = await self._dial(host, port)
            if line not in (CONTROL, "alert"):
                _keep_send_buffer_small(connection)
            self._connections[key] = connection
            return connection

    async def _dial(self, host: str, port: int) -> Any:
        settings = self._settings
        where = f"{host}:{port}"
        tls, secret = tls_context(settings), password(settings)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                return await create_conn(
                    host,
                    port,
                    client_id=settings.client_id,
                    request_timeout_ms=_FOREVER_MS,
                    ssl_context=tls,
                    security_protocol=settings.security.upper(),
                    sasl_mechanism=settings.sasl_mechanism if secret is not None else None,
                    sasl_plain_username=settings.username,
                    sasl_plain_password=secret,
                )
        except TimeoutError as error:
            raise Unreachable(f"{where} did not answer within {settings.connect_timeout_s:g} s") from error
        except (SaslAuthenticationFailed, AuthenticationFailedError, IllegalSaslStateError) as error:
            raise Misconfigured(f"{where} refuses user {settings.username!r}", "kafka.password_file") from error
        except UnsupportedSaslMechanismError as error:
            raise Misconfigured(f"{where}: {error}", "kafka.sasl_mechanism") from error
        except ssl.SSLCertVerificationError as error:
            raise Misconfigured(
                f"{where}: {error.verify_message}",
                "kafka.ca_file",
                "the brokers' certificate must be signed by this CA",
            ) from error
        except (OSError, KafkaError) as error:
            raise Unreachable(f"{where}: {_said(error)}") from error

    async def ask(self, connection: Any, request: Any) -> Any:
        """Send a request and wait for its answer; anything else closes the connection.

        Time runs only while nothing moves: as long as bytes leave, a slow link may take what it needs.

        Raises:
            Unreachable: no answer.
        """
        watch = _Watch(connection, self._settings.request_timeout_s)
        answered = False
        try:
            answer = await connection.send(request)
            answered = True
        # NotImplementedError: no version in common; ValueError: an answer that cannot be decoded
        except (OSError, KafkaError, EOFError, NotImplementedError, ValueError) as error:
            raise Unreachable(watch.verdict or _said(error)) from error
        finally:
            watch.stop()
            if not answered:
                connection.close()
        return answer

    async def _control(self) -> Any:
        """A connection to any broker that answers: one kept, else the known ones, else those of the settings."""
        for (_, line), kept in self._connections.items():
            if line == CONTROL and kept.connected():
                return kept
        reasons: list[str] = []
        for node in random.sample(sorted(self._nodes), len(self._nodes)):
            try:
                return await self.connection(node, CONTROL)
            except Unreachable as error:
                reasons.append(error.reason)
        async with self._dialling.setdefault((_NO_LEADER, CONTROL), asyncio.Lock()):
            kept = self._connections.get((_NO_LEADER, CONTROL))
            if kept is not None and kept.connected():
                return kept  # another question dialled meanwhile
            for host, port, _ in collect_hosts(list(self._settings.brokers)):
                try:
                    connection = await self._dial(host, port)
                except Unreachable as error:
                    reasons.append(error.reason)
                    continue
                self._connections[_NO_LEADER, CONTROL] = connection
                return connection
        raise Unreachable("; ".join(dict.fromkeys(reasons)) or "no broker is named", "is the link up?")

    async def reach(self) -> None:
        """One round trip to any broker, and the cluster's list of nodes anew.

        Raises:
            Unreachable: none answers.
            Misconfigured: ours is refused.
        """
        await self._refresh([])

    async def _refresh(self, topics: list[str]) -> dict[str, int]:
        """Ask for nodes and topics; the error code of each topic."""
        request = MetadataRequest(topics, allow_auto_topic_creation=self._create_topics)
        answer = await self.ask(await self._control(), request)
        self._nodes = {broker[0]: (broker[1], broker[2]) for broker in answer.brokers}
        codes: dict[str, int] = {}
        for code, name, _internal, partitions in answer.topics:
            codes[name] = code
            if code == NONE:
                self._topics[name] = _Topic({partition: leader for _code, partition, leader, *_ in partitions})
        return codes

    async def _topic(self, name: str) -> _Topic:
        if name not in self._topics:
            code = (await self._refresh([name])).get(name, NONE)
            if name not in self._topics:
                raise TopicUnavailable(code, f"topic {name}: {name_of(code)}")
        return self._topics[name]

    def forget(self, topic: str) -> None:
        """Ask for the topic's leaders again before its next use."""
        self._topics.pop(topic, None)

    async def leader(self, topic: str, partition: int) -> int:
        """The node that leads a partition.

        Raises:
            Unreachable: no broker answers.
            TopicUnavailable: no such topic or partition, no rights, or no leader now.
        """
        leader = (await self._topic(topic)).leaders.get(partition)
        if leader is None or leader == _NO_LEADER:
            self.forget(topic)
            missing = "is not there" if leader is None else "has no leader"
            raise TopicUnavailable(3 if leader is None else 5, f"topic {topic}: partition {partition} {missing}")
        return leader

    async def partition_count(self, topic: str) -> int:
        """How many partitions a topic has, from the cluster; raises what `leader` raises."""
        self.forget(topic)
        return len((await self._topic(topic)).leaders)

    async def log_end(self, topic: str, partition: int) -> int:
        """The offset that a partition's next record gets; raises what `leader` raises."""
        return await self._offset(topic, partition, _LATEST)

    async def log_start(self, topic: str, partition: int) -> int:
        """The oldest offset that a partition still has; raises what `leader` raises."""
        return await self._offset(topic, partition, _EARLIEST)

    async def _offset(self, topic: str, partition: int, which: int) -> int:
        connection = await self.connection(await self.leader(topic, partition), CONTROL)
        answer = await self.ask(connection, OffsetRequest(-1, 0, [(topic, [(partition, which)])]))
        _partition, code, _timestamp, offset, *_ = answer.topics[0][1][0]
        if code != NONE:
            self.forget(topic)
            raise TopicUnavailable(code, f"topic {topic}: {name_of(code)}")
        return int(offset)

    async def fetch(self, topic: str, partition: int, offset: int, max_bytes: int) -> Fetched | None:
        """What stands at an offset, at most about `max_bytes` of it; None where there is no such offset.

        Raises what `leader` raises.
        """
        connection = await self.connection(await self.leader(topic, partition), CONTROL)
        wanted = [(topic, [(partition, offset, max_bytes)])]
        answer = await self.ask(connection, FetchRequest(_FETCH_WAIT_MS, 1, max_bytes, 0, wanted))
        found = answer.topics[0][1][0]
        code, high_watermark, records = found[1], found[2], found[-1]
        if code == OFFSET_OUT_OF_RANGE:
            return None
        if code != NONE:
            self.forget(topic)
            raise TopicUnavailable(code, f"topic {topic}: {name_of(code)}")
        return Fetched(int(high_watermark), bytes(records or b""))

    async def new_producer(self) -> Producer:
        """A producer id that nobody had before.

        Raises:
            Unreachable: no broker answers.
            NotReady: the coordinator still loads, or the user has no right to it.
            Misconfigured: the broker has no idempotent producers.
        """
        cure = "set kafka.delivery to at_least_once, or use a broker with idempotent producers"
        try:
            answer = await self.ask(await self._control(), InitProducerIdRequest(None, 0))
        except Unreachable as error:
            if isinstance(error.__cause__, IncompatibleBrokerVersion):
                raise Misconfigured("the broker has no idempotent producers", "kafka.delivery", cure) from error
            raise
        code = answer.error_code
        if code == NONE:
            self._unexplained = 0
            return Producer(answer.producer_id, answer.producer_epoch)
        # Tansu answers with an error of no name, and always; Kafka itself might once.
        self._unexplained = self._unexplained + 1 if code == UNKNOWN_SERVER_ERROR else 0
        if code == UNSUPPORTED_VERSION or self._unexplained >= 3:
            raise Misconfigured("the broker has no idempotent producers", "kafka.delivery", cure)
        raise NotReady(f"no producer id: {name_of(code)}")

    def drop(self, node: int, line: str) -> None:
        """Close the connection to a node for a line, if there is one."""
        connection = self._connections.pop((node, line), None)
        if connection is not None:
            connection.close()

    async def close(self) -> None:
        """Close all connections; requests in flight get no answer."""
        connections, self._connections = self._connections, {}
        closing = [connection.close() for connection in connections.values()]
        for closed in closing:
            if closed is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(closed, 1.0)


def _said(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _keep_send_buffer_small(connection: Any) -> None:
    """Keep at most a little of a batch in the kernel, so that what it holds is never minutes ahead of an alarm."""
    sock = connection._writer.get_extra_info("socket")  # noqa: SLF001 - aiokafka shows its socket nowhere else
    if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _BULK_SEND_BUFFER_BYTES)


def _unsent_bytes(connection: Any) -> int:
    """Bytes of requests that the other side's TCP has not acknowledged yet."""
    writer = connection._writer  # noqa: SLF001 - aiokafka shows its transport nowhere else
    if writer is None:
        return -1
    waiting = array.array("i", [0])
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # closed meanwhile
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, waiting)
    return int(writer.transport.get_write_buffer_size()) + waiting[0]
