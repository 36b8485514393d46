"""paho's client, fed from reads of our own.

paho owns the session: CONNECT and its answer, subscriptions, what we publish, keep-alive. It would also read each
packet by itself, byte by byte from the socket, for more than all the rest of a reading's way costs. So here the
socket is read in large pieces, messages are cut out of them, and paho gets every other packet as if it had read it.

Private names of paho used here: `_sock_recv` and `_create_socket` (overridden), `_sock`, `_sock_close`,
`_packet_queue`, `_in_callback_mutex`, `_last_mid` and `_last_bytes_received`. The tests run all that the driver does
over them.
"""

from __future__ import annotations

import secrets
import ssl
import time
from typing import TYPE_CHECKING

from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MessageType
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from drivers.mqtt.connection.refusals import plain
from drivers.mqtt.packets import Malformed, Received, Splitter

if TYPE_CHECKING:
    import socket

    from drivers.mqtt.settings import MqttSettings

_MOST_ID = 65_535
READ_BYTES = 64 * 1024
"""What one turn of the event loop takes from one broker at most, so that others have their turn."""


class SessionClient(Client):
    """One connection of a persistent session, acknowledged by hand, never reconnecting by itself."""

    def __init__(self, settings: MqttSettings, held: set[int], *, clean: bool = False) -> None:
        """Prepare a connection; `held` as in Splitter. `clean` drops the session that the broker may have kept."""
        self.version_5 = settings.version == "5"
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if self.version_5 else clean,
            protocol=MQTTv5 if self.version_5 else MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._settings = settings
        self._clean = clean
        self._splitter = Splitter(version_5=self.version_5, other=self._pass_on, held=held)
        self._prepared: socket.socket | None = None
        self._passed = b""
        self.fault: OSError | None = None
        """What ended the connection, where it was an error of the network or of TLS."""

    def start(self, sock: socket.socket) -> None:
        """Send CONNECT over a connected socket, TLS done. The socket is the client's from here on."""
        self._prepared = sock
        settings = self._settings
        properties: Properties | None = None
        if self.version_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            properties.SessionExpiryInterval = settings.session_expiry_s
            properties.ReceiveMaximum = settings.receive_maximum
        self.connect(
            settings.host,
            settings.port,
            settings.keepalive_s,
            clean_start=self._clean if self.version_5 else MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
        )

    def _create_socket(self) -> socket.socket:
        if self._prepared is None:
            raise ConnectionError("no socket is prepared")
        return self._prepared

    def receive(self) -> Received:
        """Read what has come, a bounded piece of it, and take it apart."""
        received = Received()
        budget = READ_BYTES
        while budget > 0:
            sock = self._sock
            if sock is None:  # a DISCONNECT was among it, and paho has closed
                break
            try:
                data = sock.recv(budget)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                self.fault = error
                received.end = plain(error)
                break
            if not data:
                received.end = ""
                break
            self._last_bytes_received = time.monotonic()
            try:
                self._splitter.feed(data, received)
            except Malformed as error:
                received.end = str(error)
                break
            budget -= len(data)
            received.size += len(data)
            if not isinstance(sock, ssl.SSLSocket):
                break
        else:
            # TLS keeps what it has decrypted where no selector sees it.
            received.more = True
        return received

    def _pass_on(self, packet: bytes) -> None:
        self._passed = packet
        self.loop_read()

    def _sock_recv(self, bufsize: int) -> bytes:
        piece, self._passed = self._passed[:bufsize], self._passed[bufsize:]
        if not piece:
            raise BlockingIOError
        return piece

    def acknowledge(self, packets: bytes) -> None:
        """Send ready-made acknowledgements, all in one write where the socket takes them."""
        self._packet_queue(MessageType.PUBACK, packets, 0, 1)
        self.loop_write()

    def say_goodbye(self) -> None:
        """Send DISCONNECT and leave the socket open for the broker to close.

        paho would close it on what the broker is still sending, and the reset that follows takes acknowledgements
        along that the broker has not read yet.
        """
        self._packet_queue(MessageType.PINGREQ, b"\xe0\x00", 0, 0)
        self.loop_write()

    def renumber(self) -> None:
        """Go on under other packet ids, drawn at random."""
        self._last_mid = secrets.randbelow(_MOST_ID)

    def abandon(self) -> None:
        """Close the socket at once, telling nobody."""
        self._sock_close()

    def in_callback(self) -> bool:
        """Whether paho is calling us right now. It does so under a lock that closing would wait for."""
        return self._in_callback_mutex.locked()
