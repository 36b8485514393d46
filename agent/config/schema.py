"""The whole configuration as types. Strict: unknown keys are errors; every number says its unit.

The same document stands in `config.yaml` and in a fleet push. Descriptions are the text of docs/CONFIG.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
"""Names become topic levels, metric labels and file names."""


class Section(BaseModel):
    """What every section shares: no unknown keys, no changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Gateway(Section):
    """Who this gateway is and where it keeps its files."""

    id: Name
    site: Name
    state_dir: Path = Path("/var/lib/tidegate")
    runtime_dir: Path = Path("/run/tidegate")


class Log(Section):
    """The durable log."""

    commit_interval_ms: int = Field(default=200, ge=0, le=10_000)
    log_stall_s: float = Field(default=5.0, gt=0)
    max_bytes: int = Field(default=2 * 1024**3, ge=4 * 1024**2)
    max_age_days: float = Field(default=30.0, gt=0)
    compression_level: int = Field(default=3, ge=1, le=19)


class Kafka(Section):
    """The upstream cluster."""

    brokers: list[str] = Field(min_length=1)
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    backfill_after_s: float = Field(default=60.0, ge=0)
    request_timeout_s: float = Field(default=30.0, gt=0)
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password_file: Path | None = None


class Payload(Section):
    """How a message of a subscription becomes readings."""

    format: Literal["json", "number"] = "number"
    value: str = "value"
    at: str | None = None
    unit: str | None = None


class Subscription(Section):
    """One topic pattern. `{site}`, `{tank}`, `{metric}` and `{sensor}` each stand for one level."""

    topic: str
    qos: Literal[0, 1] = 1
    payload: Payload = Payload()
    sensor_id: str = "{tank}_{metric}"
    sensor_type: str = "{metric}"
    tank: str = "{tank}"
    site: str = "{site}"
    unit: str | None = None


class Tls(Section):
    """TLS of an MQTT connection."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure_skip_verify: bool = False


class Mqtt(Section):
    """One MQTT connection."""

    name: Name
    host: str = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    version: Literal["3.1.1", "5"] = "5"
    local: bool = False
    client_id: str | None = None
    username: str | None = None
    password_file: Path | None = None
    tls: Tls | None = None
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    session_expiry_s: int = Field(default=7 * 86_400, ge=0)
    receive_maximum: int = Field(default=65_535, ge=1, le=65_535)
    subscriptions: list[Subscription] = []


class Limits(Section):
    """Crossing one raises an alert at once. `hysteresis` is how far back a value must come to clear it."""

    low: float | None = None
    high: float | None = None
    hysteresis: float = Field(default=0.0, ge=0)


class Sensor(Section):
    """A sensor that config knows by name: its unit and limits."""

    id: Name
    type: Name
    unit: str
    tank: Name
    limits: Limits = Limits()


class Camera(Section):
    """One camera. `source` is a file, an rtsp:// address or a device such as /dev/video0."""

    name: Name
    source: str
    tank: Name
    model: Name | None = None
    fps: float = Field(default=5.0, gt=0, le=120)
    loop: bool = False
    heartbeat_timeout_s: float = Field(default=5.0, gt=0)
    max_width: int = Field(default=1920, ge=64, le=7680)
    max_height: int = Field(default=1080, ge=64, le=4320)


class Model(Section):
    """One model, by the folder that holds its `model.json` and file."""

    name: Name
    path: Path
    threads: int = Field(default=1, ge=1, le=64)
    score_threshold: float | None = Field(default=None, gt=0, lt=1)


class Http(Section):
    """Metrics and health. Loopback unless told otherwise."""

    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class Fleet(Section):
    """Where pushes come from: one partition of a compacted topic."""

    topic: str = "fleet-desired"
    partition: int = Field(ge=0)
    poll_interval_s: float = Field(default=30.0, gt=0)


class Logging(Section):
    """What goes to the journal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(Section):
    """The whole document."""

    gateway: Gateway
    kafka: Kafka
    mqtt: list[Mqtt] = Field(min_length=1)
    log: Log = Log()
    sensors: list[Sensor] = []
    cameras: list[Camera] = []
    models: list[Model] = []
    http: Http = Http()
    fleet: Fleet | None = None
    logging: Logging = Logging()
