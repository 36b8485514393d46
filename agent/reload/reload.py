"""From a document to running units: at start, at SIGHUP and at a push, by one path.

R1  A document is validated whole before anything changes; one that is refused changes nothing.
R2  Units whose part of the document is the same are not touched; the log never is.
R3  The document becomes last-good on disk only after its units were swapped in.
R4  Whatever becomes of a document is reported upstream, through the log.
R5  A push that we stumble over ourselves is refused too. Not dealt with, it would be fetched and stumbled over again
    after every restart, and no better one could ever come. The document before it runs again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from agent.config import ConfigErrors, Problem, digest, parse
from agent.events.records import FleetReported
from agent.reload.applied import Applied, LastGood
from agent.reload.choice import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.config import Config
    from agent.reload.choice import Choice
    from agent.reload.topology import Planned, Topology

log = logging.getLogger("tidegate.reload")


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the hub gives: the plan of a config, a check of what config names, and the way upstream."""

    plan: Callable[[Config], Sequence[Planned]]
    verify: Callable[[Config], Sequence[Problem]]
    adopt: Callable[[Config], None]
    report: Callable[[FleetReported], None]


class Reload:
    """Applies documents, one at a time."""

    def __init__(self, path: Path, topology: Topology, hooks: Hooks, first: Choice) -> None:
        self._path = path
        self._folder = path.absolute().parent
        self._topology = topology
        self._hooks = hooks
        self._lock = asyncio.Lock()
        self._identity = first.config.gateway
        self._pins = first.pins
        self._log_settings = first.config.log
        self._last_good = LastGood(first.config.gateway.state_dir)
        self._current: Applied | None = None
        self._config: Config | None = None
        self.refused = 0
        self.applied = 0

    @property
    def current(self) -> Applied | None:
        """The document that runs; None before the first one."""
        return self._current

    async def start(self, choice: Choice) -> None:
        """Begin from nothing. What config names and cannot work becomes a failed unit, not a refusal."""
        async with self._lock:
            await self._apply(choice.config, choice.applied, (*choice.notes, *choice.unusable))

    async def from_file(self) -> FleetReported:
        """Look at config.yaml again (SIGHUP, `POST /reload`)."""
        async with self._lock:
            try:
                choice = await asyncio.to_thread(choose, self._path)
            except ConfigErrors as errors:
                return self._refuse("", "file", errors.problems)
            refusals = [*choice.unusable, *await self._refusals(choice.config)]
            if refusals:
                return self._refuse(choice.applied.revision, "file", refusals)
            self._pins = choice.pins
            return await self._apply(choice.config, choice.applied, choice.notes)

    async def from_push(self, offset: int, document: bytes) -> FleetReported:
        """Take a pushed document. Returns once it runs and is last-good, or was refused; both are reported."""
        async with self._lock:
            name = digest(document)
            try:
                config = await asyncio.to_thread(
                    parse,
                    document,
                    f"push at offset {offset}",
                    folder=self._folder,
                    pushed=True,
                    pins=self._pins,
                )
            except ConfigErrors as errors:
                return self._refuse(name, "push", errors.problems, offset)
            refusals = await self._refusals(config)
            if refusals:
                return self._refuse(name, "push", refusals, offset)
            file_revision = self._current.file_revision if self._current else ""
            applied = Applied(document.decode(), name, "push", file_revision, offset)
            try:
                return await self._apply(config, applied, ())
            except Exception as fault:  # R5: whatever it is, the next document must get its turn
                log.exception("config %s: could not be applied", name[:12])
                await self._go_back()
                message = f"cannot be applied: {type(fault).__name__}: {fault}"
                return self._refuse(name, "push", [Problem("", 0, (), message, "")], offset)

    async def _go_back(self) -> None:
        """To the document that ran before, by the same path: what half came must not stay."""
        if self._config is None:
            return
        try:
            self._hooks.adopt(self._config)
            await self._topology.change(self._hooks.plan(self._config))
        except Exception:  # R5 again: a crash here would only bring the same push once more
            log.exception("the previous configuration could not be applied again; restart the daemon")

    async def _refusals(self, config: Config) -> list[Problem]:
        """What speaks against a config that is valid as a document, while another one runs."""
        if config.gateway != self._identity:
            message = "names, site and folders cannot change in a running daemon"
            return [Problem("", 0, ("gateway",), message, "restart it")]
        return list(await asyncio.to_thread(self._hooks.verify, config))

    async def _apply(self, config: Config, applied: Applied, notes: Sequence[Problem]) -> FleetReported:
        before = self._current.revision if self._current else None
        self._hooks.adopt(config)
        change = await self._topology.change(self._hooks.plan(config))
        self._current, self._config = applied, config
        problems = list(notes)
        if config.log != self._log_settings:
            problems.append(Problem("", 0, ("log",), "takes effect at the next start", ""))
        try:
            await asyncio.to_thread(self._last_good.write, applied)
        except OSError as fault:
            problems.append(Problem("", 0, (), f"not kept for the next start: {fault.strerror}", ""))
        for problem in problems:
            log.warning("config %s: %s", applied.revision[:12], problem)
        unchanged = before == applied.revision and not change.units()
        self.applied += not unchanged
        log.info(
            "config %s from %s %s: %s",
            applied.revision[:12],
            applied.source,
            "is unchanged" if unchanged else "applied",
            ", ".join(change.units()) or "no unit changed",
        )
        outcome: Literal["applied", "unchanged"] = "unchanged" if unchanged else "applied"
        return self._report(applied, outcome, change.units(), problems)

    def _refuse(
        self, name: str, source: Literal["file", "push"], problems: Sequence[Problem], offset: int | None = None
    ) -> FleetReported:
        self.refused += 1
        for problem in problems:
            log.error("config refused: %s", problem)
        return self._report(Applied("", name, source, "", offset), "refused", [], problems)

    def _report(
        self,
        applied: Applied,
        outcome: Literal["applied", "refused", "unchanged"],
        units: list[str],
        problems: Sequence[Problem],
    ) -> FleetReported:
        report = FleetReported(
            gateway_id=self._identity.id,
            revision=applied.revision,
            source=applied.source,
            outcome=outcome,
            at=datetime.now(UTC),
            offset=applied.offset,
            changed_units=units,
            problems=[str(problem) for problem in problems],
        )
        self._hooks.report(report)
        return report
