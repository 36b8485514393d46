"""Payloads: from the bytes of a message to a value, its time and its unit; or the reason why not."""

from drivers.mqtt.codecs.fields import codec, identity, name_reader
from drivers.mqtt.codecs.flat import Codec, Fields
from drivers.mqtt.codecs.paths import look_at_spelling
from drivers.mqtt.codecs.times import EARLIEST, LATEST, time_from
from drivers.mqtt.codecs.unread import Unread

__all__ = [
    "EARLIEST",
    "LATEST",
    "Codec",
    "Fields",
    "Unread",
    "codec",
    "identity",
    "look_at_spelling",
    "name_reader",
    "time_from",
]
