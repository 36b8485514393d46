"""A TCP connection to a name, whichever of its addresses answers first (after RFC 8305, "Happy Eyeballs").

A name may have an address on which nobody answers: IPv6 without a route, a second network card, a broker that moved.
So its addresses are tried side by side, the next one 250 ms after the one before, or as soon as that one fails.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

NEXT_AFTER_S: Final = 0.25


class Address(NamedTuple):
    """One address of a name, as `socket` takes it."""

    family: int
    sockaddr: tuple[Any, ...]


class Addresses:
    """Connects, and remembers which addresses took a connection and were then of no use: those are tried last."""

    def __init__(self) -> None:
        self._useless: Counter[Address] = Counter()

    async def connect(self, host: str, port: int) -> tuple[socket.socket, Address]:
        """A connected socket, and where to. Runs until cancelled, or until every address has failed.

        Raises:
            OSError: the name is not known, or no address takes a connection; each with its reason.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = in_turn([Address(family, sockaddr) for family, _, _, _, sockaddr in found])
        return await _first(sorted(addresses, key=lambda address: self._useless[address]))

    def note(self, address: Address, *, useful: bool) -> None:
        """What became of the connection: a broker answered there, or none did."""
        if useful:
            self._useless.pop(address, None)
        else:
            self._useless[address] += 1


def in_turn(addresses: Sequence[Address]) -> list[Address]:
    """One of each family in turn, beginning with the first's; each once."""
    unique = list(dict.fromkeys(addresses))
    first = [address for address in unique if address.family == unique[0].family]
    others = [address for address in unique if address.family != unique[0].family]
    return [address for address in chain(*zip_longest(first, others)) if address is not None]


async def _first(addresses: Sequence[Address]) -> tuple[socket.socket, Address]:
    """The first that takes a connection; all other attempts are ended."""
    waiting, failures = list(addresses), dict[Address, OSError]()
    tries: dict[asyncio.Future[socket.socket], Address] = {}
    try:
        while waiting or tries:
            if waiting:
                following = waiting.pop(0)
                tries[asyncio.ensure_future(_try(following))] = following
            done, _ = await asyncio.wait(
                tries, timeout=NEXT_AFTER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                address = tries.pop(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result(), address
                if not isinstance(error, OSError):
                    raise error
                failures[address] = error
    finally:
        await _end(tries)
    raise OSError(_reasons(failures))


async def _try(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except BaseException:  # raised on at once; a socket that nobody gets must not stay open
        sock.close()
        raise
    return sock


async def _end(tries: dict[asyncio.Future[socket.socket], Address]) -> None:
    """End what is still under way, or was connected in the same moment."""
    for attempt in tries:
        attempt.cancel()
    for ended in await asyncio.gather(*tries, return_exceptions=True):
        if isinstance(ended, socket.socket):
            ended.close()


def _reasons(failures: dict[Address, OSError]) -> str:
    """Why no address takes a connection: the reason alone, or each address with its own."""
    texts = {address: os.strerror(error.errno) if error.errno else str(error) for address, error in failures.items()}
    if len(texts) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{address.sockaddr[0]}: {text}" for address, text in texts.items()) or "it has no address"
