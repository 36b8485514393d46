"""One TaskGroup that owns every unit.

S1  A unit's end never reaches another unit, unless it is essential and gave up.
S2  NotReady waits and is never counted as a crash; Misconfigured stops trying until a reload or the slow retry.
S3  A failure is logged once, then counted; a recovery gets one line.
S4  Stopping goes stage by stage; no unit of a later stage is stopped before all of the earlier ones have ended
    or used up their time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import drivers
import models.values
import sync.values
from agent.supervisor.unit import EssentialUnitFailed, Policy, Stage, State, Unit, UnitHistory, UnitReport

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("tidegate.supervisor")

NOT_READY = (drivers.NotReady, models.values.NotReady, sync.values.NotReady)
MISCONFIGURED = (drivers.Misconfigured, models.values.Misconfigured, sync.values.Misconfigured)


class Supervisor:
    """Starts, watches, restarts and stops units. All methods belong to the loop's thread.

    `on_change(report)` is called at each change of a unit's state, but for an attempt to start it again; it must not
    block or raise.
    """

    def __init__(self, on_change: Callable[[UnitReport], None], policy: Policy | None = None) -> None:
        self._policy = policy or Policy()
        self._on_change = on_change
        self._units: dict[str, Unit] = {}
        self._histories: dict[str, UnitHistory] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._kicks: dict[str, asyncio.Event] = {}
        self._group: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self.stuck: tuple[str, ...] = ()

    async def run(self, started: Callable[[], None]) -> None:
        """Own the units until `stop`. `started` is called once units can be started.

        Raises:
            EssentialUnitFailed: with the unit's name and last reason; every other unit was stopped in order.
        """
        failure: EssentialUnitFailed | None = None
        self._failed: asyncio.Future[EssentialUnitFailed] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as self._group:
            started()
            waiter = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait((waiter, self._failed), return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
            if self._failed.done():
                failure = self._failed.result()
            self._stopping.set()
            await self._stop_all()
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Begin the orderly stop; `run` returns when it is through."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether the orderly stop has begun."""
        return self._stopping.is_set()

    def start(self, unit: Unit) -> None:
        """Start a unit under a name that is not in use."""
        if self._group is None or unit.name in self._units:
            raise RuntimeError(f"unit {unit.name} cannot be started now")
        if self._stopping.is_set():
            return
        self._units[unit.name] = unit
        self._histories[unit.name] = UnitHistory(self._policy)
        self._kicks[unit.name] = asyncio.Event()
        self._tasks[unit.name] = self._group.create_task(self._keep(unit), name=unit.name)

    async def remove(self, name: str) -> None:
        """Stop one unit, waiting for its orderly end at most the policy's time, and forget it."""
        await self._cancel([name])
        if name in self._units:
            self._become(self._units[name], State.STOPPED)
        for table in (self._units, self._histories, self._tasks, self._kicks):
            table.pop(name, None)

    def kick(self) -> None:
        """Try every failed or waiting unit again now (at a reload)."""
        for kick in self._kicks.values():
            kick.set()
        for unit in self._units.values():
            if unit.again is not None:
                unit.again()

    def reports(self) -> list[UnitReport]:
        """All units in order of starting."""
        return [self._report(unit) for unit in self._units.values()]

    def answers(self) -> bool:
        """Whether supervision itself is well: every unit that should be kept has its keeping task."""
        return self._stopping.is_set() or all(
            not task.done() or self._histories[name].state in (State.FINISHED, State.STOPPED)
            for name, task in self._tasks.items()
        )

    def _report(self, unit: Unit) -> UnitReport:
        history = self._histories[unit.name]
        state, reason, hint = history.state, history.reason, history.hint
        tried_again = state is State.STARTING and history.troubled
        if state is State.RUNNING or tried_again:
            down = unit.up() if unit.up is not None else None
            if down is not None:
                waited = tried_again and history.waited and reason != down
                state, reason, hint = State.WAITING, f"{down}; before that: {reason}" if waited else down, ""
            elif tried_again:
                reason = f"tried again; before that: {reason}"
        return UnitReport(
            name=unit.name,
            stage=unit.stage.name.lower(),
            state=state,
            reason=reason,
            hint=hint,
            essential=unit.essential,
            crashes=history.crashes,
            waits=history.waits,
        )

    def _become(self, unit: Unit, state: State, reason: str = "", hint: str = "") -> None:
        history = self._histories[unit.name]
        history.state, history.reason, history.hint = state, reason, hint
        self._on_change(self._report(unit))

    async def _keep(self, unit: Unit) -> None:
        """Run a unit again and again as its policy says, until it is cancelled or has finished."""
        history = self._histories[unit.name]
        try:
            while (pause_s := await self._attempt(unit)) is not None:
                if unit.essential and history.state is State.FAILED:
                    if not self._failed.done():
                        self._failed.set_result(EssentialUnitFailed(f"{unit.name}: {history.reason}"))
                    return
                await self._pause(unit, pause_s)
        except asyncio.CancelledError:
            # Ours: `remove` or the orderly stop asked for it, and the group must not take it for its own.
            history.state = State.STOPPED

    async def _attempt(self, unit: Unit) -> float | None:
        """Run a unit once; return how long to pause before the next attempt, None if it has finished."""
        history = self._histories[unit.name]
        if history.troubled:
            # Whoever was told of the trouble hears of its end once it is one, and not at each attempt.
            history.waited = history.state is State.WAITING
            history.state = State.STARTING
        else:
            self._become(unit, State.RUNNING)
        history.again = None
        self._look_later(unit)
        try:
            await unit.run()
        except NOT_READY as wait:
            return self._waits(unit, wait.reason, wait.hint)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody asked for it: something that the unit waited for was cancelled under it.
            return self._crashes(unit, cancelled)
        except MISCONFIGURED as fault:
            where = f"{fault.field}: " if fault.field else ""
            again_s = fault.again_s if isinstance(fault, drivers.Misconfigured) else None
            history.again = fault.again if isinstance(fault, sync.values.Misconfigured) else None
            return self._fails(unit, where + fault.reason, fault.hint, again_s)
        except Exception as crash:  # noqa: BLE001 - the one place that decides what a crash means
            return self._crashes(unit, crash)
        finally:
            if history.timer is not None:
                history.timer.cancel()
        self._become(unit, State.FINISHED)
        return None

    def _waits(self, unit: Unit, reason: str, hint: str) -> float:
        history = self._histories[unit.name]
        history.waits += 1
        if not history.troubled or history.reason != reason:
            log.warning("%s is waiting: %s%s", unit.name, reason, f" ({hint})" if hint else "")
        history.troubled = True
        self._become(unit, State.WAITING, reason, hint)
        return history.wait_s()

    def _fails(self, unit: Unit, reason: str, hint: str, again_s: float | None = None) -> float:
        history = self._histories[unit.name]
        if not history.troubled or history.reason != reason:
            log.error("%s failed: %s%s", unit.name, reason, f" ({hint})" if hint else "")
        history.troubled = True
        self._become(unit, State.FAILED, reason, hint)
        return self._policy.failed_retry_s if again_s is None else again_s

    def _crashes(self, unit: Unit, crash: BaseException) -> float:
        history = self._histories[unit.name]
        reason = f"{type(crash).__name__}: {crash}"
        too_often = history.crashed_too_often(time.monotonic())
        # The stack is for us, not for the operator: once, at the first crash of a row.
        log.error("%s crashed: %s", unit.name, reason, exc_info=crash if len(history.recent) == 1 else None)
        history.troubled = True
        if too_often:
            return self._fails(unit, f"gave up after {len(history.recent)} crashes, last {reason}", "")
        self._become(unit, State.BACKING_OFF, reason)
        return history.backoff_s()

    def _look_later(self, unit: Unit) -> None:
        loop = asyncio.get_running_loop()
        self._histories[unit.name].timer = loop.call_later(self._policy.steady_s, self._steady, unit)

    def _steady(self, unit: Unit) -> None:
        """Called while a unit runs: the end of its trouble is one line, once it really serves."""
        history = self._histories[unit.name]
        if unit.up is not None and unit.up() is not None:
            self._look_later(unit)
        elif history.troubled:
            history.troubled = False
            log.info("%s is running again", unit.name)
            self._become(unit, State.RUNNING)

    async def _pause(self, unit: Unit, pause_s: float) -> None:
        """Until the pause is over, somebody kicks, or what the unit failed for may have been mended."""
        kick, again = self._kicks[unit.name], self._histories[unit.name].again
        kick.clear()
        waking: list[asyncio.Future[Any]] = [asyncio.ensure_future(kick.wait())]
        if again is not None:
            waking.append(asyncio.ensure_future(again()))
        try:
            await asyncio.wait(waking, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waking:
                waiter.cancel()
            await asyncio.gather(*waking, return_exceptions=True)

    async def _stop_all(self) -> None:
        for stage in Stage:
            await self._cancel([name for name, unit in self._units.items() if unit.stage is stage])

    async def _cancel(self, names: list[str]) -> None:
        tasks = [self._tasks[name] for name in names if name in self._tasks and not self._tasks[name].done()]
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._policy.stop_s)
        for task in late:
            log.error("%s did not stop within %g s", task.get_name(), self._policy.stop_s)
        self.stuck += tuple(task.get_name() for task in late)
