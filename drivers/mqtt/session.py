"""One connection of the session at the broker, driven by the event loop: from CONNECT to its end.

There is no thread here and no reconnecting: a connection that is over says why, as NotReady or Misconfigured.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.mqtt.client import READ_BYTES
from drivers.mqtt.sockets import CONNECT_TIMEOUT_S, connect
from drivers.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from drivers.mqtt.client import SessionClient
    from drivers.mqtt.packets import Received
    from drivers.mqtt.settings import MqttSettings

_ANSWER_TIMEOUT_S = 10.0
_TICK_S = 1.0
_FAREWELL_S = 1.0
_REFUSED_FROM = 128
_FEW_BYTES = 32 * 1024
"""A read that brought less leaves the socket alone for `gather_s`; one that brought more has work waiting there."""
_TAKEN_OVER = 142

# MQTT 5 reason codes of a CONNACK that only a change of config cures. paho translates those of 3.1.1.
_CURES: Mapping[int, tuple[str, str]] = {
    132: ("version", "set version to the one that the broker speaks"),
    133: ("client_id", "choose a client_id that the broker accepts"),
    134: ("password_file", "check username and the file of the password"),
    135: ("username", "give this user the right to connect, or name another one"),
    138: ("client_id", "the broker bans this client"),
    140: ("username", "the broker wants another way of authentication"),
}


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
        self._published: dict[int, asyncio.Future[None]] = {}
        self._closed = asyncio.Event()
        self._tick: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None
        self._sock: Any = None
        self.paused = False
        self.connected = False
        self.kept = False
        """Whether the broker had kept the session; messages of it may come in the same read as this word of it."""
        self.dropped = False
        """The broker closed the connection without a word, or another client took it: what a take-over looks like."""
        self.connected_at = 0.0
        self.retains = True
        """Whether the broker keeps retained messages; one of MQTT 5 that does not ends the connection over one."""
        self._most_qos = 2
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
        client.on_publish = self._publish_answered

    async def open(self) -> bool:
        """Connect. True where the broker had kept the session.

        Raises:
            NotReady: nobody answers, or not now.
            Misconfigured: the broker refuses this client for good.
        """
        settings = self._settings
        if settings.username is not None:
            self._client.username_pw_set(settings.username, _password(settings))
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
                    f"{self._where} took the connection and does not answer",
                    f"is it a broker of MQTT {settings.version}?",
                )
            )
        if self.ended.done():
            self.ended.result()
        return self._connack.result()

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    # What the driver asks for.

    async def subscribe(self, filters: Mapping[str, int]) -> list[str]:
        """Subscribe; the answer is the filters that the broker refused.

        Raises:
            NotReady: the connection ended meanwhile.
        """
        if not filters:
            return []
        if self._client.version_5:
            # Retained messages come for subscriptions that are new, not again after each reconnect.
            wanted: list[Any] = [
                (name, SubscribeOptions(qos, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB))
                for name, qos in filters.items()
            ]
        else:
            wanted = list(filters.items())
        codes = await self._ask(self._client.subscribe(wanted))
        return [name for name, code in zip(filters, codes, strict=False) if code.value >= _REFUSED_FROM]

    async def unsubscribe(self, filters: Iterable[str]) -> None:
        """Unsubscribe; done once the broker says so.

        Raises:
            NotReady: the connection ended meanwhile.
        """
        names = list(filters)
        if names:
            await self._ask(self._client.unsubscribe(names))

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

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Publish; done once the broker has acknowledged (QoS 0: once it is sent).

        A broker that keeps no retained messages, or takes a lower QoS only, gets what it takes: better heard once
        than never.

        Raises:
            NotReady: not connected, or the connection ended first, or the broker refused it.
        """
        if not self.connected:
            raise NotReady(f"{self._where} is not connected")
        info = self._client.publish(topic, payload, qos=min(qos, self._most_qos), retain=retain and self.retains)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NotReady(f"{self._where} is not connected")
        done = self._published[info.mid] = self._loop.create_future()
        try:
            await done
        finally:
            self._published.pop(info.mid, None)

    def acknowledge(self, packets: bytes) -> None:
        """Send acknowledgements, unless the connection that their messages came on is over."""
        if self.connected:
            self._client.acknowledge(packets)

    def pause(self) -> None:
        """Stop reading: what comes waits in the socket, then at the broker."""
        if not self.paused and self._sock is not None:
            self.paused = True
            self._stop_reading()

    def resume(self) -> None:
        """Read again."""
        if self.paused:
            self.paused = False
            if self._sock is not None:
                self._loop.add_reader(self._sock, self._readable)

    async def leave(self) -> None:
        """End the connection in an orderly way, with what is still to be written; the session stays at the broker."""
        if self.connected and self._sock is not None:
            self._stop_reading()
            self._loop.add_reader(self._sock, self._discard)
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
            self._loop.add_reader(self._sock, self._readable)
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

    def _socket_open(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._sock = sock
        self._loop.add_reader(sock, self._readable)

    def _socket_close(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._stop_reading()
        self._loop.remove_writer(sock)
        self._sock = None
        self._closed.set()

    def _want_write(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._loop.add_writer(sock, self._writable)

    def _written(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _answered(self, _client: Any, _userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.value < _REFUSED_FROM:
            self.connected = True
            self.kept = flags.session_present
            self.connected_at = self._loop.time()
            self.retains = bool(getattr(properties, "RetainAvailable", 1))
            self._most_qos = getattr(properties, "MaximumQoS", 2)
            if not self._connack.done():
                self._connack.set_result(flags.session_present)
            return
        reason = f"{self._where} refuses the connection: {str(code).lower()}"
        said = getattr(properties, "ReasonString", None)
        reason = f"{reason} ({said})" if said else reason
        cure = _CURES.get(code.value)
        self._end(Misconfigured(reason, *cure) if cure else NotReady(reason, "what does the broker's log say?"))

    def _disconnected(self, _client: Any, _userdata: Any, flags: Any, code: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server and code.value == _TAKEN_OVER:
            self._end(taken_over(self._settings))
        elif flags.is_disconnect_packet_from_server:
            self._end(NotReady(f"{self._where} ended the connection: {str(code).lower()}"))
        else:
            self._end(NotReady(f"the connection to {self._where} is lost: {str(code).lower()}"))

    def _lost(self, why: str) -> None:
        if not self._connack.done():
            hint = "is this a port for TLS, does the broker know this version of MQTT, and what does its log say?"
            self._end(NotReady(f"{self._where} closed the connection without an answer{why and ': '}{why}", hint))
        else:
            self.dropped = not why
            self._end(NotReady(f"the connection to {self._where} is lost{why and ': '}{why}"))

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
        lost = NotReady(f"the connection to {self._where} ended first")
        pending: list[asyncio.Future[Any]] = [*self._answers.values(), *self._published.values()]
        for waiting in pending:
            if not waiting.done():
                waiting.set_exception(lost)

    def _answer(self, number: int, codes: list[Any]) -> None:
        answer = self._answers.get(number)
        if answer is not None and not answer.done():
            answer.set_result(list(codes))

    def _publish_answered(self, _client: Any, _userdata: Any, number: int, code: Any, _properties: Any) -> None:
        done = self._published.get(number)
        if done is None or done.done():
            return
        if code.value >= _REFUSED_FROM:
            done.set_exception(NotReady(f"{self._where} did not take a message: {str(code).lower()}"))
        else:
            done.set_result(None)


def taken_over(settings: MqttSettings) -> Misconfigured:
    """Another client uses our name; reconnecting would only throw it out, and it us, for ever."""
    return Misconfigured(
        f"another client at {settings.host}:{settings.port} uses the client id {settings.client_id!r}",
        "client_id",
        "give each gateway and each connection a client_id of its own",
    )


def _password(settings: MqttSettings) -> str | None:
    if settings.password_file is None:
        return None
    try:
        # Editors on Windows put a byte-order mark before the text; it is not part of the password.
        return settings.password_file.read_text("utf-8-sig").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise Misconfigured(
            f"{settings.password_file}: {reason}", "password_file", "name a file that the daemon may read"
        ) from error


def _look_at(ended: asyncio.Future[None]) -> None:
    """Nobody may be waiting any more; then the reason needs no mention at the end of the loop."""
    if not ended.cancelled():
        ended.exception()
