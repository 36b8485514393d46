"""What drivers observe, the one verb by which they hand it over, and the two errors they raise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from drivers.spelling import Location, path_text

if TYPE_CHECKING:
    from datetime import datetime


AHEAD: Final = timedelta(minutes=5)
"""A device's clock may be ahead of ours by so much; a value cannot be measured later than it is received."""
BEHIND: Final = timedelta(days=30)
"""No backlog is believed to be older; beyond it a wrong clock is more likely."""


class Doubt(NamedTuple):
    """What is unusual about a reading's time, or about how it came. Nearly all readings have none.

    `problem` is one word, or empty: why `at` is not the device's time, or what is wrong with it. `far` says that
    the device's time is more than AHEAD or BEHIND away from ours; which of the two clocks is wrong is not for a
    driver to say. `retained`: the broker keeps the message for whoever comes. `queued`: there is no usable time,
    and it may have waited at the broker while we were away. The hub fills in `steady` (the device's clock runs with
    ours at a constant distance, so that the value is of now) and `received_at`.
    """

    problem: str = ""
    far: bool = False
    retained: bool = False
    queued: bool = False
    steady: bool = False
    received_at: datetime | None = None


class Reading(NamedTuple):
    """One measured value of one sensor, as the device reported it, in the unit that config names.

    A named tuple, for one is made for each message: a frozen dataclass takes a microsecond longer.

    `at` is aware UTC: the device's own time where the payload carries one (`at_device` is True),
    else the time of receipt. `received_ns` is the monotonic clock at receipt, for latencies. `doubt` is None unless
    something about the time is unusual.
    """

    sensor_id: str
    sensor_type: str
    value: float
    unit: str
    tank_id: str
    site_id: str
    at: datetime
    at_device: bool
    received_ns: int
    traceparent: str | None = None
    doubt: Doubt | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message, or a value in it, that could not be read. `sample` is at most 200 characters of the message.

    `sensor_id` is the sensor whose value is missing, if that is known.
    """

    source: str
    topic: str
    reason: str
    sample: str
    at: datetime
    sensor_id: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A message that no codec reads, as it came."""

    source: str
    topic: str
    payload: bytes
    retained: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class SharedImage:
    """Where an image lies in shared memory: BGR, uint8, C order, shape (height, width, 3), at `offset` of `fd`."""

    fd: int
    offset: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera frame. Its image stays as it is until `release()`; a frame never released holds one buffer."""

    camera_id: str
    tank_id: str
    site_id: str
    number: int
    at: datetime
    captured_ns: int
    image: SharedImage
    release: Callable[[], None]


Observation = Reading | Unreadable | Document | Frame


class Receipted(list[Observation]):
    """A batch with a receipt, which is to be kept together with it: by whose name, and what.

    From the receipts that were kept a source knows, also in a later run, what it has handed over already. What comes
    again of an earlier run is `earlier`: it is on disk, but that run may have ended before it acted on it.
    """

    __slots__ = ("earlier", "receipt")

    def __init__(
        self,
        batch: Sequence[Observation],
        receipt: tuple[str, bytes] | None = None,
        earlier: Sequence[Observation] = (),
    ) -> None:
        super().__init__(batch)
        self.receipt = receipt
        self.earlier = earlier


Receipts = Callable[[str], Awaitable[Sequence[bytes]]]
"""The newest receipts kept by a name, oldest first."""

Emit = Callable[[Sequence[Observation]], Awaitable[None]]
"""Hands a batch over. Once the awaitable is done the observations may be forgotten: readings are on disk."""


class Driver(Protocol):
    """A source of observations."""

    async def run(self, emit: Emit) -> None:
        """Observe until cancelled. May have several batches outstanding at once.

        Raises:
            NotReady: the outside is not there (yet); trying again is right and is no crash.
            Misconfigured: trying again without a change is useless.
        """


class NotReady(Exception):  # noqa: N818 - a condition of the outside, not an error of ours
    """The outside is not there yet. The supervisor waits and tries again; `hint` says what to look at."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Misconfigured(Exception):  # noqa: N818 - named for the cure, like NotReady
    """Only a change of config helps: of the key at `where`, in words `field`. The supervisor shows `hint` and stops.

    It tries again all the same after `again_s` seconds, or after its own ten minutes.
    """

    def __init__(
        self, reason: str, field: str | Location = (), hint: str = "", *, again_s: float | None = None
    ) -> None:
        """`field` is one key of the driver's own section, or its place below it: `("tls", "cert_file")`."""
        super().__init__(reason)
        self.reason = reason
        self.where: Location = ((field,) if field else ()) if isinstance(field, str) else field
        self.hint = hint
        self.again_s = again_s

    @property
    def field(self) -> str:
        """The key as people read it: `tls.cert_file`; empty if it is none in particular."""
        return path_text(self.where)
