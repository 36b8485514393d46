"""What tests of the MQTT driver share: a hub that takes batches, and ways to run, cut and feed a driver."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from paho.mqtt import publish as once

from drivers.mqtt import MqttDriver, MqttSettings, SubscriptionSettings
from drivers.values import NotReady, Reading, Receipted, Unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.mosquitto import Mosquitto

PATTERN = SubscriptionSettings("farm/{site}/{tank}/{metric}")
PATIENCE_S = 30.0


class Hub:
    """Takes batches, holds them until `release`, and remembers what they said."""

    def __init__(self, *, holding: bool = False) -> None:
        self.holding = holding
        self.seen: list[Reading | Unreadable] = []
        self.earlier: list[Reading | Unreadable] = []
        self.batches: list[Receipted] = []
        self.waiting: list[asyncio.Future[None]] = []

    def emit(self, batch) -> asyncio.Future[None]:
        self.seen += batch
        if isinstance(batch, Receipted):
            self.earlier += batch.earlier
            if batch.receipt is not None:
                self.batches.append(batch)
        done = asyncio.get_running_loop().create_future()
        if self.holding:
            self.waiting.append(done)
        else:
            done.set_result(None)
        return done

    def release(self) -> None:
        for done in self.waiting:
            if not done.done():
                done.set_result(None)
        self.waiting.clear()

    @property
    def values(self) -> list[float]:
        return [seen.value for seen in self.seen if isinstance(seen, Reading)]


async def until(condition: Callable[[], object], what: str = "") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.01)


async def keep_running(driver: MqttDriver, hub: Hub) -> None:
    """As the supervisor does, without its patience."""
    while True:
        with contextlib.suppress(NotReady):
            await driver.run(hub.emit)
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(driver: MqttDriver, hub: Hub) -> AsyncIterator[asyncio.Task[None]]:
    """The driver, connected; cancelled at the end, which is an orderly stop."""
    task = asyncio.create_task(keep_running(driver, hub))
    try:
        await until(lambda: driver.connected or task.done(), "connected")
        if task.done():
            await task
        await until(lambda: len(driver._subscriptions.confirmed) == len(driver._routes.filters), "subscribed")
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def cut(driver: MqttDriver) -> None:
    """Close the connection under the driver, as a broken link would."""
    before = driver.stats.disconnects
    driver._session.close()
    await until(lambda: driver.stats.disconnects > before, "disconnected")


def settings_for(broker: Mosquitto, version: str = "5", *subscriptions: SubscriptionSettings, **more) -> MqttSettings:
    return MqttSettings(
        name="barge",
        client_id="gateway-1",
        site="home",
        port=broker.port,
        version=version,
        subscriptions=subscriptions or (PATTERN,),
        **more,
    )


async def publish(broker: Mosquitto, *values: float, topic: str = "farm/s/t1/temperature", **options) -> None:
    """Publish as another device, and wait until the broker has taken it all."""
    messages = [{"topic": topic, "payload": str(value), "qos": options.get("qos", 1), **options} for value in values]
    await asyncio.to_thread(once.multiple, messages, hostname=broker.host, port=broker.port)


@contextlib.asynccontextmanager
async def scripted(*exchange: tuple[bytes, bytes | Callable[[bytes], bytes]]) -> AsyncIterator[int]:
    """The port of a broker that waits for certain bytes and sends others, for what mosquitto 2.0 does not say.

    What it sends may depend on what it has read.
    """

    async def answer(reader, writer) -> None:
        for wait_for, say in exchange:
            asked = await reader.readuntil(wait_for)
            writer.write(say(asked) if callable(say) else say)
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
