"""Raw bytes by a declared layout, as LoRaWAN devices send them."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import TYPE_CHECKING, Any, Final

from drivers.mqtt.codecs.measurements import Measurement
from drivers.mqtt.codecs.unread import Unread
from drivers.spelling import Misspelt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from drivers.mqtt.settings import LayoutField

TYPES: Final = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u24": 3, "i24": 3, "u32": 4, "i32": 4, "f32": 4}
"""Bytes of each type."""


class Layout:
    """The values in the bytes of an uplink. One that its bytes are too short for has no value."""

    def __init__(self, fields: tuple[LayoutField, ...]) -> None:
        for one in fields:
            if one.type not in TYPES:
                raise Misspelt(f"the layout has no type {one.type}", f"write {', '.join(TYPES)}")
            if -TYPES[one.type] < one.at < 0:
                raise Misspelt(
                    f"the layout takes {one.channel} from beyond the end", "count its first byte from the end"
                )
        channels = [(one.channel, one.f_port) for one in fields]
        if len(set(channels)) != len(channels):
            raise Misspelt("the layout names a channel twice", "give each a name of its own, or an f_port")
        self.fields = fields

    def of(self, data: Any, port: Any, device: str, at: datetime | str | None) -> Iterator[Measurement]:
        """The values. `data` is base64.

        Raises:
            Unread: it is not base64, or the layout has nothing for this port.
        """
        try:
            raw = base64.b64decode(data, validate=True) if isinstance(data, str) else b""
        except (binascii.Error, ValueError):
            raise Unread("its bytes are not base64") from None
        if not raw:
            raise Unread("it has no bytes")
        wanted = [one for one in self.fields if one.f_port is None or one.f_port == port]
        if not wanted:
            raise Unread("the layout has nothing for its port")
        return (_measured(one, raw, device, at) for one in wanted)


def _measured(field: LayoutField, raw: bytes, device: str, at: datetime | str | None) -> Measurement:
    size = TYPES[field.type]
    start = field.at if field.at >= 0 else len(raw) + field.at
    taken = raw[start : start + size] if start >= 0 else b""
    if len(taken) < size:
        return Measurement(device, field.channel, None, field.unit, at, "its bytes end before it")
    if field.type == "f32":
        number: float = struct.unpack("<f" if field.little else ">f", taken)[0]
        if not math.isfinite(number):
            return Measurement(device, field.channel, None, field.unit, at, "it is nan or infinite")
    else:
        number = int.from_bytes(taken, "little" if field.little else "big", signed=field.type[0] == "i")
    return Measurement(device, field.channel, number * field.scale + field.offset, field.unit, at)
