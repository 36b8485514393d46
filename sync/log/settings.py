"""What the log is told: where it lies, whose it is, how often it commits and how large it may grow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sync.log.bodies import untouched
from sync.values import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sync.log.bodies import Fold, Restamp


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Settings of one log file.

    `commit_records`: a commit starts as soon as that many records wait, whatever the interval. It should be
    no more than the smallest in-flight window of the sources that wait for acknowledgements. `clock_file`: see
    `Clock`. `restamp` knows the bodies, and sets the times in them right; `fold` makes aggregates of old readings,
    and without one nothing is thinned. `runtime_dir`: where a word is kept, off the log's disk, that the log is
    stalled. `min_free_bytes`: where the disk has less free, the log grows no more and gives back what it can; with
    0 nobody looks. Of the topics in `newest_only` nothing old goes again (D15): they are compacted, and an old
    record would take the place of the newest. `numbers`: the topics whose old blocks are packed, and what stands in
    their bodies right before the one number that changes; packed is what was taken `pack_after_s` ago, None packs
    nothing.
    """

    path: Path
    gateway_id: str
    site_id: str = ""
    commit_interval_s: float = 0.2
    log_stall_s: float = 5.0
    max_bytes: int = 2 * 1024**3
    max_age_s: float = 30 * 86_400.0
    compression_level: int = 3
    commit_records: int = 4_000
    clock_file: Path | None = None
    restamp: Restamp = untouched
    newest_only: frozenset[str] = frozenset()
    runtime_dir: Path | None = None
    fold: Fold | None = None
    min_free_bytes: int = 0
    numbers: Mapping[str, bytes] = field(default_factory=dict)
    pack_after_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can only be a mistake.

        Raises:
            Misconfigured: naming the field.
        """
        if not self.gateway_id:
            raise Misconfigured("the log needs the gateway's id", "gateway.id", "every record is named by it")
        if self.max_bytes < 4 * 1024**2:
            raise Misconfigured("the log needs at least 4 MiB", "log.max_bytes", "set 4194304 or more")
        for name, value in (
            ("log.log_stall_s", self.log_stall_s),
            ("log.max_age_days", self.max_age_s),
            ("log.commit_records", self.commit_records),
        ):
            if value <= 0:
                raise Misconfigured(f"{name} must be above 0, not {value}", name, "remove it for the default")
        if self.commit_interval_s < 0:
            raise Misconfigured("a commit interval cannot be negative", "log.commit_interval_ms", "use 0 or more")
