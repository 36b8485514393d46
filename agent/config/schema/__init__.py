"""The whole configuration as types. Strict: unknown keys are errors; every number says its unit.

The same document stands in `config.yaml` and in a fleet push. Descriptions are the text of docs/CONFIG.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from agent.config.schema.values import (
    Brokers,
    FilePath,
    Host,
    Name,
    Section,
    Source,
    Text,
    TextList,
    Zone,
    as_text,
    whole,
)


class Gateway(Section):
    """Who this gateway is and where it keeps its files."""

    id: Name = Field(description="Name of this gateway, unique in the company; part of every record's `ce_source`.")
    site: Name = Field(description="The farm site on which it stands; part of every record's key.")
    state_dir: FilePath = Field(
        default=Path("/var/lib/tidegate"),
        description="What must outlive a restart: the log, the last good document.",
    )
    runtime_dir: FilePath = Field(
        default=Path("/run/tidegate"),
        description="What must not: the unix socket `tidegate.sock` of the verbs, `http.port`.",
    )
    machine_id: Name | None = Field(
        default=None,
        description="What tells this machine from one that its disk is copied to; made from /etc/machine-id if not "
        "set. For containers, which often have none of their own.",
    )


class Log(Section):
    """The durable log: everything that leaves the gateway is on its disk first."""

    clock_file: FilePath | None = Field(
        default=None,
        description="A file whose presence alone says that the wall clock is synchronised, for time services that "
        "do not tell the kernel. Without it the kernel is asked, and systemd-timesyncd's file looked for.",
    )
    commit_interval_ms: int = Field(
        default=200,
        ge=0,
        le=10_000,
        description="How long readings are gathered into one commit; 0 commits as fast as the disk takes it. "
        "Longer is kinder to an SD card. Alerts never wait for it.",
    )
    log_stall_s: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="How long the disk may take no commit before readings are judged but no longer kept.",
    )
    max_bytes: int = Field(
        default=2 * 1024**3,
        ge=4 * 1024**2,
        description="How much the log may hold, delivered history included. Undelivered records go last. At 200 "
        "readings a second 2 GiB hold three days of them; then old readings become one-minute values.",
    )
    max_age_days: float = Field(
        default=30.0, gt=0, description="How old records in the log may become, delivered or not."
    )
    min_free_bytes: int = Field(
        default=256 * 1024**2, ge=0, description="Kept free on its disk, of which a tenth at most."
    )
    compression_level: int = Field(default=3, ge=1, le=19, description="zstd level of what is stored and sent.")


class LaneBudget(Section):
    """Bounds for one lane of a metered link."""

    bytes_per_day: int | None = Field(default=None, ge=1024, description="How much the lane may move in a day (UTC).")
    bytes_per_second: float | None = Field(
        default=None, ge=100, description="The lane's highest rate. What waits is joined, so a low rate saves bytes."
    )


class Budget(Section):
    """What a metered link may carry: all bytes to and from Kafka, headers and repeats included."""

    bytes_per_day: int | None = Field(
        default=None,
        ge=1024,
        le=60_000_000_000,
        description="How much may move in a day (UTC); no bound if not set. What does not fit waits in the log for "
        "the next day; alarms do not wait.",
    )
    alert_reserve_bytes: int | None = Field(
        default=None, ge=0, description="The part of it that only alarms may use; a twentieth if not set."
    )
    thin_backfill: bool = Field(
        default=True, description="Thin a backlog that a day's budget would not hold to one-minute aggregates."
    )
    live: LaneBudget = Field(default=LaneBudget(), description="Bounds for what is fresh, alarms apart.")
    backfill: LaneBudget = Field(default=LaneBudget(), description="Bounds for the backlog of an outage.")
    bulk: LaneBudget = Field(default=LaneBudget(), description="Bounds for pictures.")


class Kafka(Section):
    """The upstream cluster."""

    brokers: Brokers = Field(
        min_length=1, description="Where to ask first, each `host:port`; a list, or one text with commas."
    )
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        default="exactly_once",
        description="`at_least_once` only for brokers that have no idempotent producers; it may double records.",
    )
    compression: Literal["zstd", "gzip", "lz4", "none"] = Field(
        default="zstd",
        description="What batches are compressed with. Another than `zstd` only if the cluster takes no zstd: each "
        "batch then costs more time and more of the link.",
    )
    create_topics: bool = Field(
        default=False,
        description="Whether asking for a topic that is not there may create it, if the brokers are set to do so. "
        "They create it with their defaults, also one that somebody has deleted.",
    )
    restored_log: Literal["wait", "send_marked"] = Field(
        default="wait",
        description="What becomes of the undelivered records of a log that turns out to be restored from a backup or "
        "copied: they wait for `tidegate log adopt` or `discard`, or are sent marked `possibly_repeated`.",
    )
    backfill_after_s: float = Field(
        default=60.0,
        ge=0,
        description="After an outage, what is older than this is sent in the background, behind what is fresh.",
    )
    backfill_spread_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="After an outage the backlog begins at a random moment within a tenth of the outage, and within "
        "this: a fleet shall not return as one. Fresh readings go at once.",
    )
    backfill_share: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="What the backlog may take of a link that fresh readings alone could fill.",
    )
    alert_ready_s: float = Field(
        default=120.0,
        ge=0,
        le=170,
        description="How often the connection for alarms is used while there are none, so that it is there for the "
        "next: 300 bytes each time. 0 never; an alarm then waits until the connection is made.",
    )
    budget: Budget = Field(default=Budget(), description="Bounds for a metered link.")
    request_timeout_s: float = Field(
        default=30.0, gt=0, le=600, description="How long to wait for a broker's answer before connecting anew."
    )
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        default="plaintext", description="How connections are protected and who logs in."
    )
    ca_file: FilePath | None = Field(default=None, description="PEM file of the authorities that sign the brokers.")
    cert_file: FilePath | None = Field(default=None, description="PEM file of this gateway's certificate.")
    key_file: FilePath | None = Field(default=None, description="PEM file of that certificate's key.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How to log in, with `sasl_…` security."
    )
    username: Text | None = Field(default=None, description="Name to log in with.")
    password_file: FilePath | None = Field(default=None, description="File that holds the password, in one line.")


class Payload(Section):
    """How a message of a subscription becomes readings."""

    format: Literal["json", "number"] = Field(
        default="number", description="`number`: the payload is the value; `json`: the fields below say where it is."
    )
    value: Text = Field(default="value", description="JSON only: path of the value, such as `data.temp` or `m.0.v`.")
    at: Text | None = Field(
        default=None,
        description="JSON only: path of the device's own time: ISO 8601 with its zone, or s, ms, us or ns since "
        "1970 as a number or digits. If it cannot be used, the gateway's time is taken and the reading says why. "
        "The same payload with the same time is known to be the same message.",
    )
    at_zone: Zone | None = Field(
        default=None,
        description="JSON only: the zone of times that state none, such as `UTC` or `Europe/Oslo`.",
    )
    unit: Text | None = Field(default=None, description="JSON only: path of the unit that the device states.")
    counter: Text | None = Field(
        default=None,
        description="JSON only: path of a number that the device counts up; with it, or with `at`, "
        "the same payload again is known to be the same message.",
    )
    decimal_comma: bool = Field(default=False, description="Text such as `7,25` is a number.")
    switch: bool = Field(
        default=False, description="`ON`, `true` and `yes` are 1, `OFF`, `false` and `no` are 0, in any case."
    )


class Subscription(Section):
    """One topic pattern. `{site}`, `{tank}`, `{metric}` and `{sensor}` each stand for one whole level."""

    topic: Text = Field(
        description="Such as `farm/{site}/{tank}/{metric}`; `+` and a last `#` match and are ignored. "
        "`$share/GROUP/` before it shares the messages within a group of clients."
    )
    qos: Annotated[Literal[0, 1], BeforeValidator(whole)] = Field(
        default=1, description="1: acknowledged once on disk. 0 loses what the link loses."
    )
    payload: Payload = Field(default=Payload(), description="How to read the payload.")
    sensor_id: Text = Field(
        default="{tank}_{metric}",
        description="Sensor of a message, made of the topic's levels. With JSON payloads, here and in `sensor_type` "
        "and `tank`, any other name in braces is the path of a field: `{id}`, `{device.eui}`.",
    )
    sensor_type: Text = Field(default="{metric}", description="What it measures: `temperature`, `oxygen`, …")
    tank: Text = Field(default="{tank}", description="Tank or pen of a message.")
    site: Text = Field(
        default="{site}", description="Site of a message; the gateway's own where the topic has no `{site}`."
    )
    unit: Text | None = Field(
        default=None, description="Unit of the values, where neither the payload nor `sensors` states it."
    )


class Tls(Section):
    """TLS of an MQTT connection."""

    ca_file: FilePath | None = Field(
        default=None, description="PEM file of the authorities that sign the broker; the system's own if not set."
    )
    cert_file: FilePath | None = Field(default=None, description="PEM file of this gateway's certificate.")
    key_file: FilePath | None = Field(default=None, description="PEM file of that certificate's key.")
    insecure_skip_verify: bool = Field(
        default=False, description="Take any certificate. For a broker on the same wire during installation only."
    )


class Mqtt(Section):
    """One MQTT connection."""

    name: Name = Field(description="Name of the connection; its unit is `mqtt:NAME`.")
    host: Host = Field(default="127.0.0.1", description="Name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65535, description="TCP port of the broker; 8883 is usual with TLS.")
    version: Annotated[Literal["3.1.1", "5"], BeforeValidator(as_text)] = Field(
        default="5", description="Version of MQTT; 5 unless the broker has none."
    )
    local: bool = Field(
        default=False,
        description="Alerts are published on this connection. Exactly one connection says `true`.",
    )
    client_id: Name | None = Field(
        default=None, description="Name of the session at the broker; `tidegate-GATEWAY-NAME` if not set."
    )
    username: Text | None = Field(default=None, description="Name to log in with.")
    password_file: FilePath | None = Field(default=None, description="File that holds the password, in one line.")
    tls: Tls | None = Field(default=None, description="TLS is used where this section is present.")
    keepalive_s: int = Field(default=30, ge=5, le=3600, description="How soon a dead connection is noticed.")
    session_expiry_s: int = Field(
        default=7 * 86_400,
        ge=0,
        le=0xFFFFFFFF,
        description="MQTT 5: how long the broker keeps messages for us while we are away.",
    )
    receive_maximum: int = Field(
        default=65_535,
        ge=1,
        le=65_535,
        description="MQTT 5: how many messages may wait for our acknowledgement; must last for `log_stall_s`.",
    )
    subscriptions: list[Subscription] = Field(default=[], description="What to listen to.")


class Limits(Section):
    """Crossing one raises an alert at once; coming back clears it."""

    low: float | None = Field(default=None, description="Values below it raise an alert. In the sensor's unit.")
    high: float | None = Field(default=None, description="Values above it raise an alert. In the sensor's unit.")
    hysteresis: float = Field(
        default=0.0,
        ge=0,
        description="How far back inside a value must come to clear an alert. In the sensor's unit.",
    )
    max_age_s: float = Field(
        default=600.0,
        ge=1,
        le=86_400,
        description="Readings measured longer ago, by the device's own time, raise and clear nothing; they are kept. "
        "Raise it for sensors that send on with a longer delay.",
    )


class Sensor(Section):
    """A sensor that config knows by name: its unit and limits."""

    id: Name = Field(description="As the subscriptions name it: `{tank}_{metric}` unless they say otherwise.")
    type: Name = Field(description="What it measures; known kinds have a fixed choice of units.")
    unit: Text = Field(description="Unit of its values and limits, such as `degC` or `mg/L`.")
    tank: Name = Field(description="The tank or pen that it stands in.")
    limits: Limits = Field(default=Limits(), description="Bounds for its alerts.")


class Camera(Section):
    """One camera."""

    name: Name = Field(description="Name of the camera; its unit is `camera:NAME`.")
    source: Source = Field(description="An `rtsp://` address, a device such as `/dev/video0`, or a video file.")
    tank: Name = Field(description="The tank or pen that it looks at.")
    model: Name | None = Field(default=None, description="The model that looks at its frames.")
    fps: float = Field(default=5.0, gt=0, le=120, description="At most so many frames a second are looked at.")
    loop: bool = Field(default=False, description="Begin a video file again at its end.")
    heartbeat_timeout_s: float = Field(
        default=5.0, gt=0, le=600, description="A camera process that gives no sign of life for so long is replaced."
    )
    max_width: int = Field(
        default=1920, ge=64, le=7680, description="Wider frames are made smaller; sizes the shared memory."
    )
    max_height: int = Field(
        default=1080, ge=64, le=4320, description="Higher frames are made smaller; sizes the shared memory."
    )


class Model(Section):
    """One model."""

    name: Name = Field(description="The name by which cameras ask for it; its unit is `model:NAME`.")
    path: FilePath = Field(
        description="Folder that holds its `model.json` and file; `package:fish/1` is one that is shipped."
    )
    threads: int = Field(default=1, ge=1, le=64, description="Threads that one look may use.")
    score_threshold: float | None = Field(
        default=None, gt=0, lt=1, description="Detections below this score are left out; the model's own if not set."
    )


class Http(Section):
    """Metrics and health over TCP. Loopback unless told otherwise; nothing can be changed from there."""

    host: Host = Field(
        default="127.0.0.1", description="Address to listen on; `0.0.0.0` lets a Prometheus outside in."
    )
    port: int = Field(
        default=9464,
        ge=0,
        le=65535,
        description="TCP port; 0 takes a free one and writes it to `runtime_dir/http.port`.",
    )


class Fleet(Section):
    """Where pushed documents come from: one partition of a compacted topic."""

    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = Field(
        default="fleet-desired", description="Topic that holds one document a gateway, by its id."
    )
    partition: int = Field(ge=0, description="The one partition on which this gateway's document comes.")
    poll_interval_s: float = Field(default=30.0, gt=0, le=86_400, description="How often to look for a new one.")
    may_change: TextList = Field(
        default=[],
        description="Keys that a push may change although config.yaml pins them, such as `kafka.brokers` or `http`. "
        "Whoever can push may then have a password sent where they wish.",
    )


class Logging(Section):
    """What goes to the journal."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least that is said.")
    format: Literal["text", "json"] = Field(default="text", description="Lines for people, or for log collectors.")


class Config(Section):
    """The whole document."""

    gateway: Gateway = Field(description="Who this gateway is and where it keeps its files.")
    kafka: Kafka = Field(description="The upstream cluster.")
    mqtt: list[Mqtt] = Field(min_length=1, description="Connections to MQTT brokers; one of them is local.")
    log: Log = Field(default=Log(), description="The durable log.")
    sensors: list[Sensor] = Field(default=[], description="Sensors with a unit and limits of their own.")
    cameras: list[Camera] = Field(default=[], description="Cameras.")
    models: list[Model] = Field(default=[], description="Models that look at frames.")
    http: Http = Field(default=Http(), description="Metrics and health over TCP.")
    fleet: Fleet | None = Field(default=None, description="Pushed documents; without it config.yaml is all there is.")
    logging: Logging = Field(default=Logging(), description="What goes to the journal.")
