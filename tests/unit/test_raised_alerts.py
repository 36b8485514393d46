"""Alerts over a restart: what an earlier run left raised, what is done about it, and what the file holds."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

import drivers
from agent.events import Alert, AlertState, Encoder, Severity
from agent.pipeline import Alerts, Outbox, RaisedAlerts
from agent.pipeline import raised as raised_file
from sync.log import LogSettings, MemoryLog
from sync.values import Lane

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOW = ("low", "high")


def alert(name, state, kind="low"):
    return Alert(
        alert_id=f"{name}/{kind}",
        state=state,
        severity=Severity.ALARM,
        kind=kind,
        source=name,
        text=f"{name} {state}",
        at=AT,
        site_id="s",
        value=2.0,
        limit=5.0,
    )


def raised(name, **how):
    return alert(name, AlertState.RAISED, **how)


def cleared(name, **how):
    return alert(name, AlertState.CLEARED, **how)


class Broker:
    def __init__(self):
        self.retained = {}
        self.up = True

    async def publish(self, topic, payload, *, qos=1, retain=False):
        if not self.up:
            raise drivers.NotReady("not connected")
        assert (qos, retain) == (1, True)
        self.retained[topic.removeprefix("tidegate/alerts/")] = json.loads(payload)["state"]


class Run:
    """One run of the daemon, as far as alerts go; the broker and the file outlive it."""

    def __init__(self, path, broker):
        self.log = MemoryLog(LogSettings(path="unused", gateway_id="gw-1"))
        self.alerts = Alerts(Outbox(self.log), Encoder("gw-1", "s"), RaisedAlerts(path))
        self.alerts.local = broker
        self.path = path

    @property
    def upstream(self):
        return self.log.stats().depth[Lane.ALERT]

    async def until(self, holds):
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.005)

    def kept(self):
        """Of the file: the state of each alert."""
        try:
            found = json.loads(self.path.read_bytes())["alerts"]
        except FileNotFoundError:
            return {}
        return {one["alert"]["alert_id"]: one["alert"]["state"] for one in found}


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(raised_file, "_BETWEEN_S", 0.01)
    monkeypatch.setattr(raised_file, "_RETRY_S", 0.01)


@asynccontextmanager
async def a_run(folder, broker):
    run = Run(folder / "alerts.json", broker)
    running = asyncio.create_task(run.alerts.run())
    try:
        yield run
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a4_what_can_no_longer_be_judged_is_cleared_on_the_farm_and_upstream(tmp_path, broker):
    async with a_run(tmp_path, broker) as first:
        for name in ("gone", "stays"):
            first.alerts.say(raised(name))
        first.alerts.say(raised("mqtt:x", kind="unit_failed"))
        await first.until(lambda: len(first.kept()) == 3)
    async with a_run(tmp_path, broker) as second:
        second.alerts.end_others(LOW, {"stays/low", "new/low"}, "it is no longer configured")
        second.alerts.connected()
        await second.until(lambda: broker.retained["gone/low"] == "cleared")
        assert broker.retained == {"gone/low": "cleared", "stays/low": "raised", "mqtt:x/unit_failed": "raised"}
        assert [one.alert_id for one in second.alerts.active()] == ["stays/low", "mqtt:x/unit_failed"]
        await second.until(lambda: second.upstream == 1)
        await second.until(lambda: set(second.kept()) == {"stays/low", "mqtt:x/unit_failed"})


@pytest.mark.parametrize(("say", "state"), [(cleared, "cleared"), (raised, "raised")])
async def test_a4_what_an_earlier_run_left_stands_until_it_is_judged(tmp_path, broker, say, state):
    async with a_run(tmp_path, broker) as first:
        first.alerts.say(raised("pen"))
        await first.until(lambda: first.kept() == {"pen/low": "raised"})
    broker.retained.clear()  # a broker that keeps nothing over a power cut
    async with a_run(tmp_path, broker) as second:
        second.alerts.connected()
        await second.until(lambda: broker.retained == {"pen/low": "raised"})
        assert second.alerts.unjudged("pen/low")
        assert second.upstream == 0
        second.alerts.say(say("pen"))
        assert not second.alerts.unjudged("pen/low")
        await second.until(lambda: broker.retained == {"pen/low": state} and second.upstream == 1)
        await second.until(lambda: second.kept() == ({} if state == "cleared" else {"pen/low": "raised"}))


async def test_an_end_that_the_broker_did_not_hear_is_told_it_by_the_next_run_and_upstream_once(tmp_path, broker):
    async with a_run(tmp_path, broker) as first:
        first.alerts.say(raised("pen"))
        await first.until(lambda: broker.retained == {"pen/low": "raised"})
        broker.up = False
        first.alerts.say(cleared("pen"))
        await first.until(lambda: first.kept() == {"pen/low": "cleared"} and first.upstream == 2)
        await first.until(lambda: json.loads(first.path.read_bytes())["alerts"][0]["told"])
    async with a_run(tmp_path, broker) as second:
        broker.up = True
        second.alerts.connected()
        await second.until(lambda: broker.retained == {"pen/low": "cleared"})
        await second.until(lambda: second.kept() == {})
        assert second.upstream == 0
        assert second.alerts.active() == []


async def test_conditions_that_were_never_raised_leave_no_file(tmp_path, broker):
    async with a_run(tmp_path, broker) as run:
        run.alerts.say(cleared("pen"))
        await run.until(lambda: broker.retained == {"pen/low": "cleared"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"alerts":[{}]}', b'{"alerts":[{"alert":{},"told":1}]}'])
async def test_a_file_that_cannot_be_read_is_said_and_stops_nothing(tmp_path, broker, content, caplog):
    (tmp_path / "alerts.json").write_bytes(content)
    async with a_run(tmp_path, broker) as run:
        assert run.alerts.active() == []
        assert "Alerts of an earlier run may stay raised" in caplog.text
        run.alerts.say(raised("pen"))
        await run.until(lambda: run.path.read_bytes() != content)
        assert run.kept() == {"pen/low": "raised"}


async def test_a_disk_that_takes_no_file_holds_no_alert_up_and_is_tried_again(tmp_path, broker, caplog):
    folder = tmp_path / "state"
    folder.write_text("in the way")
    async with a_run(folder, broker) as run:
        run.alerts.say(raised("pen"))
        await run.until(lambda: broker.retained == {"pen/low": "raised"})
        await run.until(lambda: "cannot be written" in caplog.text)
        folder.unlink()
        await run.until((folder / "alerts.json").exists)
    assert caplog.text.count("cannot be written") == 1
