"""From columns to a section's records: what costs time when a backlog is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from sync.log.packs import sections
from sync.log.packs.columns import Cursor, number
from sync.log.packs.encoding import even
from sync.log.packs.sections import Template

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sync.log.packs.columns import Integers


def section(cursor: Cursor) -> bytes:
    """The section, with every byte that it had.

    Raises:
        ValueError, IndexError, OverflowError: the columns are damaged.
    """
    records = cursor.number()
    kinds_there = cursor.number()
    if max(records, kinds_there) > len(_VARINTS):
        raise ValueError("a pack of too many records")
    told = Cursor(cursor.compressed())
    templates = [_read(told) for _ in range(kinds_there)]
    others = Cursor(cursor.compressed())
    kinds = (np.cumsum(cursor.integers(records)) + kinds_there) % (kinds_there + 1)
    kinds[kinds == kinds_there] = -1
    named = kinds[kinds >= 0]
    count = len(named)
    names = np.cumsum(cursor.integers(count) + 1).tolist()
    times = _times(cursor, count)
    more = iter(sections.texts(np.cumsum(cursor.integers(cursor.number())).tolist()))
    numbers = _spelled(cursor, templates, named)
    return _rendered(kinds.tolist(), templates, _Each(names, times, more, numbers), others)


class _Each(NamedTuple):
    """What is of each record with a template, in order; `more` are those times that are not their record's first."""

    names: Sequence[int]
    times: Sequence[bytes]
    more: Iterator[bytes]
    numbers: Sequence[bytes]


def _rendered(kinds: Sequence[int], templates: Sequence[Template], each: _Each, others: Cursor) -> bytes:
    """The hot part: readings are put together from pieces that most of them share."""
    names, times, more, numbers = each
    plain = [_Plain(template) if all(template.same) else None for template in templates]
    parts: list[bytes] = []
    place = 0
    for index, kind in enumerate(kinds):
        delta = _VARINTS[index]
        if kind < 0:
            rest = others.part()
            parts += (_varint(2 + len(delta) + len(rest)), b"\0\0", delta, rest)
            continue
        text, name, at = numbers[place], b"%d" % names[place], times[place]
        place += 1
        shared = plain[kind]
        if shared is None:
            rest = _unusual(templates[kind], text, name, at, more)
            parts += (_varint(2 + len(delta) + len(rest)), b"\0\0", delta, rest)
            continue
        digits = len(name)
        if digits != shared.digits:
            shared.fit(digits)
        length = len(text)
        known = shared.heads.get(length)
        if known is None:
            known = shared.add(length)
        whole, head = known
        parts += (_VARINTS[whole + len(delta)], b"\0\0", delta, head, text)
        parts += shared.joined(at)
        parts += (name, shared.tail)
    return b"".join(parts)


class _Plain:
    """A template all of whose times are the same."""

    __slots__ = (
        "_ahead",
        "_at",
        "_body_bytes",
        "_fixed",
        "_joined",
        "_middle",
        "_template",
        "digits",
        "heads",
        "tail",
    )

    def __init__(self, template: Template) -> None:
        self._template = template
        self._body_bytes = len(template.head) + sum(map(len, template.body)) + 24 * (len(template.body) - 1)
        self._ahead = _sized(template.key)
        self.tail = template.tail
        self.digits = 0
        self.heads: dict[int, tuple[int, bytes]] = {}
        self._middle: list[bytes] = []
        self._fixed = 0

    def fit(self, digits: int) -> None:
        """Be ready for names of so many digits."""
        template = self._template
        self.digits = digits
        self.heads.clear()
        size = _varint(len(template.prefix) + digits)
        pieces = list(template.body)
        headers = list(template.headers)
        pieces[-1] += headers[0]
        pieces += headers[1:]
        pieces[-1] += b"\x0ace_id" + size + template.prefix
        self._middle = pieces
        times = 24 * (len(template.headers) - 1)
        headers_bytes = sum(map(len, template.headers)) + times + 7 + len(template.prefix) + digits + len(self.tail)
        self._fixed = 2 + len(self._ahead) + headers_bytes

    def add(self, length: int) -> tuple[int, bytes]:
        """What leads up to a number of so many bytes, and how long the record is but for its place's own bytes."""
        body = self._body_bytes + length
        size = _varint(body)
        found = self._fixed + len(size) + body, self._ahead + size + self._template.head
        self.heads[length] = found
        return found

    def joined(self, at: bytes) -> Sequence[bytes]:
        """What lies between number and name."""
        pieces = self._middle
        if len(pieces) == 3:
            return (pieces[0], at, pieces[1], at, pieces[2])
        return (at.join(pieces),)


def _unusual(template: Template, text: bytes, name: bytes, at: bytes, more: Iterator[bytes]) -> bytes:
    times = [at, *(at if same else next(more) for same in template.same)]
    body = [template.head, text, template.body[0]]
    for moment, piece in zip(times, template.body[1:], strict=False):
        body += (moment, piece)
    rest = times[len(template.body) - 1 :]
    headers = [template.headers[0]]
    for moment, piece in zip(rest, template.headers[1:], strict=True):
        headers += (moment, piece)
    return b"".join(
        (
            _sized(template.key),
            _sized(b"".join(body)),
            *headers,
            b"\x0ace_id",
            _sized(template.prefix + name),
            template.tail,
        )
    )


def _read(cursor: Cursor) -> Template:
    key, head = cursor.part(), cursor.part()
    body = tuple(cursor.part() for _ in range(cursor.number()))
    headers = tuple(cursor.part() for _ in range(cursor.number()))
    prefix, tail = cursor.part(), cursor.part()
    same = tuple(map(bool, cursor.part()))
    decimals = cursor.number() - 2
    if not body or not headers or decimals > sections.DECIMALS:
        raise ValueError("a template is damaged")
    return Template(key, head, body, headers, prefix, tail, same, decimals)


def _times(cursor: Cursor, count: int) -> list[bytes]:
    if cursor.number():
        first, pace = cursor.integers(2).tolist()
        return sections.texts((even(first, pace, count) + cursor.integers(count)).tolist())
    return sections.texts(np.cumsum(cursor.integers(count)).tolist())


def _spelled(cursor: Cursor, templates: Sequence[Template], named: Integers) -> list[bytes]:
    """Each number as it is written, in the order of the records."""
    decimals = np.array([template.decimals for template in templates], np.int64)
    order = np.argsort(named, kind="stable")
    sorted_kinds = named[order]
    places = decimals[sorted_kinds] if len(templates) else np.zeros(0, np.int64)
    scaled = places != -2
    count = int(scaled.sum())
    if cursor.number():
        present, each = np.unique(sorted_kinds[scaled], return_counts=True)
        middles = np.cumsum(cursor.integers(len(present)))
        values = np.repeat(middles, each) + cursor.integers(count)
    else:
        values = np.cumsum(cursor.integers(count))
    known: dict[tuple[int, int], bytes] = {}
    whole = []
    for key in zip(places[scaled].tolist(), values.tolist(), strict=True):
        text = known.get(key)
        if text is None:
            text = known[key] = _number_text(*key)
        whole.append(text)
    in_order: Any = np.empty(len(named), object)
    in_order[order[scaled]] = whole
    told = Cursor(cursor.compressed())
    for place in order[~scaled].tolist():
        in_order[place] = told.part()
    return list(in_order)


def _number_text(places: int, value: int) -> bytes:
    """As JSON has it: no zeros at the end, but one decimal at least unless it is a whole number."""
    if places < 0:
        return b"%d" % value
    whole, rest = divmod(abs(value), 10**places)
    decimals = (b"%0*d" % (places, rest)).rstrip(b"0") if places else b""
    return b"%b%d.%b" % (b"-" if value < 0 else b"", whole, decimals or b"0")


def _varint(value: int) -> bytes:
    return _VARINTS[value] if value < len(_VARINTS) else number(value << 1)


def _sized(part: bytes) -> bytes:
    return _varint(len(part)) + part


_VARINTS: Final = tuple(number(value << 1) for value in range(1 << 14))
