"""Whether a reading says how the water is now, so that it may raise an alarm or end one.

J1  A reading is judged by when it was measured. One older than the limits' `max_age_s`, or than the newest reading of
    its sensor that was judged, changes no alarm; it is kept in the log like any other.
J2  If it cannot be known when a reading was measured, it may raise an alarm, which then says so, and never ends one:
    a device's time is far off, or a message without a usable time waited at the broker.
J3  A device's time that stays at one distance from ours is a wrong clock: its readings are of now (J1 holds again).
J4  A live message whose device gives no usable time is of now.
J5  A retained message is judged by its own time only (J1), never by J2 to J4; without a time it is only recorded.
J6  While the gateway's own clock is not trusted, a reading that is too old by it is not passed over: J2 holds.
J7  Nor is it if all that a sensor sends has been too old for a while and does not come nearer to now, as a backlog
    does: the device's clock is stuck or jumps, and J2 holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agent.pipeline.times import spoken
from drivers import Doubt

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from agent.pipeline.times import DeviceTimes
    from drivers import Reading

_USUAL: Final = Doubt()


class Judged(NamedTuple):
    """When a reading counts as measured, whether it may end an alarm, and what the alarm's text is to say beside."""

    at: datetime
    clears: bool
    note: str = ""
    doubt: Doubt | None = None
    """What was found out about its time on the way."""


def judged(  # noqa: C901, PLR0911 - a rule, an answer
    reading: Reading, now: datetime, newest: datetime, max_age: timedelta, times: DeviceTimes
) -> Judged | str:
    """How a reading is judged that is not plainly of now; else the word for why it is not."""
    doubt = reading.doubt or _USUAL
    if doubt.steady:
        return Judged(now, clears=True, note=_wrong(reading, now))
    if not reading.at_device:
        if doubt.retained:
            return "retained"
        if doubt.queued:
            return Judged(now, clears=False, note="it was queued at the MQTT broker and may be older")
        return Judged(now, clears=True)
    if doubt.far and not doubt.retained:
        return Judged(now, clears=False, note=_suspected(reading, times))
    at = min(reading.at, now)
    if not doubt.far and at >= newest and now - at <= max_age:
        return Judged(at, clears=True)
    if doubt.retained:
        return "retained"
    found = times.late(reading, now)
    if found is not None:
        return Judged(now, clears=True, note=_wrong(reading, now), doubt=found)
    if now - at > max_age:
        stuck = times.stuck(reading, now)
        if not times.trusted or (stuck and now - newest > max_age):
            return Judged(now, clears=False, note=_suspected(reading, times))
        return "late"
    return "older"


def _wrong(reading: Reading, now: datetime) -> str:
    distance_s = (reading.at - now).total_seconds()
    return (
        f"the device's clock is {spoken(abs(distance_s))} {'ahead' if distance_s > 0 else 'behind'} of the gateway's"
    )


def _suspected(reading: Reading, times: DeviceTimes) -> str:
    said = f"{reading.at:%Y-%m-%d %H:%M} UTC"
    if times.trusted:
        return f"the device's clock is probably wrong: it says {said}"
    return f"the device says {said}, and the gateway's own clock is not set: one of the two is wrong"
