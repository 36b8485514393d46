"""`log`: the durable log."""

from __future__ import annotations

from pydantic import Field

from agent.config.schema.values import FilePath, Section


class Log(Section):
    """The durable log: everything that leaves the gateway is on its disk first."""

    clock_file: FilePath | None = Field(
        default=None,
        description="A file whose existence says that the wall clock is synchronised, for time services that do "
        "not tell the kernel. Without it the kernel and systemd-timesyncd's file are checked.",
    )
    commit_interval_ms: int = Field(
        default=200,
        ge=0,
        le=10_000,
        description="How long readings are collected for one commit; 0 commits as fast as the disk allows. Longer "
        "is kinder to an SD card. Alerts do not wait for it.",
    )
    log_stall_s: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="How long commits may fail or hang before readings are judged but no longer stored.",
    )
    max_bytes: int = Field(
        default=2 * 1024**3,
        ge=4 * 1024**2,
        description="Largest size of the log, delivered history included. Undelivered records are removed "
        "last. At 200 "
        "readings a second 2 GiB hold forty days of them; then old readings become one-minute values.",
    )
    max_age_days: float = Field(
        default=30.0, gt=0, description="Records in the log that are older are removed, delivered or not."
    )
    min_free_bytes: int = Field(
        default=256 * 1024**2,
        ge=0,
        description="Space that the log leaves free on its disk, at most a tenth of the disk.",
    )
    compression_level: int = Field(default=3, ge=1, le=19, description="zstd level of stored and sent batches.")
