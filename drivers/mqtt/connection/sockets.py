"""A connected socket to the broker, TLS done, without ever blocking the event loop."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any

from drivers.mqtt.connection.refusals import cut_in_handshake, of_tls, plain, where
from drivers.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from drivers.mqtt.settings import MqttSettings, TlsSettings

AddressInfo = tuple[Any, Any, int, str, Any]
"""Family, kind, protocol, canonical name and address, as getaddrinfo gives them."""

CONNECT_TIMEOUT_S = 10.0
_EACH_S = 5.0
"""How long one of several addresses may take: three tries of TCP, on a slow link too."""
_NEXT_AFTER_S = 0.25

# OpenSSL's own numbers: a certificate out of its dates may be our clock, which on a box without a battery is
# wrong until the network is there.
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAME = (62, 64)
_UNKNOWN_AUTHORITY = (18, 19, 20, 21)


async def connect(settings: MqttSettings) -> socket.socket:
    """A non-blocking socket, connected.

    Raises:
        NotReady: nobody answers there now.
        Misconfigured: TLS cannot work as configured.
    """
    context = None if settings.tls is None else _context(settings.tls)
    place = where(settings)
    hint = "check that the broker is running and that this is its address"
    shaking = False
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            sock = await connect_tcp(settings.host, settings.port)
            if context is None:
                return sock
            shaking, hint = True, "does the broker speak TLS on this port, and what does its log say?"
            return await _shake_hands(sock, context, settings.host)
    except TimeoutError:
        raise NotReady(f"{place} does not answer", hint) from None
    except ssl.SSLCertVerificationError as error:
        raise await _unverified(settings, context, error) from error
    except ssl.SSLError as error:
        raise of_tls(settings, error) from error
    except UnicodeError as error:
        # Python's own check of names; a part is empty or has more than 63 characters.
        raise Misconfigured(f"{settings.host} cannot be the name of a host", "host", "correct it") from error
    except socket.gaierror as error:
        raise NotReady(
            f"{settings.host}: {plain(error)}",
            "is the name spelt right, and does this machine have a name server that knows it?",
        ) from error
    except OSError as error:
        if shaking and isinstance(error, ConnectionError):
            raise cut_in_handshake(settings) from error
        raise NotReady(f"{place}: {plain(error)}", hint) from error


async def _unverified(
    settings: MqttSettings, context: ssl.SSLContext | None, error: ssl.SSLCertVerificationError
) -> Exception:
    """Why the broker's certificate is not believed."""
    place = where(settings)
    if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
        return NotReady(f"{place}: {error.verify_message}", "renew it, unless this machine's clock is wrong")
    if error.verify_code in _OTHER_NAME:
        names = "" if context is None else await _names(settings, context)
        return Misconfigured(
            f"{place}: the broker's certificate is not for {settings.host}" + (f" but for {names}" if names else ""),
            "host",
            "write a name that the certificate has, or give the broker a certificate for this one",
        )
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return Misconfigured(
            f"{place}: the broker's certificate is not trusted: {error.verify_message}",
            ("tls", "ca_file"),
            "name the authority that signed the broker's certificate",
        )
    return Misconfigured(
        f"{place}: the broker's certificate is not accepted: {error.verify_message}",
        "tls",
        "give the broker another certificate",
    )


async def speaks_tls(settings: MqttSettings) -> bool:
    """Whether there is TLS behind the port: asked where plain MQTT got no answer, whose cause nobody could see."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(_EACH_S):
            (await _shake_hands(await connect_tcp(settings.host, settings.port), context, settings.host)).close()
    except ssl.SSLError as error:
        return "_ALERT_" in (error.reason or "")  # a refusal, but one in TLS
    except OSError:
        return False
    return True


async def _names(settings: MqttSettings, context: ssl.SSLContext) -> str:
    """The names that the broker's certificate has; OpenSSL gives them only where it was asked for no name."""
    context.check_hostname = False
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            sock = await _shake_hands(await connect_tcp(settings.host, settings.port), context, settings.host)
    except OSError:  # TimeoutError and every fault of TLS among them
        return ""
    with sock:
        found: Any = (sock.getpeercert() or {}).get("subjectAltName", ())
    return ", ".join(str(name) for _, name in found)


async def connect_tcp(host: str, port: int) -> socket.socket:
    """A connected socket to one of the host's addresses, tried side by side: the next after 250 ms (RFC 8305).

    So one address that swallows everything, as an IPv6 address without a way there does, costs a moment only.

    Raises:
        OSError: none of them answers; where there are several, it says so of each.
    """
    loop = asyncio.get_running_loop()
    left = deque(_alternating(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    bound_s = _EACH_S if len(left) > 1 else CONNECT_TIMEOUT_S
    running: dict[asyncio.Task[socket.socket], str] = {}
    failures: list[tuple[str, OSError]] = []
    try:
        while left or running:
            if left:
                info = left.popleft()
                running[loop.create_task(_attempt(info, bound_s))] = str(info[4][0])
            done, _ = await asyncio.wait(
                running, timeout=_NEXT_AFTER_S if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    del running[task]
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                failures.append((running.pop(task), error))
    finally:
        for task in running:
            task.cancel()
        for late in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(late, socket.socket):
                late.close()
    if len(failures) == 1:
        raise failures[0][1]
    raise OSError("; ".join(f"{address}: {plain(error)}" for address, error in failures) or f"{host} has no address")


def _alternating(found: list[AddressInfo]) -> list[AddressInfo]:
    """In the resolver's order, but the two families take turns."""
    first = [info for info in found if info[0] == found[0][0]]
    other = [info for info in found if info[0] != found[0][0]]
    return [info for pair in itertools.zip_longest(first, other) for info in pair if info is not None]


async def _attempt(info: AddressInfo, bound_s: float) -> socket.socket:
    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(bound_s):
            await asyncio.get_running_loop().sock_connect(sock, address)
    except TimeoutError:
        sock.close()
        raise OSError("does not answer") from None
    except BaseException:  # raised on at once; a cancelled attempt must not leak its socket
        sock.close()
        raise
    return sock


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
            f"{tls.ca_file}: {_why(error)}", ("tls", "ca_file"), "name an existing PEM file"
        ) from error
    if tls.cert_file is not None:
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(
                f"{tls.cert_file}, {tls.key_file}: {_why(error)}",
                ("tls", "cert_file"),
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
