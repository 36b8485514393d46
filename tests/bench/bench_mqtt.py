"""What a message costs from the broker's socket to `emit`: over our reading of the socket, and over paho's own.

    python tests/bench/bench_mqtt.py [MESSAGES]

Both in turn from a waiting session of the same mosquitto, so that no publisher takes part of the machine; the hub is
one that has everything on disk at once. CPU is this process's own; the broker has another core.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass

import uvloop

from drivers.mqtt import MqttDriver, MqttSettings, PayloadSettings, SubscriptionSettings
from drivers.mqtt.connection.client import SessionClient
from tests.support.mosquitto import DEPLOYED, Mosquitto
from tests.support.paho_client import PahoClient

TOPICS = [f"farm/site-a/tank_{tank:03}/{metric}" for tank in range(10) for metric in ("temperature", "oxygen", "ph")]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run: messages, CPU and wall seconds from the first to the last of them."""

    messages: int
    cpu_s: float
    wall_s: float
    batches: int

    def __str__(self) -> str:
        per_message_us = self.cpu_s / self.messages * 1e6
        rate = self.messages / self.wall_s
        mean = self.messages / max(1, self.batches)
        return f"{per_message_us:6.2f} µs CPU a message, {rate:10,.0f} messages/s, {mean:6.0f} a batch"


async def receive(broker: Mosquitto, client: type[SessionClient], version: str, form: str, messages: int) -> Cost:
    """Leave a session, have it filled, come back and take what waits."""
    payload = PayloadSettings("json", "value", at="at") if form == "json" else PayloadSettings("number")
    settings = MqttSettings(
        name="bench",
        client_id=f"bench-{client.__name__}-{version}-{form}",
        site="site-a",
        port=broker.port,
        version=version,
        subscriptions=(SubscriptionSettings("farm/{site}/{tank}/{metric}", payload=payload, unit="degC"),),
    )
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    seen = 0

    def emit(batch) -> asyncio.Future[None]:
        nonlocal seen
        seen += len(batch)
        if seen >= messages:
            done.set()
        future = loop.create_future()
        future.set_result(None)
        return future

    async def connected(driver: MqttDriver) -> asyncio.Task[None]:
        task = asyncio.create_task(driver.run(emit))
        while len(driver._subscriptions.confirmed) < 1:
            await asyncio.sleep(0.001)
        return task

    async def gone(task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    await gone(await connected(MqttDriver(settings, client=client)))
    text = '{"value": %d.5, "at": "2026-11-23T19:00:00.123Z"}' if form == "json" else "%d.5"
    await asyncio.to_thread(fill, broker.port, messages, text)
    driver = MqttDriver(settings, client=client)
    cpu, wall = time.process_time(), time.monotonic()
    task = await connected(driver)
    await done.wait()
    cost = Cost(messages, time.process_time() - cpu, time.monotonic() - wall, driver.stats.batches)
    while driver.stats.acknowledged < messages:
        await asyncio.sleep(0.01)
    await gone(task)
    if driver.stats.readings != messages or driver.stats.redelivered:
        raise RuntimeError(f"not what was published: {driver.stats}")
    return cost


def fill(port: int, messages: int, text: str) -> None:
    """Publish from a process of its own, as fast as the broker takes it."""
    command = [sys.executable, "-m", "tests.support.publisher", str(port), "--count", str(messages)]
    command += ["--payload", text, "--window", "5000"]
    for topic in TOPICS:
        command += ["--topic", topic]
    subprocess.run(command, input=b"\n", check=True, stdout=subprocess.DEVNULL)


def measure(messages: int) -> dict[str, Cost]:
    """Every combination, ours and paho's in turn."""
    found: dict[str, Cost] = {}
    for form in ("number", "json"):
        for version in ("3.1.1", "5"):
            for client, count in ((SessionClient, messages), (PahoClient, messages // 4)):
                name = f"{'ours' if client is SessionClient else 'paho'}, MQTT {version}, {form}"
                # A broker each, for sessions that are left behind go on collecting; and none that saves meanwhile.
                with Mosquitto(conf=DEPLOYED, lines=["autosave_on_changes false"]) as broker:
                    found[name] = uvloop.run(receive(broker, client, version, form, count))
                print(f"{name:24} {found[name]}", flush=True)
    return found


def main() -> None:
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    print(json.dumps({"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}))
    measure(messages)


if __name__ == "__main__":
    main()
