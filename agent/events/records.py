"""The wire records, version 1. `tidegate schema` prints them; changing one is a decision note.

Each record travels as one JSON body with CloudEvents 1.0 headers in binary mode. Keys are site/tank/source.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotations when the classes are made
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.events.farm import RecordedEvent

VERSION = 1
MINUTE = "sensor-data.minute"
"""The name of the aggregates' schema; they travel in `sensor-data`."""
RECOMPUTED = "farm-figures.recomputed"
FARM_EVENT = "farm-figures.event"
"""Names of the schemas of what else travels in `farm-figures`."""


class Quality(StrEnum):
    """How good a value is. `unjudged`: nothing has looked at it, so nothing is claimed."""

    UNJUDGED = "unjudged"
    GOOD = "good"
    SUSPECT = "suspect"
    BAD = "bad"


class Severity(StrEnum):
    """How much an alert or event matters to whoever is on the barge tonight."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


class AlertState(StrEnum):
    """Whether the condition holds (`raised`) or has ended (`cleared`)."""

    RAISED = "raised"
    CLEARED = "cleared"


class Record(BaseModel):
    """What all records share: closed, immutable, times in UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AtProblem = Literal[
    "missing", "not_a_time", "no_zone", "not_set", "queued", "age_unknown", "ahead", "behind", "wrong_clock"
]
"""Why `at` is not the device's time (`missing` to `age_unknown`), or what is wrong with it."""


QualityReason = Literal["range", "rate", "stuck", "spike", "scatter", "drift", "neighbour"]
"""Why a value is doubted."""


class SensorData(Record):
    """One reading of one sensor (topic `sensor-data`)."""

    sensor_id: str
    sensor_type: str
    value: float
    unit: str
    tank_id: str
    site_id: str
    at: datetime = Field(description="When it was measured")
    at_from: Literal["device", "gateway"] = Field(description="Whose clock `at` is: the device's, or receipt here")
    at_problem: AtProblem | None = Field(
        default=None, description="Only if something is wrong with the device's time; see docs/WIRE.md"
    )
    received_at: datetime | None = Field(
        default=None, description="Receipt here, by the gateway's clock; only if `at` is by a device's clock in doubt"
    )
    quality: Quality
    reasons: list[QualityReason] | None = Field(
        default=None, description="Only of a value that is suspect or bad: why; see docs/WIRE.md"
    )


class SensorMinute(Record):
    """What stands for a sensor's thinned readings of one minute (topic `sensor-data`, `ce_type` `….minute`).

    The numbers from `seq_first` to `seq_last` are of the log `log_id`; those of other sensors lie between them.
    """

    sensor_id: str
    sensor_type: str
    unit: str
    tank_id: str
    site_id: str
    at: datetime = Field(description="When the minute began")
    at_from: Literal["device", "gateway"] = Field(description="Whose clock: the device's, or receipt here")
    at_problem: AtProblem | None = Field(default=None, description="The same of all its readings")
    quality: Quality = Field(description="The worst of the readings'")
    min: float
    mean: float
    max: float
    last: float = Field(description="The value that was measured last")
    count: int = Field(description="Of how many readings it was made")
    log_id: str = Field(description="The log that numbered them")
    seq_first: int
    seq_last: int
    unreadable: int = Field(description="Records of that minute, of whichever sensors, that were damaged")


class Box(Record):
    """A box relative to the image, each number 0 to 1."""

    left: float
    top: float
    width: float
    height: float


class DetectedObject(Record):
    """One object that a model saw."""

    label: str
    score: float
    box: Box


class ModelIdentity(Record):
    """Which model said so; `digest` is the sha256 of its file."""

    name: str
    version: str
    digest: str


class CameraEvent(Record):
    """What a model saw in one frame (topic `camera-events`)."""

    camera_id: str
    tank_id: str
    site_id: str
    at: datetime = Field(description="When the frame was captured, by the gateway's clock")
    frame: int = Field(description="The frame's number since the camera was started")
    model: ModelIdentity
    detections: list[DetectedObject]
    inference_ms: float


class Alert(Record):
    """A condition raised or cleared (topic `farm-alerts`, and on the local broker under `tidegate/alerts/`)."""

    alert_id: str = Field(description="The condition's name: the same when raised and when cleared")
    state: AlertState
    severity: Severity
    kind: str = Field(description="What is wrong: low, high, unit_failed, log_stalled …")
    source: str = Field(description="The sensor or unit that it is about")
    text: str = Field(description="One sentence for a person")
    at: datetime
    site_id: str
    tank_id: str | None = None
    value: float | None = None
    unit: str | None = None
    limit: float | None = None
    acknowledged_by: str | None = Field(default=None, description="Who has seen it, if anybody said so")
    escalated: bool | None = Field(default=None, description="Nobody had seen it in time, so it is an alarm now")


class SystemEventKind(StrEnum):
    """What happened to the gateway itself."""

    STARTED = "started"
    STOPPED = "stopped"
    PAYLOAD_UNREADABLE = "payload_unreadable"
    DEVICE_CLOCK_WRONG = "device_clock_wrong"
    RECORDS_LOST = "records_lost"
    RECORDS_THINNED = "records_thinned"
    NUMBERS_SKIPPED = "numbers_skipped"
    LOG_QUARANTINED = "log_quarantined"
    CONFIG_CHANGED = "config_changed"
    GUARANTEE_CHANGED = "guarantee_changed"
    CLUSTER_CHANGED = "cluster_changed"
    TOPIC_LOST = "topic_lost"
    IDENTITY_UNKNOWN = "identity_unknown"
    SESSION_LOST = "session_lost"
    LOG_RESTORED = "log_restored"
    LOG_ADOPTED = "log_adopted"
    LOG_DISCARDED = "log_discarded"
    TOGETHER_WITH = "together_with"


class SystemEvent(Record):
    """What happened to the gateway itself (topic `system-events`)."""

    event: SystemEventKind
    severity: Severity
    source: str
    text: str
    at: datetime
    data: dict[str, Any] = Field(default_factory=dict)


class FleetReported(Record):
    """What became of a configuration (topic `fleet-reported`)."""

    gateway_id: str
    revision: str = Field(description="sha256 of the document's bytes")
    source: Literal["file", "push"]
    outcome: Literal["applied", "refused", "unchanged"]
    at: datetime
    offset: Annotated[int | None, Field(description="The push's offset in `fleet-desired`")] = None
    changed_units: list[str] = Field(default_factory=list)
    problems: list[str] = Field(default_factory=list)


class GatewayRun(Record):
    """One start of a gateway (topic `gateway-runs`), told once it knows whether its log is its own.

    The next start compares itself with the newest one of its gateway.
    """

    gateway_id: str
    site_id: str
    log_id: str = Field(description="The log's name, the part of `ce_id` before the number")
    run: int = Field(description="Starts of this log, counted through all its ids")
    machine_id: str = Field(description="Tells machines apart; empty where the machine has no id")
    first_seq: int = Field(description="The first number of this run")
    log_first_seq: int = Field(description="The first number under this log id")
    version: str = Field(description="Of the agent")
    at: datetime
    identity: Literal["first", "same", "restored", "copied", "unknown"] = Field(
        description="How the log compared with the last run told before"
    )


class DeadLetter(Record):
    """A record that Kafka will never take (topic `dead-letters`). The log itself writes these."""

    lane: str
    topic: str = Field(description="Where it was to go")
    reason: str = Field(description="Kafka's refusal")
    at: datetime = Field(description="When it was given up")
    key: str
    headers: dict[str, str] = Field(description="As it had them; `ce_id` names it")
    value_bytes: int
    value_base64: str | None = Field(description="Its value, where that is small enough to be taken itself")


class FigureInput(Record):
    """One input of a computed value."""

    name: str = Field(description="What it is in the formula")
    value: float | None
    unit: str
    origin: str = Field(description="The sensor or event that it is from; `events` for sums of them; or `config`")
    age_s: float | None = Field(
        default=None, description="Its age when the value was computed; null: it does not age"
    )


class DerivedData(Record):
    """A quantity computed from readings (topic `derived-data`); `reason` says why if there is no value."""

    sensor_id: str = Field(description="The name of the derived quantity")
    sensor_type: str = Field(description="Its kind: oxygen_saturation, nh3_n, …")
    value: float | None
    unit: str
    tank_id: str
    site_id: str
    at: datetime = Field(description="When it was computed")
    quality: Quality
    reason: str | None = None
    notes: list[str] = Field(default_factory=list, description="Doubts about the value")
    inputs: list[FigureInput]


class FarmFigure(Record):
    """One figure of a tank. `value` is null if it cannot be computed: `reason` says why."""

    name: str
    value: float | None
    unit: str
    reason: str | None = None
    notes: list[str] = Field(default_factory=list, description="Doubts about the value")


class FarmFigures(Record):
    """The figures of a tank at the end of an hour (topic `farm-figures`). One a tank and hour, ever."""

    figures_id: str = Field(description="Names the tank and the hour; no two records have the same")
    site_id: str
    tank_id: str
    species: str
    cycle_began: datetime | None = Field(description="When the fish of this cycle came; null for an empty tank")
    at: datetime = Field(description="The end of the hour")
    events: int = Field(description="How many recorded events they are made of")
    figures: list[FarmFigure]


class FarmRecomputed(Record):
    """Figures that a void, a correction or a back-dated event has changed (`ce_type` `….recomputed`)."""

    figures_id: str = Field(description="Names the tank and the first of the events; no two records have the same")
    site_id: str
    tank_id: str
    at: datetime = Field(description="When the event was recorded")
    events: dict[str, Literal["void", "correction", "back_dated"]] = Field(description="What changed them, by event")
    changed: dict[str, tuple[float | None, float | None]] = Field(description="By figure: before and after")


class GatewayMetrics(Record):
    """The gateway's metrics at a moment (topic `gateway-metrics`); names and labels as in docs/METRICS.md.

    In `values` each metric has a list of its samples: the label values in the order of METRICS.md, then the number. A
    histogram's number is `[sum, count, [[bound, how many at most so large], …]]`, without bounds where that does not
    change. Infinity and not-a-number are the texts `inf`, `-inf` and `nan`.
    """

    gateway_id: str
    site_id: str
    version: str = Field(description="Of the agent")
    at: datetime
    every_s: float = Field(description="When the next one is to be expected")
    values: dict[str, list[list[Any]]]


SCHEMAS: dict[str, type[BaseModel]] = {
    "sensor-data": SensorData,
    MINUTE: SensorMinute,
    "derived-data": DerivedData,
    "camera-events": CameraEvent,
    "farm-alerts": Alert,
    "system-events": SystemEvent,
    "farm-figures": FarmFigures,
    RECOMPUTED: FarmRecomputed,
    FARM_EVENT: RecordedEvent,
    "fleet-reported": FleetReported,
    "gateway-runs": GatewayRun,
    "gateway-metrics": GatewayMetrics,
    "dead-letters": DeadLetter,
}
"""The record of each topic. Another kind of record in a topic has a name of its own after a dot."""

TOPICS: tuple[str, ...] = tuple(name for name in SCHEMAS if "." not in name)
"""Where a gateway writes."""

NUMBERS: dict[str, bytes] = {"sensor-data": b'"value":'}
"""Topics whose old records the log packs: in their bodies this stands right before the number that changes."""


def ce_type(name: str) -> str:
    """The CloudEvents type of a topic's records, or of another kind of record in it, with their version."""
    topic, _, kind = name.partition(".")
    return f"tidegate.{topic}.v{VERSION}" + (f".{kind}" if kind else "")


def schema(topic: str) -> dict[str, Any]:
    """The JSON Schema of a topic's records."""
    return {"$id": ce_type(topic), **SCHEMAS[topic].model_json_schema()}
