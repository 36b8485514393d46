"""Connections to brokers, and requests that are given up for lack of progress, not of completion (D14).

The one place that touches aiokafka's connections. Its client is not used: it keeps a metadata task of its own,
retries and logs at each attempt, and shares its connections. Here every failure goes to the caller, who decides
what follows.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import logging
import socket
import ssl
import termios
import weakref
from typing import TYPE_CHECKING, Any

from aiokafka.conn import READER_LIMIT, AIOKafkaConnection, AIOKafkaProtocol
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from sync.kafka.connection.addresses import Addresses
from sync.kafka.connection.handshake import LOGIN_FAULTS, NO_KAFKA, cure, of_login, said
from sync.kafka.connection.logins import Logins
from sync.kafka.settings import password, tls_context
from sync.values import Misconfigured, NotOffered, Unreachable

if TYPE_CHECKING:
    from sync.kafka.connection.traffic import Traffic
    from sync.kafka.settings import KafkaSettings

# It logs each connection, each password sent in the clear, and a traceback for each answer that it cannot read; what
# goes wrong reaches the caller as an error.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

_IDLE_MS = 180_000
"""Sooner than routers forget a silent connection: an alarm must not be the one to find that out."""

_DATES = (9, 10)
"""OpenSSL's numbers for a certificate that is not valid yet, or no longer: time may mend it."""

_BULK_SEND_BUFFER_BYTES = 16 * 1024

_FOREVER_MS = 10 * 24 * 3600 * 1000
"""aiokafka's own time-out is one of completion; `Connector.ask` has a better one."""


class ConnectionCut(Unreachable):
    """No answer, for the other side ended the connection: a kept one may have been cut while nobody looked."""


class _Watch:
    """Closes a connection on which neither a byte has left nor one of the answer has come for `timeout_s`."""

    def __init__(self, connection: Any, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._period_s = timeout_s / 8
        self._seen = (-1, -1)
        self._quiet_s = 0.0
        self.verdict = ""
        self._timer = asyncio.get_running_loop().call_later(self._period_s, self._look)

    def _look(self) -> None:
        seen = _unsent_bytes(self._connection), _come_bytes(self._connection)
        self._quiet_s = self._quiet_s + self._period_s if seen == self._seen else 0.0
        self._seen = seen
        if self._quiet_s >= self._timeout_s:
            self.verdict = f"no progress for {self._timeout_s:g} s"
            self._connection.close()
        else:
            self._timer = asyncio.get_running_loop().call_later(self._period_s, self._look)

    def stop(self) -> None:
        self._timer.cancel()


class _Connection(AIOKafkaConnection):  # type: ignore[misc] # aiokafka ships no types
    """aiokafka's connection over a socket that is connected already."""

    closed_for = ""
    """Why we closed it while others may have waited on it."""

    async def connect_over(self, sock: socket.socket) -> None:
        """As `connect`, which would try a name's addresses one after the other, without a bound each."""
        loop, tls = asyncio.get_running_loop(), self._ssl_context
        self._closed_fut = loop.create_future()
        reader = asyncio.StreamReader(limit=READER_LIMIT, loop=loop)
        protocol = AIOKafkaProtocol(self._closed_fut, reader, loop=loop)
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol, sock=sock, ssl=tls, server_hostname=self.host if tls is not None else None
            )
        except BaseException:  # raised on at once; a socket that nobody has must not stay open
            sock.close()
            raise
        self._reader, self._protocol = reader, protocol
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._read_task = self._create_reader_task()
        self._idle_handle = loop.call_soon(self._idle_check, weakref.ref(self))
        try:
            await self._do_version_lookup()
            if self._security_protocol.startswith("SASL"):
                await self._do_sasl_handshake()
        except BaseException:  # raised on at once, as above
            self.close()
            raise

    def offers(self, request: Any) -> bool:
        """Whether the broker has this question in a version that we know, by its answer to ApiVersions."""
        least, most = self._versions.get(request.API_KEY, (0, -1))
        return any(least <= version.API_VERSION <= most for version in request._CLASSES)  # noqa: SLF001 - ours


class Connector:
    """Makes connections with one set of credentials, and asks on them."""

    def __init__(self, settings: KafkaSettings, traffic: Traffic, logins: Logins | None = None) -> None:
        self._settings = settings
        self._traffic = traffic
        self._logins = logins or Logins()
        self._addresses = Addresses()
        self.patience_s = settings.connect_timeout_s
        """How long a connection may take."""
        self._answered = False
        """Whether a question was ever answered: then what is closed later says nothing of the settings."""

    async def dial(self, host: str, port: int, line: str) -> Any:
        """A new connection, logged in; what it moves is counted for `line`.

        Raises:
            Unreachable: nobody answers there.
            Misconfigured: our certificate or credentials are refused, or were a moment ago (`Logins`).
        """
        async with self._logins.attempt(self._settings, where := f"{host}:{port}"):
            connection = await self._dial(host, port, where, line)
            self._logins.let_in(where)
        self._traffic.track(connection, line)
        return connection

    async def _dial(self, host: str, port: int, where: str, line: str) -> Any:
        settings = self._settings
        try:
            tls, secret = tls_context(settings), password(settings)
        except Misconfigured as fault:
            # Files are replaced one after the other: for a moment a key need not fit its certificate.
            raise self._refused(where, fault.reason, fault.field, fault.hint) from fault
        connection = None
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                connection = await self._open(self._new(host, port, tls, secret))
        except TimeoutError as error:
            raise Unreachable(f"{where} did not answer within {settings.connect_timeout_s:g} s") from error
        except LOGIN_FAULTS as error:
            raise self._logins.refused(settings, where, of_login(where, error, settings)) from error
        except ssl.SSLCertVerificationError as error:
            raise self._mistrusted(where, error) from error
        except UnicodeError as error:
            # Python's own check of names; a part is empty or has more than 63 characters.
            raise Unreachable(f"{host} cannot be the name of a host") from error
        except (OSError, KafkaError, *NO_KAFKA) as error:
            alert = _alert(error)
            if alert is None:
                raise Unreachable(f"{where}: {said(error)}", self._cure(error)) from error
            hint = "it must be valid now, and signed by an authority that the brokers trust"
            reason = f"{where} refuses our certificate: {alert}"
            raise self._refused(where, reason, "kafka.cert_file", hint) from error
        finally:
            if connection is None:
                self._traffic.failed(line, tls=tls is not None)
        return connection

    def _mistrusted(self, where: str, error: ssl.SSLCertVerificationError) -> Misconfigured | Unreachable:
        reason = f"{where}: {error.verify_message}"
        if error.verify_code in _DATES:
            return Unreachable(reason, "renew it, unless this machine's clock is wrong")
        hint = "the brokers' certificate must be signed by this CA and name their host"
        return self._refused(where, reason, "kafka.ca_file", hint)

    async def _open(self, connection: _Connection) -> _Connection:
        """Connect to whichever address of its host answers first, and log in."""
        sock, address = await self._addresses.connect(connection.host, connection.port)
        useful = False
        try:
            await connection.connect_over(sock)
            useful = True
        finally:
            self._addresses.note(address, useful=useful)
        return connection

    def _new(self, host: str, port: int, tls: ssl.SSLContext | None, secret: str | None) -> _Connection:
        settings = self._settings
        return _Connection(
            host,
            port,
            client_id=settings.client_id,
            request_timeout_ms=_FOREVER_MS,
            ssl_context=tls,
            security_protocol=settings.security.upper(),
            sasl_mechanism=settings.sasl_mechanism if secret is not None else None,
            sasl_plain_username=settings.username,
            sasl_plain_password=secret,
            max_idle_ms=_IDLE_MS,
            on_close=lambda closed, _reason: self._traffic.closing(closed),
        )

    def _refused(self, where: str, reason: str, field: str, hint: str = "") -> Misconfigured | Unreachable:
        return self._logins.refused(self._settings, where, Misconfigured(reason, field, hint, where))

    async def ask(self, connection: Any, request: Any) -> Any:
        """Send a request and wait for its answer; anything else closes the connection.

        Time runs only while nothing moves: as long as bytes leave, a slow link may take what it needs.

        Raises:
            Unreachable: no answer.
            NotOffered: the broker does not have this question; nothing was sent, and the connection stands.
        """
        if not connection.offers(request):
            raise NotOffered(f"{connection.host}:{connection.port} does not answer {_title(request)}")
        watch = _Watch(connection, self._settings.request_timeout_s)
        answered = False
        try:
            answer = await connection.send(request)
            answered = self._answered = True
        except IncompatibleBrokerVersion as error:
            raise NotOffered(f"{connection.host}:{connection.port}: {error}") from error
        # ValueError: an answer that cannot be decoded
        except (OSError, KafkaError, EOFError, ValueError) as error:
            raise self._unanswered(connection, watch.verdict or connection.closed_for, error) from error
        finally:
            watch.stop()
            if not answered:
                connection.close()
        return answer

    def _unanswered(self, connection: _Connection, why: str, error: BaseException) -> Unreachable:
        if why:
            return Unreachable(why)
        hint = self._cure(error)
        if not hint:
            return ConnectionCut(said(error))
        return ConnectionCut(f"{connection.host}:{connection.port}: {said(error)} ({hint})", hint)

    def _cure(self, error: BaseException) -> str:
        return "" if self._answered else cure(error, self._settings)


def _alert(error: BaseException | None) -> str | None:
    """What the other side's TLS had to say against our certificate; it says so once the handshake looks done."""
    while error is not None:
        if isinstance(error, ssl.SSLError) and "CERTIFICATE" in (error.reason or ""):
            return str(error.reason).lower().replace("_", " ")
        error = error.__cause__
    return None


def _title(request: Any) -> str:
    """The question's name in Kafka's protocol."""
    return getattr(request, "TITLE", type(request).__name__.removesuffix("Request"))


def keep_send_buffer_small(connection: Any) -> None:
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


def _come_bytes(connection: Any) -> int:
    """Bytes of an answer that is not whole yet."""
    reader = connection._reader  # noqa: SLF001 - aiokafka shows its stream nowhere else
    return -1 if reader is None else len(reader._buffer)  # noqa: SLF001 - asyncio counts it nowhere else
