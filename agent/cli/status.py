"""`tidegate status`: how the daemon is."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from agent.cli import NOT_WELL, options
from agent.cli.asking import ask, socket_path
from agent.cli.table import duration, printable, size, table

if TYPE_CHECKING:
    from pathlib import Path

_MOST_CLOCKS = 5


@click.command()
@options.config
@options.folder("--runtime-dir", "Folder of the daemon's socket.")
@options.as_json
def status(config_path: Path, runtime_dir: Path | None, *, as_json: bool) -> None:
    """Say how the running daemon is: its units, lanes, alerts and link.

    The exit status is 0 where readings are taken, judged and kept, 1 where they are not, 3 where no daemon runs.
    """
    _, answer = ask(socket_path(config_path, runtime_dir), "GET", "/health/detailed")
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        for line in _lines(answer):
            click.echo(line)
    sys.exit(0 if answer.get("ready") else NOT_WELL)


def _lines(answer: dict[str, Any]) -> list[str]:
    title = f"{answer.get('gateway', '?')} at {answer.get('site', '?')}, tidegate {answer.get('version', '?')}"
    lines = [click.style(printable(title), bold=True), printable(str(answer.get("status", ""))), ""]
    facts = [
        ("ready", _ready(answer)),
        ("config", _config(answer)),
        ("uplink", _uplink(answer)),
        ("link", _link(answer)),
        ("log", _log(answer)),
        ("clock", _clock_trust(answer)),
    ]
    lines += [f"{name:<8}{printable(fact) if name != 'ready' else fact}" for name, fact in facts]
    times = _times(answer)
    if times:
        lines.append(f"{'times':<8}{printable(times)}")
    farm = _farm(answer)
    if farm:
        lines.append(f"{'farm':<8}{printable(farm)}")
    lines += ["", *_units(answer), *_brokers(answer), "", *_lanes(answer)]
    subscriptions = _subscriptions(answer)
    if subscriptions:
        lines += ["", *subscriptions]
    alerts = answer.get("alerts", [])
    if alerts:
        rows = [[str(alert.get("alert_id", "")), _clock(alert), str(alert.get("text", ""))] for alert in alerts]
        lines += ["", *table(("ALERT", "SINCE", ""), rows)]
    return lines


def _farm(answer: dict[str, Any]) -> str:
    """Derived quantities without a value, calibrations that are due, events; empty if there is nothing of it."""
    parts = []
    farm = answer.get("farm")
    if farm:
        events = farm.get("events", {})
        refused = f", {events['refused']} refused since the start" if events.get("refused") else ""
        parts.append(f"figures of {farm.get('tanks', 0)} tanks{refused}")
    derived = answer.get("derived", [])
    missing = [f"{one['name']} ({one.get('reason', '')})" for one in derived if one.get("value") is None]
    if derived:
        parts.append(f"{len(derived) - len(missing)} of {len(derived)} derived quantities have a value")
    parts += [f"no value of {one}" for one in missing[:_MOST_CLOCKS]]
    overdue = [str(one["sensor_id"]) for one in answer.get("calibrations", []) if one.get("overdue")]
    if overdue:
        parts.append(f"calibration overdue: {', '.join(overdue)}")
    return "; ".join(parts)


def _ready(answer: dict[str, Any]) -> str:
    reasons = "; ".join(str(reason) for reason in answer.get("reasons", []))
    return "yes" if answer.get("ready") else f"no: {reasons}"


def _config(answer: dict[str, Any]) -> str:
    config = answer.get("config", {})
    if not config.get("revision"):
        return "none applied yet"
    refused = f", {config['refused']} refused since the start" if config.get("refused") else ""
    return f"{str(config['revision'])[:12]} from {config.get('source', '?')}{refused}"


def _uplink(answer: dict[str, Any]) -> str:
    uplink = answer.get("uplink", {})
    circuit = uplink.get("circuit")
    if circuit is None:
        return "not started"
    fault = uplink.get("fault")
    if fault:
        return f"not connected: {_trouble(fault)}"
    if circuit != "closed":
        why = uplink.get("reason") or uplink.get("last_error")
        return "not connected" + (f": {why}" if why else "")
    topics: dict[str, list[str]] = {}
    for trouble in uplink.get("troubles", []):
        topics.setdefault(_trouble(trouble), []).append(str(trouble.get("topic", "")))
    waits = [
        f"{', '.join(names)} not accepted: {why}" if all(names) else f"nothing has been sent yet: {why}"
        for why, names in topics.items()
    ]
    lost = [
        f"{topic} lost {count:,} records in Kafka since the start; they are sent again"
        for topic, count in uplink.get("lost_upstream", {}).items()
    ]
    return "; ".join(["connected", *waits, *lost])


def _trouble(trouble: dict[str, Any]) -> str:
    """Why records wait: the setting that cures it first, and the cure last."""
    setting, hint = trouble.get("setting"), trouble.get("hint")
    return (f"{setting}: " if setting else "") + str(trouble.get("reason", "")) + (f" ({hint})" if hint else "")


def _clock_trust(answer: dict[str, Any]) -> str:
    clock = answer.get("clock", {})
    if clock.get("trusted", True):
        return "trusted"
    floor = str(clock.get("certificate_floor", ""))[:10]
    return f"not trusted; a TLS certificate is refused only if it expired before {floor}"


def _link(answer: dict[str, Any]) -> str:
    link = answer.get("link", {})
    idle, missing = link.get("idle_bytes_per_day"), link.get("idle_missing")
    today = f"{size(sum(link.get('today_bytes', {}).values()))} today"
    if idle is not None:
        today += f", {size(idle)} a day idle"
    elif missing:
        today += f", traffic of an idle day not known yet: {missing}"
    if link.get("left_bytes") is None:
        return today
    left, whole = link["left_bytes"], size(link.get("budget_bytes") or 0)
    if left < 0:
        return f"{today}; {size(-left)} over the budget of {whole}"
    runs_out_s, ends = link.get("runs_out_s"), duration(link.get("day_ends_s", 0))
    lasts = f"lasts the {ends} to midnight UTC" if runs_out_s is None else f"used up in {duration(runs_out_s)}"
    return f"{today}; {size(left)} left of {whole}, {lasts}"


def _log(answer: dict[str, Any]) -> str:
    log = answer.get("log", {})
    bound, a_day = log.get("bound_bytes"), log.get("written_bytes_per_day")
    held = f"{size(log.get('bytes', 0))} of {size(bound)}" if bound else size(log.get("bytes", 0))
    parts = [held if a_day is None else f"{held}, writes {size(a_day)} a day"]
    if log.get("stalled"):
        parts.append("cannot write to its disk: readings still raise alarms, but are not stored")
    if log.get("disk_short"):
        parts.append("disk nearly full: the log does not grow any more")
    reasons = dict(log.get("lost", {}))
    thinned = reasons.pop("thinned", 0)
    for count, words in (
        (sum(reasons.values()), "records lost since the start"),
        (thinned, "records thinned to aggregates"),
        (log.get("waiting", 0), "are held until `tidegate log adopt` or `tidegate log discard`"),
        (log.get("dead_letters", 0), "dead letters"),
        (log.get("quarantined", 0), "files put aside"),
    ):
        if count:
            parts.append(f"{count} {words}")
    return "; ".join(part for part in (", ".join(parts), _full(log)) if part)


def _full(log: dict[str, Any]) -> str:
    """When the first lane begins to lose something if nothing is delivered."""
    if not log.get("bound_bytes"):
        return ""
    if log.get("forecast_missing"):
        return f"no forecast yet of when it is full: {log['forecast_missing']}"
    lanes = log.get("lanes", {})
    full_s, thinned_s = (lanes.get(name, {}).get("full_s") for name in ("bulk", "live"))
    if full_s is None:
        return "not filling up"
    if thinned_s is not None and thinned_s < full_s:
        # Thinning makes room: how much, only the readings to come decide.
        thinned = f"old readings become one-minute values in {duration(thinned_s)}"
        return f"if nothing is delivered, {thinned}, and it is full in {duration(full_s)} at the earliest"
    return f"full in {duration(full_s)} if nothing is delivered"


def _times(answer: dict[str, Any]) -> str:
    """What was wrong with the times that devices state; empty if nothing was."""
    times = answer.get("times", {})
    parts = []
    for key, words in (("problems", "with a device time that is"), ("not_judged", "not judged because")):
        counts = times.get(key, {})
        if counts:
            parts.append(f"{words} " + ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items())))
    clocks = times.get("wrong_clocks", {})
    if clocks:
        shown = [
            f"{name} ({duration(abs(ahead_s))} {'ahead' if ahead_s > 0 else 'behind'})"
            for name, ahead_s in list(clocks.items())[:_MOST_CLOCKS]
        ]
        more = f" and {len(clocks) - _MOST_CLOCKS} more" if len(clocks) > _MOST_CLOCKS else ""
        parts.append(f"wrong clocks: {', '.join(shown)}{more}")
    return f"readings {'; '.join(parts)}" if parts else ""


def _units(answer: dict[str, Any]) -> list[str]:
    rows = []
    for unit in answer.get("units", []):
        why = str(unit.get("reason") or "")
        if why and unit.get("hint"):
            why += f" ({unit['hint']})"
        rows.append([str(unit.get("name", "")), str(unit.get("state", "")), str(unit.get("crashes", 0)), why])
    return table(("UNIT", "STATE", "CRASHES", ""), rows, right=(2,))


def _subscriptions(answer: dict[str, Any]) -> list[str]:
    rows = []
    for one in answer.get("subscriptions", []):
        name = f"mqtt:{one.get('connection', '?')} {one.get('topic') or '(matches no subscription)'}"
        newest = one.get("newest_unreadable")
        why = f"{newest.get('topic', '?')}: {newest.get('reason', '?')}" if newest else ""
        counts = [f"{one.get(key, 0):,}" for key in ("readings", "unreadable", "left_out", "repeated")]
        rows.append([name, *counts, why])
    titles = ("SUBSCRIPTION", "READINGS", "UNREADABLE", "LEFT OUT", "REPEATED", "NEWEST UNREADABLE")
    return table(titles, rows, right=(1, 2, 3, 4)) if rows else []


def _brokers(answer: dict[str, Any]) -> list[str]:
    """The MQTT brokers that hold messages back, or have sent some again."""
    rows = []
    for name, broker in answer.get("mqtt_brokers", {}).items():
        window, ceiling = broker.get("window"), broker.get("ceiling_per_s")
        counts = [broker.get(key, 0) for key in ("redelivered", "recognised", "probably_twice")]
        if window is not None or any(counts):
            rows.append(
                [
                    f"mqtt:{name}",
                    "-" if window is None else f"{window:,}",
                    "-" if ceiling is None else f"{ceiling:,.0f}/s",
                    *(f"{count:,}" for count in counts),
                ]
            )
    titles = ("BROKER", "WINDOW", "MAX RATE", "REDELIVERED", "RECOGNISED", "PROBABLY TWICE")
    return ["", *table(titles, rows, right=(1, 2, 3, 4, 5))] if rows else []


def _lanes(answer: dict[str, Any]) -> list[str]:
    rows = []
    for name, lane in answer.get("log", {}).get("lanes", {}).items():
        depth, oldest_s = lane.get("depth", 0), lane.get("oldest_pending_s", 0.0)
        oldest = duration(oldest_s) if depth else "-"
        waits = answer.get("uplink", {}).get("waiting", {}).get(name, "") if depth else ""
        rows.append([name, f"{depth:,}", oldest, f"{lane.get('delivered', 0):,}", waits])
    return table(("LANE", "PENDING", "OLDEST", "DELIVERED", ""), rows, right=(1, 2, 3))


def _clock(alert: dict[str, Any]) -> str:
    return str(alert.get("at", ""))[:19].replace("T", " ")
