"""One connection of the session at the broker, driven by the event loop: from CONNECT to its end.

There is no thread here and no reconnecting: a connection that is over says why, as NotReady or Misconfigured.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.mqtt.connection.client import READ_BYTES
from drivers.mqtt.connection.login import password
from drivers.mqtt.connection.publishes import Publishes
from drivers.mqtt.connection.refusals import closed_before_connack, of_connack, of_tls, taken_over, wants_tls, where
from drivers.mqtt.connection.sockets import CONNECT_TIMEOUT_S, connect, speaks_tls
from drivers.values import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from drivers.mqtt.connection.client import SessionClient
    from drivers.mqtt.packets import Received
    from drivers.mqtt.settings import MqttSettings

_ANSWER_TIMEOUT_S = 10.0
_TICK_S = 1.0
_FAREWELL_S = 2.0
_REFUSED_FROM = 128
_FEW_BYTES = 32 * 1024
"""A read that brought less leaves the socket alone for `gather_s`; one that brought more has work waiting there."""
_TAKEN_OVER = 142
_UNSPECIFIED = 128
"""paho gives it for any error of the socket."""
_ID_IN_USE = 145
_ID_TRIES = 10


class Session:
    """A connection. `on_received` gets what each read of the socket brought, before anything that follows it."""

    def __init__(
        self, settings: MqttSettings, client: SessionClient, on_received: Callable[[Received], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._client = client
        self._on_received = on_received
        self._connack: asyncio.Future[bool] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[list[Any]]] = {}
        self._publishes = Publishes(client, where(settings))
        self._password: str | None = None
        self._unanswered = False
        self._closed = asyncio.Event()
        self._tick: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None
        self._sock: Any = None
        self.paused = False
        self._stopped = False
        self.connected = False
        self.kept = False
        """Whether the broker had kept the session; messages of it may come in the same read as this word of it."""
        self.asked = False
        """Whether a subscription was asked for on this connection: retained messages come only from then on."""
        self.backlog = False
        """Whether what comes now was probably queued at the broker while we were away: from the broker's word that it
        kept the session until the driver has seen the end of it."""
        self.connected_at = 0.0
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Ends with the reason as its exception."""
        self.ended.add_done_callback(_look_at)
        client.on_socket_open = self._socket_open
        client.on_socket_close = self._socket_close
        client.on_socket_register_write = self._want_write
        client.on_socket_unregister_write = self._written
        client.on_connect = self._answered
        client.on_disconnect = self._disconnected
        client.on_subscribe = lambda *of: self._answer(of[2], of[3])
        client.on_unsubscribe = lambda *of: self._answer(of[2], of[3])
        client.on_publish = lambda *of: self._publishes.answered(of[2], of[3])

    async def open(self) -> bool:
        """Connect. True where the broker had kept the session.

        Raises:
            NotReady: nobody answers, or not now.
            Misconfigured: the broker refuses this client for good.
        """
        settings = self._settings
        if settings.username is not None:
            self._password = password(settings)
            self._client.username_pw_set(settings.username, self._password)
        sock = await connect(settings)
        self._client.start(sock)
        self._tick = self._loop.call_later(_TICK_S, self._keep_alive)
        either: list[asyncio.Future[Any]] = [self._connack, self.ended]
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self._end(
                NotReady(
                    f"{self._where} accepted the connection but does not answer",
                    f"check that it supports MQTT {settings.version}",
                )
            )
        if self._unanswered and settings.tls is None and await speaks_tls(settings):
            raise wants_tls(settings)
        if self.ended.done():
            self.ended.result()
        return self._connack.result()

    @property
    def _where(self) -> str:
        return where(self._settings)

    # What the driver asks for.

    async def subscribe(self, filters: Mapping[str, int]) -> dict[str, str]:
        """Subscribe; the answer is the filters that the broker refused, and why.

        Raises:
            NotReady: the connection ended meanwhile.
        """

        def ask(names: list[str]) -> tuple[MQTTErrorCode, int | None]:
            # Not only from its answer on: a broker may send retained messages ahead of that.
            self.asked = True
            if not self._client.version_5:
                return self._client.subscribe([(name, filters[name]) for name in names])
            # Retained messages come for subscriptions that are new, not again after each reconnect.
            new = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
            wanted: list[Any] = [(name, SubscribeOptions(filters[name], retainHandling=new)) for name in names]
            return self._client.subscribe(wanted)

        return await self._settle(list(filters), ask)

    async def unsubscribe(self, filters: Iterable[str]) -> None:
        """Unsubscribe; done once the broker says so.

        Raises:
            NotReady: the connection ended meanwhile.
        """
        await self._settle(list(filters), self._client.unsubscribe)

    async def _settle(
        self, names: list[str], ask: Callable[[list[str]], tuple[MQTTErrorCode, int | None]]
    ) -> dict[str, str]:
        """Ask for all of these, and again under another packet id for those whose id was in use.

        Some brokers (mochi) mean by it the id of a message of their own that waits for our acknowledgement. MQTT
        3.1.1 has one code for every refusal: there it is asked for once more, if the session may hold messages.
        """
        refused: dict[str, str] = {}
        unnamed = self.kept and not self._client.version_5
        for _ in range(_ID_TRIES):
            if not names:
                break
            codes = await self._ask(ask(names))
            answered = list(zip(names, codes, strict=False))
            refused.update({name: str(code).lower() for name, code in answered if code.value >= _REFUSED_FROM})
            names = [name for name, code in answered if code.value == _ID_IN_USE or (unnamed and name in refused)]
            unnamed = False
            if names:
                self._client.renumber()
                refused = {name: why for name, why in refused.items() if name not in names}
        return refused | dict.fromkeys(names, "packet identifier in use, on every attempt")

    async def _ask(self, asked: tuple[MQTTErrorCode, int | None]) -> list[Any]:
        code, number = asked
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or number is None:
            raise NotReady(f"{self._where} is not connected")
        answer = self._answers[number] = self._loop.create_future()
        try:
            return await asyncio.wait_for(answer, _ANSWER_TIMEOUT_S)
        except TimeoutError:
            raise NotReady(f"{self._where} does not answer a subscription") from None
        finally:
            self._answers.pop(number, None)

    def renumber(self) -> None:
        """Publish under packet ids that are unlikely to be those of the broker's own messages.

        They count separately in each direction; but mochi forgets a message that waits for our acknowledgement when
        we publish under its id.
        """
        self._client.renumber()

    @property
    def retains(self) -> bool:
        """Whether the broker keeps retained messages."""
        return self._publishes.retains

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Publish; done once the broker has acknowledged (QoS 0: once it is sent). In the order of the calls.

        Raises:
            NotReady: not connected, or the connection ended first, or the broker refused it.
        """
        await self._publishes.publish(topic, payload, qos=qos, retain=retain)

    def acknowledge(self, packets: bytes) -> None:
        """Send acknowledgements, unless the connection that their messages came on is over."""
        if self.connected:
            self._client.acknowledge(packets)

    def pause(self) -> None:
        """Stop reading: what comes waits in the socket, then at the broker."""
        if not self.paused and self._sock is not None:
            self.paused = True
            self._stop_reading()

    def stop_reading(self) -> None:
        """Read nothing more on this connection: what still comes is not taken, and so comes again."""
        self.pause()
        self._stopped = True

    def resume(self) -> None:
        """Read again, unless reading was stopped."""
        if self.paused and not self._stopped:
            self.paused = False
            if self._sock is not None:
                self._watch(self._loop.add_reader, self._readable)

    async def leave(self) -> None:
        """End the connection in an orderly way, with what is still to be written; the session stays at the broker."""
        if self.connected and self._sock is not None:
            self.stop_reading()
            self._watch(self._loop.add_reader, self._discard)
            self._client.say_goodbye()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), _FAREWELL_S)
        self.close()

    def close(self) -> None:
        """End the connection at once. Closing twice is allowed."""
        self._end(NotReady(f"the connection to {self._where} was closed"))

    # What the event loop and paho tell.

    def _readable(self) -> None:
        if self.paused or self._sock is None:
            return
        try:
            received = self._client.receive()
        except Exception as error:  # noqa: BLE001 - in a loop's callback nobody else would see it; run() raises it
            self._end(error)
            return
        self._on_received(received)
        if received.end is not None:
            self._lost(received.end)
        elif received.more:
            self._loop.call_soon(self._readable)
        elif self._settings.gather_s and self._sock is not None and not self.paused:
            self._gather(received)

    def _gather(self, received: Received) -> None:
        """While little comes at a time, look by the clock: waking up for each message is most of what it costs."""
        little = bool(received.messages) and received.size < _FEW_BYTES
        if little and self._gathering is None:
            self._loop.remove_reader(self._sock)
        elif not little and self._gathering is not None:
            self._watch(self._loop.add_reader, self._readable)
        self._gathering = self._loop.call_later(self._settings.gather_s, self._readable) if little else None

    def _stop_reading(self) -> None:
        self._loop.remove_reader(self._sock)
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def _discard(self) -> None:
        """After our farewell: what still comes will come again. Wait for the broker to close."""
        try:
            over = self._sock is None or not self._sock.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            over = False
        except OSError:
            over = True
        if over:
            self._client.abandon()

    def _writable(self) -> None:
        self._client.loop_write()

    def _keep_alive(self) -> None:
        self._tick = self._loop.call_later(_TICK_S, self._keep_alive)
        self._client.loop_misc()
        if not self.paused and self._gathering is None and self._something_waits():
            self._readable()

    def _something_waits(self) -> bool:
        """Whether data or the end of the connection waits to be read.

        The event loop does not always say so. uvloop tells an error on a socket once and looks at the socket no more;
        if data came with a reset, the one read took the data, and the end would be seen at the keepalive alone.
        """
        if self._sock is None:
            return False
        try:
            socket.socket.recv(self._sock, 1, socket.MSG_PEEK)  # also under TLS, which knows no peek of its own
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        return True

    def _watch(self, add: Callable[[Any, Callable[[], None]], None], tell: Callable[[], None]) -> None:
        """Have the loop tell of the socket; one that uvloop looks at no more has had an error, so it is lost."""
        try:
            add(self._sock, tell)
        except RuntimeError:
            self._loop.call_soon(self._lost, "")  # later, for paho may hold its lock

    def _socket_open(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._sock = sock
        self._watch(self._loop.add_reader, self._readable)

    def _socket_close(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._stop_reading()
        self._loop.remove_writer(sock)
        self._sock = None
        self._closed.set()

    def _want_write(self, _client: Any, _userdata: Any, _sock: Any) -> None:
        self._watch(self._loop.add_writer, self._writable)

    def _written(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _answered(self, _client: Any, _userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.value < _REFUSED_FROM:
            self.connected = True
            self.kept = self.backlog = flags.session_present
            self.connected_at = self._loop.time()
            self._publishes.begin(properties)
            if not self._connack.done():
                self._connack.set_result(flags.session_present)
            return
        said = getattr(properties, "ReasonString", None)
        self._end(of_connack(self._settings, code.value, str(code), said, self._password))

    def _disconnected(self, _client: Any, _userdata: Any, flags: Any, code: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server and code.value == _TAKEN_OVER:
            self._end(taken_over(self._settings))
        elif flags.is_disconnect_packet_from_server:
            self._end(NotReady(f"{self._where} ended the connection: {str(code).lower()}"))
        else:
            self._lost("" if code.value == _UNSPECIFIED else str(code).lower())

    def _lost(self, why: str) -> None:
        fault = self._client.fault
        if self.ended.done():
            return  # the broker has said why
        if self._connack.done():
            self._end(NotReady(f"connection to {self._where} lost{why and ': '}{why}"))
        elif isinstance(fault, ssl.SSLError) and not isinstance(fault, ssl.SSLEOFError):
            self._end(of_tls(self._settings, fault))
        else:
            self._unanswered = True
            self._end(closed_before_connack(self._settings, why, self._password))

    def _end(self, reason: Exception) -> None:
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        self.connected = False
        if not self.ended.done():
            self.ended.set_exception(reason)
        if self._sock is not None:
            self._stop_reading()
        if self._client.in_callback():
            self._loop.call_soon(self._client.abandon)  # paho's lock is held, and closing would take it again
        else:
            self._client.abandon()
        lost = NotReady(f"not acknowledged: {self.ended.exception()}")
        self._publishes.end(lost)
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(lost)

    def _answer(self, number: int, codes: list[Any]) -> None:
        answer = self._answers.get(number)
        if answer is not None and not answer.done():
            answer.set_result(list(codes))


def _look_at(ended: asyncio.Future[None]) -> None:
    """Nobody may be waiting any more; then the reason needs no mention at the end of the loop."""
    if not ended.cancelled():
        ended.exception()
