"""From a section's records to columns.

Numbers lie sensor by sensor, each as the difference to the one before it or to the middle of its sensor; times lie in
the order of the records, as the difference to the one before, or to an even pace. Of the two the shorter is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sync.log.packs.columns import compressed, cost, difference, integers, number, sized

if TYPE_CHECKING:
    from sync.log.packs.columns import Integers
    from sync.log.packs.sections import Section, Template

PACE: Final = 1_000_000
"""Of a pace it is how many make a millisecond."""
_LONGEST_MS: Final = 1 << 40
"""Times that are further apart have no pace."""
_DICTIONARY_LEVEL: Final = 19


def columns(found: Section, records: int) -> bytes:
    """All columns of a section, as `sync.log.packs.decoding` reads them."""
    kinds = np.array(found.kinds, np.int64)
    named = kinds[kinds >= 0]
    decimals, values, plain, spelled = _numbers(found, named)
    templates = [
        template._replace(decimals=places) for template, places in zip(found.templates, decimals, strict=True)
    ]
    steps = difference(np.array(found.names, np.int64), 0) - 1
    return b"".join(
        (
            number(records),
            number(len(templates)),
            compressed(b"".join(map(_written, templates)), _DICTIONARY_LEVEL),
            compressed(b"".join(map(sized, found.others))),
            integers(difference(kinds, -1) % (len(templates) + 1)),
            integers(steps),
            _paced(np.array(found.times, np.int64)),
            number(len(found.more_times)),
            integers(difference(np.array(found.more_times, np.int64), 0)),
            _beside(values, plain),
            compressed(b"".join(map(sized, spelled))),
        )
    )


def _written(template: Template) -> bytes:
    return b"".join(
        (
            sized(template.key),
            sized(template.head),
            number(len(template.body)),
            *map(sized, template.body),
            number(len(template.headers)),
            *map(sized, template.headers),
            sized(template.prefix),
            sized(template.tail),
            sized(bytes(template.same)),
            number(template.decimals + 2),
        )
    )


def _numbers(found: Section, named: Integers) -> tuple[list[int], Integers, Integers, list[bytes]]:
    """How each template's numbers are scaled; the scaled ones, and their kinds, in the order of kinds; and the texts.

    Of a sensor the most decimals count, for JSON leaves zeros out.
    """
    decimals = [template.decimals for template in found.templates]
    kinds = named.tolist()
    for kind, text in zip(kinds, found.numbers, strict=True):
        if decimals[kind] >= 0:
            decimals[kind] = max(decimals[kind], len(text) - text.index(b".") - 1)
    order = np.argsort(named, kind="stable")
    values: list[int] = []
    plain: list[int] = []
    spelled: list[bytes] = []
    for place in order.tolist():
        kind, text = kinds[place], found.numbers[place]
        if (places := decimals[kind]) == -2:
            spelled.append(text)
            continue
        if places >= 0:
            whole, _, rest = text.partition(b".")
            text = whole + rest.ljust(places, b"0")
        values.append(int(text))
        plain.append(kind)
    return decimals, np.array(values, np.int64), np.array(plain, np.int64), spelled


def _beside(values: Integers, kinds: Integers) -> bytes:
    """Numbers that lie kind by kind."""
    steps = difference(values, 0)
    if not len(values):
        return number(0) + integers(steps)
    middles = _middles(values, kinds)
    around = values - np.repeat(middles, np.unique(kinds, return_counts=True)[1])
    if cost(around) + 16 * len(middles) < cost(steps):
        return number(1) + integers(difference(middles, 0)) + integers(around)
    return number(0) + integers(steps)


def _middles(values: Integers, kinds: Integers) -> Integers:
    _, starts = np.unique(kinds, return_index=True)
    middles = [int(np.median(part)) for part in np.split(values, starts[1:])]
    return np.array(middles, np.int64)


def _paced(times: Integers) -> bytes:
    """Times in the order of records."""
    steps = difference(times, 0)
    if len(times) > 2 and times.max() - times.min() < _LONGEST_MS:
        pace = int((times[-1] - times[0]) * PACE // (len(times) - 1))
        for _ in range(2):
            # The ends alone are off by what they are off: so is what lies between, on the average.
            off = times - even(int(times[0]), pace, len(times))
            places = np.arange(len(times))
            slope = float(
                ((places - places.mean()) * (off - off.mean())).sum() / ((places - places.mean()) ** 2).sum()
            )
            pace += int(slope * PACE)
        first = int(times[0]) + int(np.median(times - even(int(times[0]), pace, len(times))))
        off = times - even(first, pace, len(times))
        if pace >= 0 and cost(off) < cost(steps[1:]):
            return number(1) + integers(np.array([first, pace], np.int64)) + integers(off)
    return number(0) + integers(steps)


def even(first: int, pace: int, count: int) -> Integers:
    """Times at an even pace."""
    even: Integers = first + np.arange(count, dtype=np.int64) * pace // PACE
    return even
