"""A connected socket to the broker, TLS done, without ever blocking the event loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

from drivers.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from drivers.mqtt.settings import MqttSettings, TlsSettings

CONNECT_TIMEOUT_S = 10.0

# OpenSSL's own numbers: a certificate out of its dates may be our clock, which on a box without a battery is
# wrong until the network is there.
_NOT_YET_VALID, _EXPIRED = 9, 10


async def connect(settings: MqttSettings) -> socket.socket:
    """A non-blocking socket, connected.

    Raises:
        NotReady: nobody answers there now.
        Misconfigured: TLS cannot work as configured.
    """
    context = None if settings.tls is None else _context(settings.tls)
    where = f"{settings.host}:{settings.port}"
    hint = "is the broker running, and is this its address?"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            sock = await _connect_tcp(settings.host, settings.port)
            if context is None:
                return sock
            hint = "does the broker speak TLS on this port, and what does its log say?"
            return await _shake_hands(sock, context, settings.host)
    except TimeoutError:
        raise NotReady(f"{where} does not answer", hint) from None
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            raise NotReady(
                f"{where}: {error.verify_message}", "renew it, unless this machine's clock is wrong"
            ) from error
        raise Misconfigured(
            f"{where}: {error.verify_message}",
            "tls.ca_file",
            "name the authority that signed the broker's certificate",
        ) from error
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            raise Misconfigured(f"{where} does not speak TLS", "tls", "remove tls, or use the port for it") from error
        raise NotReady(f"{where}: {error.reason or error}", hint) from error
    except UnicodeError as error:
        # Python's own check of names; a part is empty or has more than 63 characters.
        raise Misconfigured(f"{settings.host} cannot be the name of a host", "host", "correct it") from error
    except OSError as error:
        raise NotReady(f"{where}: {error.strerror or error}", hint) from error


async def _connect_tcp(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:  # raised on at once; a cancelled attempt must not leak its socket
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _shake_hands(raw: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    try:
        sock = context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:  # raised on at once; a cancelled attempt must not leak its socket
        raw.close()
        raise
    try:
        while True:
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                await _ready(sock, writing=False)
            except ssl.SSLWantWriteError:
                await _ready(sock, writing=True)
            else:
                return sock
    except BaseException:  # raised on at once; a cancelled attempt must not leak its socket
        sock.close()
        raise


async def _ready(sock: socket.socket, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    (loop.add_writer if writing else loop.add_reader)(sock, tell)
    try:
        await ready
    finally:
        (loop.remove_writer if writing else loop.remove_reader)(sock)


def _context(tls: TlsSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if tls.ca_file is None else str(tls.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(
            f"{tls.ca_file}: {_why(error)}", "tls.ca_file", "name a PEM file that is there"
        ) from error
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(
                f"{tls.cert_file}, {tls.key_file}: {_why(error)}",
                "tls.cert_file",
                "name a certificate and its key without a passphrase, both PEM",
            ) from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.dates is not None:
        tls.dates.prepare(context)
    return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"cannot be used ({error.reason})"
    return error.strerror or str(error)
