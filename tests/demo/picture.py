"""The live view: figures from the daemon's own HTTP, alerts from the local broker as a foreign client hears them."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.daemon import Daemon

_LANES = ("alert", "live", "backfill", "bulk")
_OVER_S = 3.0
"""Rates are means over so long."""


@dataclass(slots=True)
class Figures:
    """What one look brought."""

    at: float = 0.0
    readings: float = 0.0
    frames: float = 0.0
    delivered: float = 0.0
    depth: dict[str, float] = field(default_factory=dict)
    active_alerts: float = 0.0
    waiting: list[str] = field(default_factory=list)
    seen: str = ""


class Gauges:
    """Looks at the daemon; hears its alerts."""

    def __init__(self, daemon: Daemon, mqtt_host: str, mqtt_port: int) -> None:
        self._daemon = daemon
        self._address = mqtt_host, mqtt_port
        self._listener = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._listener.on_connect = lambda client, *_: client.subscribe("tidegate/alerts/#", qos=1)
        self._listener.on_message = lambda _client, _userdata, message: self._heard(message.payload)
        self._recent: deque[Figures] = deque([Figures(time.monotonic())])
        self.alerts: deque[str] = deque(maxlen=5)

    def __enter__(self) -> Self:
        self._listener.connect(*self._address)
        self._listener.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.disconnect()
        self._listener.loop_stop()

    def _heard(self, payload: bytes) -> None:
        with contextlib.suppress(ValueError, KeyError):
            alert = json.loads(payload)
            if alert["state"] == "raised" or any(alert["alert_id"] in line for line in self.alerts):
                self.alerts.append(
                    f"{time.strftime('%H:%M:%S')} {alert['state']:<7} {alert['alert_id']}: {alert['text']}"
                )

    def look(self) -> Figures:
        """Ask the daemon; the last figures again where it does not answer."""
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            figures = self._ask()
            self._recent.append(figures)
            while len(self._recent) > 2 and figures.at - self._recent[1].at > _OVER_S:
                self._recent.popleft()
        return self._recent[-1]

    def _ask(self) -> Figures:
        figures = Figures(time.monotonic())
        for sample in self._daemon.metrics():
            match sample.name:
                case "tidegate_readings_total":
                    figures.readings += sample.value
                case "tidegate_model_frames_total":
                    figures.frames += sample.value
                case "tidegate_log_delivered_records_total":
                    figures.delivered += sample.value
                case "tidegate_log_depth_records":
                    figures.depth[sample.labels["lane"]] = sample.value
                case "tidegate_alerts_active":
                    figures.active_alerts = sample.value
        health = self._daemon.health()
        figures.waiting = [
            f"{unit['name']} {unit['state']}: {unit['reason']}"
            for unit in health.get("units", ())
            if unit["state"] not in ("running", "finished")
        ]
        figures.seen = "; ".join(_seen(name, model) for name, model in health.get("models", {}).items())
        return figures

    def per_second(self, what: str) -> float:
        """The rate of a figure over the last seconds."""
        first, last = self._recent[0], self._recent[-1]
        if last.at <= first.at:
            return 0.0
        rate: float = max(0.0, (getattr(last, what) - getattr(first, what)) / (last.at - first.at))
        return rate


def _seen(name: str, model: dict[str, Any]) -> str:
    found = [f"{one['label']} {one['score']:.2f}" for one in model.get("last_detections", ())]
    return f"{name} model, {model.get('detections', 0)} seen, in the last frame: {', '.join(found) or 'none'}"


def watch(gauges: Gauges, ended: Callable[[], bool], *, plain: bool) -> None:
    """Show what happens until it ends: a live view, or a line a second."""
    start = time.monotonic()
    if plain:
        due = start
        while not ended():
            if time.monotonic() >= due:
                due += 1.0
                print(_line(gauges.look(), gauges, time.monotonic() - start), flush=True)
            time.sleep(0.05)
        return
    with Live(console=Console(), refresh_per_second=4, transient=True) as live:
        while not ended():
            live.update(_picture(gauges.look(), gauges, time.monotonic() - start))
            time.sleep(0.25)


def _depth(figures: Figures) -> str:
    return " ".join(f"{lane} {figures.depth.get(lane, 0):.0f}" for lane in _LANES)


def _line(figures: Figures, gauges: Gauges, passed_s: float) -> str:
    return (
        f"{passed_s:4.0f} s | readings {gauges.per_second('readings'):.0f}/s ({figures.readings:.0f}) | "
        f"frames {gauges.per_second('frames'):.1f}/s | log {_depth(figures)} | delivered {figures.delivered:.0f} | "
        f"alerts {figures.active_alerts:.0f} | {figures.seen or 'no model yet'}"
        + "".join(f" | {waiting}" for waiting in figures.waiting)
    )


def _picture(figures: Figures, gauges: Gauges, passed_s: float) -> Group:
    table = Table.grid(padding=(0, 3))
    table.add_column(style="bold cyan")
    table.add_column(justify="right")
    table.add_column()
    table.add_row("readings", f"{gauges.per_second('readings'):.0f}/s", f"{figures.readings:.0f} since the start")
    table.add_row("frames", f"{gauges.per_second('frames'):.1f}/s", figures.seen or "no model yet")
    table.add_row("log", f"{sum(figures.depth.values()):.0f} waiting", _depth(figures))
    table.add_row("Kafka", f"{gauges.per_second('delivered'):.0f}/s", f"{figures.delivered:.0f} delivered")
    table.add_row("alerts", f"{figures.active_alerts:.0f} active", "as heard on the local broker:")
    alerts = [Text(f"  {line}", style="red" if " raised " in line else "green") for line in gauges.alerts]
    waiting = [Text(f"  {line}", style="yellow") for line in figures.waiting]
    title = Text(f"Tidegate, {passed_s:.0f} s. Ctrl-C ends it and counts.", style="bold")
    return Group(title, table, *alerts, *waiting)
