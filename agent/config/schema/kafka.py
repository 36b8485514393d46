"""`kafka`: the upstream cluster, and what a metered link may carry."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.config.schema.values import Brokers, FilePath, Section, Text


class LaneBudget(Section):
    """Bounds for one lane of a metered link."""

    bytes_per_day: int | None = Field(
        default=None, ge=1024, description="Most bytes the lane may transfer in a day (UTC)."
    )
    bytes_per_second: float | None = Field(
        default=None,
        ge=100,
        description="The lane's highest rate. Pending records are sent in larger batches, so a low rate saves bytes.",
    )


class Budget(Section):
    """What a metered link may carry: all bytes to and from Kafka, headers and repeats included."""

    bytes_per_day: int | None = Field(
        default=None,
        ge=1024,
        le=60_000_000_000,
        description="Most bytes to transfer in a day (UTC); no limit if not set. The rest stays in the log until "
        "the next day; alarms do not wait.",
    )
    alert_reserve_bytes: int | None = Field(
        default=None, ge=0, description="The part of it that only alarms may use; a twentieth if not set."
    )
    thin_backfill: bool = Field(
        default=True, description="Thin a backlog that exceeds a day's budget to one-minute aggregates."
    )
    live: LaneBudget = Field(default=LaneBudget(), description="Limits for fresh records, except alarms.")
    backfill: LaneBudget = Field(default=LaneBudget(), description="Limits for the backlog of an outage.")
    bulk: LaneBudget = Field(default=LaneBudget(), description="Limits for pictures.")


class Kafka(Section):
    """The Kafka cluster."""

    brokers: Brokers = Field(
        min_length=1, description="Bootstrap brokers, each `host:port`; a list, or one comma-separated text."
    )
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        default="exactly_once",
        description="`at_least_once` only for brokers without idempotent producers; it can double records.",
    )
    compression: Literal["zstd", "gzip", "lz4", "none"] = Field(
        default="zstd",
        description="Codec of batches. Use another than `zstd` only if the cluster does not accept zstd: each "
        "batch then costs more time and more of the link.",
    )
    create_topics: bool = Field(
        default=False,
        description="Whether requests may create a missing topic, if the brokers are configured to do so. They "
        "create it with their defaults, even one that was deleted.",
    )
    restored_log: Literal["wait", "send_marked"] = Field(
        default="wait",
        description="What to do with undelivered records of a log that turns out to be restored from a backup or "
        "copied: hold them until `tidegate log adopt` or `discard`, or send them marked "
        "`possibly_repeated`.",
    )
    backfill_after_s: float = Field(
        default=60.0,
        ge=0,
        description="After an outage, records older than this are sent in the background; fresh records go first. "
        "Records older than this are packed in the log; for that a change takes a restart.",
    )
    backfill_spread_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="After an outage the backlog starts after a random delay, at most a tenth of the outage and "
        "at most this, so that not all gateways of a fleet start at once. Fresh readings are sent at "
        "once.",
    )
    backfill_share: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="Share of the link for the backlog if fresh readings alone could fill it.",
    )
    alert_ready_s: float = Field(
        default=120.0,
        ge=0,
        le=170,
        description="How often the connection for alarms is used while there are none, so that it stays open: 300 "
        "bytes each time. 0: never; an alarm then waits until the connection is made.",
    )
    budget: Budget = Field(default=Budget(), description="Limits for a metered link.")
    request_timeout_s: float = Field(
        default=30.0, gt=0, le=600, description="How long to wait for a broker's answer before connecting again."
    )
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        default="plaintext", description="TLS and login of the connections."
    )
    ca_file: FilePath | None = Field(
        default=None, description="PEM file of the CA that signed the brokers' certificates."
    )
    cert_file: FilePath | None = Field(default=None, description="PEM file of this gateway's certificate.")
    key_file: FilePath | None = Field(default=None, description="PEM file of that certificate's key.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="SASL mechanism, with `sasl_…` security."
    )
    username: Text | None = Field(default=None, description="User name.")
    password_file: FilePath | None = Field(default=None, description="File that holds the password, in one line.")
