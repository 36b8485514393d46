"""The units that steer and tell: reloads, and what systemd hears."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.supervisor import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent.events.records import FleetReported
    from agent.reload import Choice, Reload
    from agent.supervisor import Supervisor, UnitReport
    from agent.systemd import Notifier

_STATUS_EVERY_S = 2.0


class Reloads:
    """The one task that applies documents, whoever thin_requests it.

    A document may stop the very unit that brought it (its fleet topic, its HTTP port), so that unit only waits here;
    ended while it waits, it takes nothing with it.
    """

    def __init__(self, reload: Reload, first: Choice, notifier: Notifier) -> None:
        self._reload = reload
        self._first = first
        self._notifier = notifier
        self._wishes: asyncio.Queue[_Wish] = asyncio.Queue()

    def hangup(self) -> None:
        """SIGHUP: look at config.yaml again, and tell systemd the beginning and the end."""
        self._notifier.reloading()
        done = self._put(self._reload.from_file)
        done.add_done_callback(lambda _: self._notifier.ready())

    async def from_file(self) -> FleetReported:
        """Look at config.yaml again; what became of it."""
        return await asyncio.shield(self._put(self._reload.from_file))

    async def from_push(self, offset: int, document: bytes) -> None:
        """Take a pushed document; done once it runs and is kept, or was refused."""
        await asyncio.shield(self._put(lambda: self._reload.from_push(offset, document)))

    async def run(self) -> None:
        """Begin with the first document, then do what is wished, one after the other, until cancelled."""
        if self._reload.current is None:
            await self._reload.start(self._first)
        while True:
            wish = await self._wishes.get()
            try:
                report = await wish.work()
            except BaseException:  # raised on at once; only whoever waits for this wish must not wait for ever
                wish.done.cancel()
                raise
            if not wish.done.cancelled():
                wish.done.set_result(report)

    def _put(self, work: Callable[[], Awaitable[FleetReported]]) -> asyncio.Future[FleetReported]:
        done: asyncio.Future[FleetReported] = asyncio.get_running_loop().create_future()
        self._wishes.put_nowait(_Wish(work, done))
        return done


@dataclass(frozen=True, slots=True)
class _Wish:
    work: Callable[[], Awaitable[FleetReported]]
    done: asyncio.Future[FleetReported]


class Systemd:
    """READY once, with a status line ahead of it, and signs of life while the loop turns and supervision answers."""

    def __init__(self, notifier: Notifier, supervisor: Supervisor) -> None:
        self._notifier = notifier
        self._supervisor = supervisor
        self.status = ""

    async def run(self) -> None:
        """Tell systemd until cancelled."""
        # Before READY, at which `systemctl start` returns: who looks then must not find an empty status.
        self._tell_status()
        self._notifier.ready()
        every_s = min(self._notifier.watchdog_interval_s or _STATUS_EVERY_S, _STATUS_EVERY_S)
        while True:
            if self._supervisor.answers():
                self._notifier.watchdog()
            self._tell_status()
            await asyncio.sleep(every_s)

    def _tell_status(self) -> None:
        status = status_line(self._supervisor.reports())
        if status != self.status:
            self.status = status
            self._notifier.status(status)


def status_line(reports: Sequence[UnitReport]) -> str:
    """How things are, in plain words: what is failed first, then what waits and for what."""
    failed = [f"{unit.name} failed ({unit.reason})" for unit in reports if unit.state is State.FAILED]
    waiting = [
        f"{unit.name} is waiting ({unit.reason})"
        for unit in reports
        if unit.state in (State.WAITING, State.BACKING_OFF, State.STARTING) and unit.reason
    ]
    if not failed and not waiting:
        return f"all {len(reports)} units running"
    serving = len(reports) - len(failed) - len(waiting)
    return "; ".join([f"{serving} of {len(reports)} units running", *failed, *waiting])
