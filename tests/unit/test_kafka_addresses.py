"""A name with several addresses: whichever answers first, the next one soon, and a useless one last."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, contextmanager

import pytest

from sync.kafka.connection.addresses import Address, Addresses, in_turn

IPV4, IPV6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def named(monkeypatch):
    """`named(*addresses)`: what the name server says of every name."""

    def say(*addresses):
        async def getaddrinfo(_host, port, **_):
            return [(family, socket.SOCK_STREAM, 6, "", (ip, port)) for family, ip in addresses]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    return say


@contextmanager
def swallowing(ip, port):
    """An address at which SYNs get no answer: its queue of connections is full, and nobody accepts."""
    with ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind((ip, port))
        hole.listen(0)
        for _ in range(6):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((ip, port))
        yield


async def connect(addresses, port):
    async with asyncio.timeout(20):
        sock, address = await addresses.connect("broker.test", port)
    sock.close()
    return address.sockaddr[0]


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield server.getsockname()[1]


def test_families_take_turns_beginning_with_the_first():
    given = [Address(IPV6, ("a", 1)), Address(IPV6, ("b", 1)), Address(IPV6, ("a", 1)), Address(IPV4, ("c", 1))]
    assert [address.sockaddr[0] for address in in_turn(given)] == ["a", "c", "b"]
    assert in_turn([]) == []


@pytest.mark.parametrize("silent", [["127.0.0.2"], ["127.0.0.2", "127.0.0.3", "127.0.0.4"]])
async def test_addresses_that_do_not_answer_hold_up_no_other(named, listening, silent):
    named(*[(IPV4, ip) for ip in silent], (IPV4, "127.0.0.1"))
    with ExitStack() as stack:
        for ip in silent:
            stack.enter_context(swallowing(ip, listening))
        assert await connect(Addresses(), listening) == "127.0.0.1"


async def test_an_address_that_refuses_is_followed_by_the_next(named, listening):
    named((IPV4, "127.0.0.2"), (IPV4, "127.0.0.1"))
    assert await connect(Addresses(), listening) == "127.0.0.1"


async def test_where_all_refuse_each_is_named_with_its_reason(named):
    named((IPV4, "127.0.0.2"), (IPV4, "127.0.0.3"))
    with pytest.raises(OSError, match=r"127.0.0.2: Connection refused, 127.0.0.3: Connection refused"):
        await connect(Addresses(), 1)


async def test_an_address_that_connected_and_was_of_no_use_is_tried_last(named, listening):
    named((IPV4, "127.0.0.2"), (IPV4, "127.0.0.1"))
    addresses, useless = Addresses(), Address(IPV4, ("127.0.0.2", listening))
    with socket.create_server(("127.0.0.2", listening), backlog=16):
        assert await connect(addresses, listening) == "127.0.0.2"
        addresses.note(useless, useful=False)
        assert await connect(addresses, listening) == "127.0.0.1"
        addresses.note(useless, useful=True)
        assert await connect(addresses, listening) == "127.0.0.2"
