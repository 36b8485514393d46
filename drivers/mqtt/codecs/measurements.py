"""What a codec makes of a message: measurements by device and channel, or nothing and why that is right.

Which sensor a measurement belongs to is not for a codec to know: config says that, by device and channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from drivers.mqtt.settings import PayloadSettings

MOST: Final = 1_000
"""Measurements taken from one message. What is more is counted as unreadable."""
MORE_THAN_MOST: Final = f"the message has more than {MOST:,} values: the rest is not read"


class Kind(StrEnum):
    """What a message is. All but READINGS and BIRTH bring no measurements."""

    READINGS = "readings"
    BIRTH = "birth"
    """A device says what it is, and its present values."""
    WILL = "will"
    """A device is gone: the broker says so for it, or it does itself."""
    AVAILABILITY = "availability"
    """Whether a device is there, or the state of a bridge."""
    DELETED = "deleted"
    """An empty message: a retained one of this topic is removed."""
    DESCRIPTION = "description"
    """Names and units of what is measured: discovery, or the metadata of a device."""
    COMMAND = "command"
    """Meant for a device, or a device's answer to that."""
    OTHER = "other"
    """A log line, an event or anything else of the family that is no measurement."""


class Message(NamedTuple):
    """One message as codecs take it. `received_at` is aware UTC, by the gateway's clock."""

    topic: str
    payload: bytes
    received_at: datetime
    retained: bool = False


class Measurement(NamedTuple):
    """One value of one channel of one device, or no value and why.

    `unit` is as the device writes it, None if it names none. `at` is the device's time in UTC; None if the message
    carries none; or a word for why it cannot be used (`drivers.mqtt.codecs.times`). `maker` is the kind of probe, if
    the family tells: some numbers of theirs mean that there is no value (`drivers.mqtt.codecs.sentinels`).
    """

    device: str
    channel: str
    value: float | None
    unit: str | None = None
    at: datetime | str | None = None
    reason: str = ""
    maker: str = ""


class Answer(NamedTuple):
    """A message to be published because of one that came, with QoS 0 and not retained."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """What a message says. `device` is whose it is, if it is of one device alone."""

    kind: Kind = Kind.READINGS
    measurements: tuple[Measurement, ...] = ()
    answers: tuple[Answer, ...] = ()
    device: str = ""


class Codec(Protocol):
    """Reads the messages of one subscription. It may remember what earlier messages said, such as aliases."""

    def read(self, message: Message) -> Read:
        """What the message says.

        Raises:
            Unread: nothing in it can be read; the text is the reason.
        """

    def forget(self) -> None:
        """The session at the broker is lost, and messages with it: what was learned may be out of date."""


class Family(Protocol):
    """A class that makes codecs. It stands in `drivers.mqtt.codecs.families`, or is an entry point of ours."""

    filters: tuple[str, ...]
    """The topics of the family where its devices are set up as they come, for a probe of a new farm."""

    def __call__(self, settings: PayloadSettings) -> Codec:
        """A codec for one subscription.

        Raises:
            Misspelt: a setting is not written as it is read.
        """


def readings(found: Iterable[Measurement], *, device: str = "", kind: Kind = Kind.READINGS) -> Read:
    """A message with these measurements, of which the first 1,000 are taken."""
    taken: list[Measurement] = []
    for one in found:
        if len(taken) == MOST:
            taken.append(Measurement(one.device, "", None, reason=MORE_THAN_MOST))
            break
        taken.append(one)
    return Read(kind, tuple(taken), device=device)


def text_of(payload: bytes) -> str:
    """The payload as text, without white space and NUL at its ends.

    Raises:
        Unread: it is not UTF-8.
    """
    try:
        return payload.strip(b" \t\r\n\0").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unread("it is not text in UTF-8") from None


def is_empty(payload: bytes) -> bool:
    """Whether a payload is empty, which removes a retained message. A NUL alone is as empty."""
    return not payload.strip(b"\0")
