"""From values to envelopes: one JSON body and CloudEvents headers each, encoded once.

`SensorData` and `CameraEvent` are written field by field, because building and validating a pydantic object
for each reading costs more than all the rest of its way; a test holds them against the schemas.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING

import orjson

from agent.events.records import SCHEMAS, Severity, ce_type
from agent.farm.quality import UNJUDGED, verdict_of
from sync.values import Envelope, Lane

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.events.records import Alert, FleetReported, GatewayRun, Record, SystemEvent
    from drivers import Doubt, Frame, Reading
    from models.values import Prediction

_JSON = b"application/json"
_LIVE = Lane.LIVE
_EPOCH = datetime.fromtimestamp(0, UTC)
_SECOND = timedelta(seconds=1)
_MILLISECONDS = tuple(f".{number:03}Z".encode() for number in range(1_000))
_MOST_SECONDS = 4_096
_MOST_SENSORS = 100_000
"""Topics name sensors, so a publisher gone wild could otherwise fill the memory."""
_make = tuple.__new__
"""A named tuple made by its class takes twice as long."""
_FIXED: dict[str, tuple[tuple[str, bytes], ...]] = {
    topic: (("ce_specversion", b"1.0"), ("ce_type", ce_type(topic).encode()), ("content-type", _JSON))
    for topic in SCHEMAS
}


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and a Z."""
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


class Encoder:
    """Makes this gateway's envelopes."""

    def __init__(self, gateway_id: str, site_id: str) -> None:
        self._gateway_id = gateway_id
        self._site_id = site_id
        self._sensors: dict[tuple[str, ...], tuple[bytes, bytes, bytes]] = {}
        self._seconds: dict[datetime, tuple[bytes, datetime, datetime]] = {}

    def readings(self, readings: Iterable[Reading], doubts: Sequence[int] | None = None) -> list[Envelope]:
        """Readings, on lane `live`. The hot path: a body is put together of what is written already.

        `doubts` are those of each reading (agent.farm.quality); without them all are `unjudged`.
        """
        envelopes: list[Envelope] = []
        append = envelopes.append
        sensors, seconds, dumps, join = self._sensors, self._seconds, orjson.dumps, b"".join
        last: datetime | None = None
        device = False
        doubt: Doubt | None = None
        told = UNJUDGED
        version, kind, form = fixed = _FIXED["sensor-data"]
        begun = ended = _EPOCH
        date, text, end, headers = b"", b"", b"", fixed
        for reading, doubted in zip(readings, repeat(UNJUDGED) if doubts is None else doubts, strict=False):
            # Taken apart at once: a look-up of each field by its name takes as long as all of this.
            sensor_id, sensor_type, value, unit, tank_id, site_id, at, at_device, _, traceparent, in_doubt = reading
            if at is not last:
                # All that one read of a socket brought shares its time of receipt: written once for all of it.
                last = at
                if not begun <= at < ended:
                    date, begun, ended = seconds.get(at.replace(microsecond=0)) or self._second(at)
                text = date + _MILLISECONDS[at.microsecond // 1_000]
                headers = version, kind, form, ("ce_time", text)
            if at_device is not device or in_doubt is not doubt or doubted != told or not end:
                device, doubt, told = at_device, in_doubt, doubted
                end = _end(device, told) if doubt is None else _doubtful(device, doubt, told)
            sensor = sensor_id, sensor_type, unit, tank_id, site_id
            key, head, middle = sensors.get(sensor) or self._remember(sensor)
            body = join((head, dumps(value), middle, text, end))
            own = headers
            if traceparent is not None:
                own = (*headers, ("traceparent", traceparent.encode()))
            append(_make(Envelope, (_LIVE, "sensor-data", key, body, own)))
        return envelopes

    def prediction(self, frame: Frame, prediction: Prediction) -> Envelope:
        """What a model saw in a frame, on lane `live`."""
        at = timestamp(frame.at)
        body = {
            "camera_id": frame.camera_id,
            "tank_id": frame.tank_id,
            "site_id": frame.site_id,
            "at": at,
            "frame": frame.number,
            "model": {"name": prediction.model, "version": prediction.version, "digest": prediction.digest},
            "detections": [
                {
                    "label": found.label,
                    "score": round(found.score, 4),
                    "box": {
                        "left": round(found.left, 5),
                        "top": round(found.top, 5),
                        "width": round(found.width, 5),
                        "height": round(found.height, 5),
                    },
                }
                for found in prediction.detections
            ],
            "inference_ms": round(prediction.inference_s * 1e3, 3),
        }
        key = self._key(frame.site_id, frame.tank_id, frame.camera_id)
        return self._envelope(Lane.LIVE, "camera-events", key, orjson.dumps(body), at)

    def alert(self, alert: Alert) -> Envelope:
        """An alert, on the lane that goes first."""
        key = self._key(alert.site_id, alert.tank_id or "", alert.source)
        return self._record(Lane.ALERT, "farm-alerts", key, alert, alert.at)

    def system_event(self, event: SystemEvent) -> Envelope:
        """An event of the gateway itself; what is an alarm goes first, the rest on lane `live`."""
        lane = Lane.ALERT if event.severity is Severity.ALARM else Lane.LIVE
        key = self._key(self._site_id, "", self._gateway_id)
        return self._record(lane, "system-events", key, event, event.at)

    def fleet_reported(self, report: FleetReported) -> Envelope:
        """The outcome of a configuration, keyed by the gateway so that the newest one stays."""
        return self._record(Lane.LIVE, "fleet-reported", self._gateway_id.encode(), report, report.at)

    def gateway_run(self, run: GatewayRun) -> Envelope:
        """One start, keyed by the gateway so that the newest one stays."""
        return self._record(Lane.LIVE, "gateway-runs", self._gateway_id.encode(), run, run.at)

    def _record(self, lane: Lane, topic: str, key: bytes, record: Record, at: datetime) -> Envelope:
        body = orjson.dumps(record.model_dump(mode="json", exclude_none=True))
        return self._envelope(lane, topic, key, body, timestamp(at.astimezone(UTC)))

    @staticmethod
    def _envelope(lane: Lane, topic: str, key: bytes, body: bytes, at: str) -> Envelope:
        return Envelope(lane, topic, key, body, (*_FIXED[topic], ("ce_time", at.encode())))

    @staticmethod
    def _key(site: str, tank: str, source: str) -> bytes:
        return f"{site}/{tank}/{source}".encode()

    def _second(self, at: datetime) -> tuple[bytes, datetime, datetime]:
        """A time without its milliseconds, and the second that it is. Writing one takes a microsecond."""
        if len(self._seconds) >= _MOST_SECONDS:
            self._seconds.clear()
        begun = at.replace(microsecond=0)
        date = begun.isoformat()[:19].encode()
        found = self._seconds[begun] = date, begun, begun + _SECOND
        return found

    def _remember(self, sensor: tuple[str, ...]) -> tuple[bytes, bytes, bytes]:
        """A sensor's key, and its body before the value and between value and time.

        By all that they hold: one sensor's name may stand in several sites, and a new document may move it to
        another tank.
        """
        if len(self._sensors) >= _MOST_SENSORS:
            self._sensors.clear()
        sensor_id, sensor_type, unit, tank_id, site_id = sensor
        head = orjson.dumps({"sensor_id": sensor_id, "sensor_type": sensor_type})[:-1] + b',"value":'
        middle = b"," + orjson.dumps({"unit": unit, "tank_id": tank_id, "site_id": site_id})[1:-1] + b',"at":"'
        found = self._sensors[sensor] = self._key(site_id, tank_id, sensor_id), head, middle
        return found


@lru_cache(maxsize=512)
def _quality(doubts: int) -> str:
    """The last fields of a body, by the doubts about the value."""
    quality, reasons = verdict_of(doubts)
    why = f',"reasons":{orjson.dumps(reasons).decode()}' if reasons else ""
    return f',"quality":"{quality}"{why}}}'


@lru_cache(maxsize=1_024)
def _end(device: bool, doubts: int) -> bytes:  # noqa: FBT001 - as the reading has it
    """The end of a body whose time is as usual."""
    return f'","at_from":"{"device" if device else "gateway"}"{_quality(doubts)}'.encode()


def _doubtful(device: bool, doubt: Doubt, doubts: int) -> bytes:  # noqa: FBT001 - as the reading has it
    """The end of a body whose time is unusual."""
    said = f'","at_from":"{"device" if device else "gateway"}"'
    if doubt.problem:
        said += f',"at_problem":"{doubt.problem}"'
    if doubt.received_at is not None:
        said += f',"received_at":"{timestamp(doubt.received_at)}"'
    return f"{said}{_quality(doubts)}".encode()
