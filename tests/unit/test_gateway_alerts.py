"""What the gateway says about itself: one alert for each change of a condition, and the bytes that go out."""

from __future__ import annotations

import json
import re

from agent.events import Encoder, Severity, SystemEventKind
from agent.pipeline import Alerts, Conditions, GatewayEvents, Outbox
from sync.log import LogSettings, MemoryLog

WORDS = {"kind": "stalled", "source": "log", "text": "the log cannot write to its disk"}


class Kept(Outbox):
    def __init__(self):
        super().__init__(MemoryLog(LogSettings(path="unused", gateway_id="gw-1")))
        self.values = []

    def post(self, envelopes, receipts=()):
        self.values += [re.sub(rb'("at":)"[^"]+"', rb"\1?", envelope.value) for envelope in envelopes]
        return super().post(envelopes, receipts)


async def test_an_alert_about_the_gateway_has_these_bytes():
    outbox = Kept()
    Conditions(Alerts(outbox, Encoder("gw-1", "home")), "home").judge("log/stalled", Severity.ALARM, **WORDS)
    assert outbox.values == [
        (
            b'{"alert_id":"log/stalled","state":"raised","severity":"alarm","kind":"stalled",'
            b'"source":"log","text":"the log cannot write to its disk","at":?,"site_id":"home"}'
        )
    ]


async def test_an_event_about_the_gateway_has_these_bytes_and_its_future_is_the_logs():
    outbox = Kept()
    events = GatewayEvents(outbox, Encoder("gw-1", "home"))
    await events.post(SystemEventKind.STARTED, Severity.INFO, source="daemon", text="up", data={"version": "1"})
    assert outbox.values == [
        (b'{"event":"started","severity":"info","source":"daemon","text":"up","at":?,"data":{"version":"1"}}')
    ]


async def test_a_condition_that_goes_on_is_judged_once_and_again_after_it_was_forgotten():
    outbox = Kept()
    alerts = Alerts(outbox, Encoder("gw-1", "home"))
    conditions = Conditions(alerts, "home")
    for _ in range(3):
        conditions.judge("log/stalled", Severity.ALARM, **WORDS)
    assert len(outbox.values) == 1
    # Ended from elsewhere (A4) while it goes on: it is not raised again behind the back of whoever ended it.
    alerts.end_others(("stalled",), (), "this connection is no longer configured")
    conditions.judge("log/stalled", Severity.ALARM, **WORDS)
    assert [json.loads(value.replace(b":?", b":0"))["state"] for value in outbox.values] == ["raised", "cleared"]
    conditions.forget_all_but(())
    conditions.judge("log/stalled", Severity.ALARM, **WORDS)
    assert [alert.alert_id for alert in alerts.active()] == ["log/stalled"]
    conditions.judge("log/stalled", None, **WORDS)
    assert alerts.active() == []
