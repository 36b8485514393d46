"""A connection that is reset, under the daemon's own event loop."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from dataclasses import replace

import pytest
import uvloop
from paho.mqtt import publish as once

from drivers.mqtt import MqttDriver
from tests.support.mqtt import Hub, running, settings_for, until
from tests.support.proxy import Proxy

pytestmark = pytest.mark.broker


def arrives(sock, payload: bytes) -> None:
    """The socket does not block: it says so if nothing has come yet."""
    assert select.select([sock], [], [], 20)[0]
    while payload not in socket.socket.recv(sock, 65_536, socket.MSG_PEEK):
        select.select([], [], [], 0.01)


def is_reset(sock) -> None:
    watched = select.poll()
    watched.register(sock, 0)
    assert any(what & select.POLLERR for _, what in watched.poll(20_000))


def test_a_reset_in_one_piece_with_data_is_noticed_before_the_keepalive(broker):
    seen = threading.Event()

    def tap(upward, data):
        if not upward and b"21.5" in data:
            seen.set()

    async def report() -> None:
        hub = Hub()
        with Proxy(broker.host, broker.port, tap=tap) as link:
            settings = replace(settings_for(broker), port=link.port, keepalive_s=600, gather_s=0.0)
            driver = MqttDriver(settings)
            async with running(driver, hub):
                sock = driver._session._sock
                # The loop stands still meanwhile, as on a busy machine: both are there when it looks.
                once.single("farm/s/t1/temperature", "21.5", qos=1, hostname=broker.host, port=broker.port)
                assert seen.wait(20)
                arrives(sock, b"21.5")
                link.cut()
                is_reset(sock)
                await until(lambda: driver.stats.disconnects == 1, "noticed")
                await until(lambda: driver.connected, "connected again")
                await until(lambda: 21.5 in hub.values, "the reading")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(report())
