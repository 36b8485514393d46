"""What a unit is: a name, a stage, a coroutine that runs it, and how its ends are judged."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from sync.backoff import Backoff

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable


class Stage(IntEnum):
    """The order of stopping: what brings data in ends first, what answers questions ends last."""

    SOURCE = 0
    PROCESS = 1
    SHIP = 2
    CONTROL = 3


class State(StrEnum):
    """What a unit is doing, as shown in status, health and metrics."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    BACKING_OFF = "backing_off"
    FAILED = "failed"
    FINISHED = "finished"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Unit:
    """A running thing. `run` runs until cancelled; its return means that there is nothing left to do.

    `up` tells whether the unit serves right now, where running alone does not say so (a session that is
    still connecting, say): None, or why not. `again` has one that waits inside `run` look at once whether it still
    needs to; it must not block or raise.
    """

    name: str
    stage: Stage
    run: Callable[[], Awaitable[None]]
    essential: bool = False
    up: Callable[[], str | None] | None = None
    again: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How ends are judged. Times in seconds; jitter comes on top where a range is given."""

    crashes: int = 5
    crash_window_s: float = 60.0
    backoff_first_s: float = 1.0
    backoff_most_s: float = 60.0
    wait_s: tuple[float, float] = (1.0, 5.0)
    failed_retry_s: float = 600.0
    steady_s: float = 5.0
    stop_s: float = 5.0


@dataclass(frozen=True, slots=True)
class UnitReport:
    """One line about a unit for people and metrics."""

    name: str
    stage: str
    state: State
    reason: str
    hint: str
    essential: bool
    crashes: int
    waits: int


@dataclass(slots=True)
class UnitHistory:
    """What has happened to one unit so far; kept over its restarts, gone when it is removed."""

    policy: Policy
    state: State = State.STARTING
    reason: str = ""
    hint: str = ""
    crashes: int = 0
    waits: int = 0
    troubled: bool = False
    again: Callable[[], Awaitable[None]] | None = None
    """What a unit that failed says may help, if it says so: it is done once another try is worth it."""
    waited: bool = False
    """Whether the last try before the one that runs ended in a wait."""
    recent: deque[float] = field(default_factory=deque)
    timer: asyncio.TimerHandle | None = None
    restarts: Backoff = field(init=False)
    waits_outside: Backoff = field(init=False)

    def __post_init__(self) -> None:
        policy = self.policy
        self.restarts = Backoff(policy.backoff_first_s, policy.backoff_most_s, jitter=(1.0, 1.25))
        self.waits_outside = Backoff.between(*policy.wait_s)

    def crashed_too_often(self, now: float) -> bool:
        """Note a crash at `now` (monotonic seconds) and say whether the policy's bound is reached."""
        self.crashes += 1
        self.recent.append(now)
        while self.recent and now - self.recent[0] > self.policy.crash_window_s:
            self.recent.popleft()
        return len(self.recent) >= self.policy.crashes

    def backoff_s(self) -> float:
        """How long to pause after a crash: longer with each one of a row, which the policy's window ends."""
        if len(self.recent) <= 1:
            self.restarts.over()
        return self.restarts.failed()

    def wait_s(self) -> float:
        """A wait for something outside."""
        return self.waits_outside.failed()


class EssentialUnitFailed(Exception):  # noqa: N818 - it names what happened
    """A unit without which the daemon is of no use gave up; the process ends and systemd restarts it."""
