"""A records section taken apart: what is the same in many records, and what is of each.

Of a record its template is the key and all of body and headers but the number, the times and the log's number in
`ce_id`. A record that is not made like this is kept as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_TEMPLATES: Final = 4_096
"""Bodies of more kinds gain nothing from templates."""
DECIMALS: Final = 9
"""A number of more is not read as one."""
_TIME: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9]\d{0,14})(?:\.\d+)?(?=[,}])")
_NAME: Final = re.compile(rb"\x0ace_id(.)([0-9a-z]{0,40}-)(0|[1-9]\d{0,14})", re.DOTALL)
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MILLISECONDS: Final = tuple(f".{number:03}Z".encode() for number in range(1_000))
_MOST_SECONDS: Final = 65_536


class Template(NamedTuple):
    """What records share.

    The body is `head`, the number, then the pieces of `body` around times; the headers are the pieces of `headers`
    around times, then `prefix` and the log's number in `ce_id`, and `tail`.

    `same` says of each time but the first if it is the first one. `decimals` is how many places the number is scaled
    by, -1 for a whole number, -2 where the number is kept as text.
    """

    key: bytes
    head: bytes
    body: tuple[bytes, ...]
    headers: tuple[bytes, ...]
    prefix: bytes
    tail: bytes
    same: tuple[bool, ...]
    decimals: int = 0


@dataclass(slots=True)
class Section:
    """Records in order. `templates[kinds[i]]` is a record's, `kinds[i]` is -1 where it is in `others` as it is.

    `times`, `numbers` (as text) and `names` are of those with a template, in order; `more_times` those times that
    are not their record's first one.
    """

    templates: list[Template] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    more_times: list[int] = field(default_factory=list)
    numbers: list[bytes] = field(default_factory=list)
    names: list[int] = field(default_factory=list)
    others: list[bytes] = field(default_factory=list)


def parse(section: bytes, records: int, before_number: bytes) -> Section | None:
    """Take a section apart; None where it has more kinds of records than are worth it.

    `before_number` stands in a body right before its number.

    Raises:
        ValueError, IndexError: it is no section of so many records.
    """
    found = Section()
    known: dict[Template, int] = {}
    clock = _Clock()
    for rest in _rests(section, records):
        record = _taken_apart(rest, before_number, clock)
        if record is None:
            found.kinds.append(-1)
            found.others.append(rest)
            continue
        template, number, times, name = record
        kind = known.get(template)
        if kind is None:
            if len(known) >= MOST_TEMPLATES:
                return None
            kind = known[template] = len(known)
        found.kinds.append(kind)
        found.times.append(times[0])
        found.more_times += [at for at, same in zip(times[1:], template.same, strict=True) if not same]
        found.numbers.append(number)
        found.names.append(name)
    found.templates = list(known)
    return found


def _rests(section: bytes, records: int) -> Iterator[bytes]:
    """Each record from its key on; the rest is the log's own, and follows from the order."""
    at = 0
    for index in range(records):
        length, at = _varint(section, at)
        stop = at + length
        delta, key = _varint(section, at + 2)
        if section[at : at + 2] != b"\0\0" or delta != index or stop > len(section):
            raise ValueError("a record is not as the log writes it")
        yield section[key:stop]
        at = stop
    if at != len(section):
        raise ValueError("bytes are left behind the last record")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number as Kafka writes it, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


class _Clock:
    """Reads times; the readings of a second share all but its milliseconds."""

    def __init__(self) -> None:
        self._seconds: dict[bytes, int | None] = {}

    def read(self, text: bytes) -> int | None:
        """Milliseconds since the epoch; None where the text is no time that is written back like this."""
        second = text[:19]
        if second not in self._seconds:
            if len(self._seconds) >= _MOST_SECONDS:
                self._seconds.clear()
            try:
                at = datetime.fromisoformat(second.decode()).replace(tzinfo=UTC)
            except ValueError:
                self._seconds[second] = None
            else:
                self._seconds[second] = (at - _EPOCH) // timedelta(milliseconds=1)
        whole = self._seconds[second]
        return None if whole is None else whole + int(text[20:23])


def texts(times: list[int]) -> list[bytes]:
    """Times as they are written."""
    seconds: dict[int, bytes] = {}
    written = []
    for at in times:
        second, rest = divmod(at, 1_000)
        text = seconds.get(second)
        if text is None:
            whole = _EPOCH + timedelta(seconds=second)
            text = seconds[second] = whole.isoformat(timespec="seconds")[:19].encode()
        written.append(text + _MILLISECONDS[rest])
    return written


def _taken_apart(rest: bytes, before_number: bytes, clock: _Clock) -> tuple[Template, bytes, list[int], int] | None:
    length, at = _varint(rest, 0)
    if length < 0:
        return None
    key, at = rest[at : at + length], at + length
    length, at = _varint(rest, at)
    if length < 0:
        return None
    body, headers = rest[at : at + length], rest[at + length :]
    begin = body.find(before_number) + len(before_number)
    number = _NUMBER.match(body, begin)
    name = _NAME.search(headers)
    if begin < len(before_number) or number is None or name is None:
        return None
    sign_and_length, prefix, digits = name.groups()
    if sign_and_length[0] != 2 * (len(prefix) + len(digits)):
        return None
    behind = body[number.end() :]
    ahead = headers[: name.start()]
    times = [clock.read(text) for text in (*_TIME.findall(behind), *_TIME.findall(ahead))]
    read = [moment for moment in times if moment is not None]
    if not read or len(read) != len(times):
        return None
    text = number.group()
    template = Template(
        key,
        body[:begin],
        tuple(_TIME.split(behind)),
        tuple(_TIME.split(ahead)),
        prefix,
        headers[name.end() :],
        tuple(moment == read[0] for moment in read[1:]),
        decimals_of(text),
    )
    return template, text, read, int(digits)


def decimals_of(text: bytes) -> int:
    """-1 for a whole number, 0 for one with decimals (how many, its pack says), -2 for one that is kept as text."""
    whole, dot, places = text.partition(b".")
    if text.startswith(b"-0") and not text.strip(b"-0."):
        return -2
    if not dot:
        return -1
    plain = len(places) <= DECIMALS and (places == b"0" or not places.endswith(b"0"))
    return 0 if plain and len(whole) + len(places) <= 16 else -2
