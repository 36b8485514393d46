"""The wire format of protobuf, as far as Sparkplug B needs it: the fields of a message, in their order."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
_BROKEN: Final = "it is not protobuf"


def fields_of(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and content of each field: an int for varints, else the bytes.

    Raises:
        Unread: it is not protobuf, or ends within a field.
    """
    position, size = 0, len(data)
    while position < size:
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Unread(_BROKEN)
        if wire == VARINT:
            content: int | bytes
            content, position = _varint(data, position)
        else:
            if wire == BYTES:
                length, position = _varint(data, position)
            elif wire in {FIXED64, FIXED32}:
                length = 8 if wire == FIXED64 else 4
            else:
                raise Unread(_BROKEN)  # groups, which proto3 and Sparkplug have not
            if length > size - position:
                raise Unread("it is protobuf that ends too early")
            content = data[position : position + length]
            position += length
        yield number, wire, content


def float_of(content: int | bytes) -> float | None:
    """A float or double; None if the field is of another kind."""
    if not isinstance(content, bytes) or len(content) not in {4, 8}:
        return None
    found: float = struct.unpack("<f" if len(content) == 4 else "<d", content)[0]
    return found


def varint(number: int) -> bytes:
    """A number that is not negative, as protobuf writes it."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def field_of(number: int, content: int | bytes) -> bytes:
    """A field, ready to be written: a varint, or bytes with their length."""
    if isinstance(content, int):
        return varint(number << 3 | VARINT) + varint(content)
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    try:
        for shift in range(0, 70, 7):
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, position
    except IndexError:
        raise Unread("it is protobuf that ends too early") from None
    raise Unread(_BROKEN)
