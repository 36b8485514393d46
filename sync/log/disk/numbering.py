"""Records of a section by their offsets: varints as Kafka writes them, records told apart and numbered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


def varint(value: int) -> bytes:
    """A number from 0 on as Kafka writes it: zigzag, seven bits a byte."""
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


MANY: Final = 1 << 13
VARINTS: Final = tuple(varint(value) for value in range(MANY))
DIGITS: Final = tuple(b"%03d" % value for value in range(1_000))
SHORT: Final = tuple(b"%d" % value for value in range(1_000))


def encoded(value: int) -> bytes:
    """A number from 0 on as a varint; small ones from a table."""
    return VARINTS[value] if value < MANY else varint(value)


def numbered(index: int, rest: bytes) -> bytes:
    """One record: length, attributes, timestamp delta 0, offset delta, and the rest as it was."""
    delta = encoded(index)
    return encoded(2 + len(delta) + len(rest)) + b"\0\0" + delta + rest


def renumbered(raw: bytes, records: int, base: int) -> Iterator[bytes]:
    """The parts of all records of a section, numbered from `base`, each as it was otherwise."""
    for index, (rest, stop) in enumerate(bounds(raw, records), base):
        delta = VARINTS[index] if index < MANY else varint(index)
        length = 2 + len(delta) + stop - rest
        yield VARINTS[length] if length < MANY else varint(length)
        yield b"\0\0"
        yield delta
        yield raw[rest:stop]


def bounds(raw: bytes, records: int) -> Iterator[tuple[int, int]]:
    """Where each record's key begins and where the record ends."""
    position = 0
    for index in range(records):
        value = raw[position]
        position += 1
        if value > 0x7F:
            value &= 0x7F
            shift = 7
            while True:
                more = raw[position]
                position += 1
                value |= (more & 0x7F) << shift
                if more < 0x80:
                    break
                shift += 7
        stop = position + (value >> 1)
        # attributes and timestamp delta, a byte each, then the offset delta
        yield position + 2 + (1 if index < 64 else 2 if index < 8_192 else 3), stop
        position = stop
