"""The running units as config wants them, and the least change from one wish to the next.

T1  A unit whose settings are equal is not touched.
T2  A unit that can take its new settings while it runs is not restarted.
T3  What goes, goes before what comes, so that a port or a session is free for its successor.
T4  A unit that cannot live with its settings fails by itself, under supervision; the change of the others goes on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent.supervisor import Supervisor, Unit

log = logging.getLogger("tidegate.reload")


@dataclass(frozen=True, slots=True)
class Part:
    """A built unit. `adapt(settings)` takes new settings on the live unit and says whether it could."""

    unit: Unit
    adapt: Callable[[Any], Awaitable[bool]] | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A unit as config wants it: equal `settings` mean an unchanged unit; `build(settings)` makes it."""

    name: str
    settings: Any
    build: Callable[[Any], Part]


@dataclass(slots=True)
class Change:
    """What an application of a document did, by unit name."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)

    def units(self) -> list[str]:
        """Every unit that was touched."""
        return [*self.removed, *self.adapted, *self.restarted, *self.added]


class Topology:
    """Holds the parts that run and brings them to a new plan."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._running: dict[str, tuple[Any, Part]] = {}

    async def change(self, plan: Sequence[Planned]) -> Change:
        """Bring the running units to `plan`, starting new ones in its order."""
        change = Change()
        wanted = {planned.name: planned for planned in plan}
        for name in [name for name in self._running if name not in wanted]:
            await self._remove(name)
            change.removed.append(name)
        for planned in plan:
            running = self._running.get(planned.name)
            if running is None:
                change.added.append(planned.name)
                self._start(planned)
                continue
            settings, part = running
            if settings == planned.settings:
                continue
            if part.adapt is not None and await _adapted(part.adapt, planned):
                self._running[planned.name] = (planned.settings, part)
                change.adapted.append(planned.name)
                continue
            await self._remove(planned.name)
            self._start(planned)
            change.restarted.append(planned.name)
        self._supervisor.kick()
        return change

    def _start(self, planned: Planned) -> None:
        part = planned.build(planned.settings)
        self._running[planned.name] = (planned.settings, part)
        self._supervisor.start(part.unit)

    async def _remove(self, name: str) -> None:
        await self._supervisor.remove(name)
        del self._running[name]


async def _adapted(adapt: Callable[[Any], Awaitable[bool]], planned: Planned) -> bool:
    try:
        return await adapt(planned.settings)
    except Exception as fault:  # noqa: BLE001 - built anew it meets the same, and the supervisor judges it (T4)
        log.warning("%s cannot take its new settings while it runs: %s", planned.name, fault)
        return False
