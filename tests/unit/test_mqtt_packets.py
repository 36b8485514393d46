"""The stream of a broker, cut into packets wherever the network happened to cut it."""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from drivers.mqtt import MqttSettings, SubscriptionSettings
from drivers.mqtt.packets import MOST_BYTES, RETAINED, SAMPLE_BYTES, TOO_LARGE, Malformed, Received, Splitter
from drivers.mqtt.readings import observe
from drivers.mqtt.topics.routes import Routes
from drivers.values import Doubt, Reading, Unreadable


def varint(value: int) -> bytes:
    encoded = bytearray()
    while True:
        value, digit = divmod(value, 128)
        encoded.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(encoded)


@dataclass(frozen=True)
class Publish:
    topic: bytes
    payload: bytes
    qos: int = 1
    packet_id: int = 1
    retain: bool = False
    duplicate: bool = False
    traceparent: str | None = None

    def encode(self, *, version_5: bool) -> bytes:
        body = struct.pack(">H", len(self.topic)) + self.topic
        if self.qos:
            body += struct.pack(">H", self.packet_id)
        if version_5:
            properties = Properties(PacketTypes.PUBLISH)
            if self.traceparent is not None:
                properties.ContentType = "application/json"
                properties.UserProperty = [("other", "x"), ("traceparent", self.traceparent)]
            body += properties.pack()
        body += self.payload
        return bytes([0x30 | self.duplicate << 3 | self.qos << 1 | self.retain]) + varint(len(body)) + body


def pubrel(packet_id: int) -> bytes:
    return b"\x62\x02" + struct.pack(">H", packet_id)


SUBACK = b"\x90\x03\x00\x01\x01"
PINGRESP = b"\xd0\x00"


def split(pieces, *, version_5=False, held=None) -> tuple[Received, list[bytes]]:
    others: list[bytes] = []
    splitter = Splitter(version_5=version_5, other=others.append, held=set() if held is None else held)
    received = Received()
    for piece in pieces:
        splitter.feed(piece, received)
    return received, others


STORY = (
    Publish(b"a/b", b"1", packet_id=1),
    PINGRESP,
    Publish(b"a/c", b"", qos=0),
    Publish(b"a/d", b"x" * 200, packet_id=65_535, retain=True),
    SUBACK,
    Publish(b"\xc3\xa4", b"2", packet_id=2, duplicate=True),
    Publish(b"q2", b"3", qos=2, packet_id=7),
    pubrel(7),
    Publish(b"a/b", b"4" * 20_000, packet_id=3),
    PINGRESP,
)


def encode(report, *, version_5: bool) -> bytes:
    return b"".join(
        packet.encode(version_5=version_5) if isinstance(packet, Publish) else packet for packet in report
    )


def check_story(received: Received, others: list[bytes]) -> None:
    assert [(topic, payload) for topic, payload, _, _ in received.messages] == [
        (packet.topic, packet.payload) for packet in STORY if isinstance(packet, Publish)
    ]
    assert others == [PINGRESP, SUBACK, PINGRESP]
    assert received.acknowledgements == (
        b"\x40\x02\x00\x01\x40\x02\xff\xff\x40\x02\x00\x02\x50\x02\x00\x07\x70\x02\x00\x07\x40\x02\x00\x03"
    )
    assert received.by_qos == [1, 4, 1]
    assert received.redelivered == 1
    assert [bool(head & RETAINED) for _, _, head, _ in received.messages] == [False, False, True, False, False, False]


@pytest.mark.parametrize("version_5", [False, True])
def test_a_stream_may_be_cut_at_any_byte(version_5):
    stream = encode(STORY, version_5=version_5)
    for cut in range(len(stream) + 1):
        check_story(*split([stream[:cut], stream[cut:]], version_5=version_5))


@pytest.mark.parametrize("version_5", [False, True])
def test_a_stream_may_come_byte_by_byte(version_5):
    stream = encode(STORY, version_5=version_5)
    check_story(*split([stream[at : at + 1] for at in range(len(stream))], version_5=version_5))


PUBLISHES = st.builds(
    Publish,
    topic=st.text(min_size=1, max_size=20).filter(lambda topic: "\0" not in topic).map(str.encode),
    payload=st.binary(max_size=400),
    qos=st.sampled_from([0, 1]),
    packet_id=st.integers(1, 65_535),
    retain=st.booleans(),
    duplicate=st.booleans(),
    traceparent=st.none() | st.just("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
)


@given(st.lists(PUBLISHES | st.sampled_from([SUBACK, PINGRESP]), max_size=12), st.booleans(), st.data())
@settings(deadline=None)
def test_any_packets_in_any_pieces_come_out_whole_and_in_order(report, version_5, data):
    stream = encode(report, version_5=version_5)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    received, others = split(pieces, version_5=version_5)
    publishes = [packet for packet in report if isinstance(packet, Publish)]
    assert [(message[0], message[1], message[3]) for message in received.messages] == [
        (packet.topic, packet.payload, packet.traceparent if version_5 else None) for packet in publishes
    ]
    assert others == [packet for packet in report if isinstance(packet, bytes)]
    assert received.acknowledgements == b"".join(
        b"\x40\x02" + struct.pack(">H", packet.packet_id) for packet in publishes if packet.qos
    )
    assert sum(received.by_qos) == len(publishes)


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_noise_is_malformed_or_waited_for_and_nothing_else(pieces, version_5):
    try:
        split(pieces, version_5=version_5)
    except Malformed as reason:
        assert str(reason)  # noqa: PT017 - either end is right, each has its own demand


@pytest.mark.parametrize(
    "stream",
    [
        b"\x32\x80\x80\x80\x80\x01",
        b"\x32\x00\x00",
        b"\x32\x03\x00\x08a",
        b"\x32\x03\x00\x01a",
        b"\x36\x05\x00\x01a\x00\x01",
        b"\x62\x00",
    ],
)
def test_what_is_no_mqtt_is_malformed(stream):
    with pytest.raises(Malformed):
        split([stream])


@pytest.mark.parametrize("stranger", ["\ufeff00-a-b-01", "00-\x85", "x" * 10_000])
def test_a_traceparent_that_cannot_be_one_costs_the_message_nothing(stranger):
    # mosquitto passes U+FEFF on and paho does not read it; at QoS 1 the message would come again for ever.
    packets = [Publish(b"t/ph", b"7.1", packet_id=9, traceparent=stranger), Publish(b"t/ph", b"7.2", packet_id=10)]
    received, _ = split([encode(packets, version_5=True)], version_5=True)
    assert [(payload, traceparent) for _, payload, _, traceparent in received.messages] == [
        (b"7.1", None),
        (b"7.2", None),
    ]
    assert received.acknowledgements == b"\x40\x02\x00\x09\x40\x02\x00\x0a"


@pytest.mark.parametrize("version_5", [False, True])
@pytest.mark.parametrize("piece", [1_000, 65_536, 10_000_000])
def test_a_huge_payload_is_passed_over_with_a_sample_of_it(version_5, piece):
    huge = Publish(b"a/b", b"z" * (MOST_BYTES * 4), packet_id=9)
    after = Publish(b"a/c", b"1", packet_id=10)
    stream = encode([huge, after, PINGRESP], version_5=version_5)
    others: list[bytes] = []
    splitter = Splitter(version_5=version_5, other=others.append, held=set())
    received = Received()
    for at in range(0, len(stream), piece):
        splitter.feed(stream[at : at + piece], received)
        assert len(splitter._rest) <= MOST_BYTES
    (topic, sample, head, _), (_, payload, _, _) = received.messages
    assert (topic, sample, payload) == (b"a/b", b"z" * SAMPLE_BYTES, b"1")
    assert head & TOO_LARGE
    assert received.acknowledgements == b"\x40\x02\x00\x09\x40\x02\x00\x0a"
    assert others == [PINGRESP]


def test_the_largest_payload_allowed_is_whole():
    largest = Publish(b"a", b"z" * (MOST_BYTES - 5))
    received, _ = split([largest.encode(version_5=False)])
    assert received.messages[0][1] == largest.payload
    assert not received.messages[0][2] & TOO_LARGE


def test_a_message_of_qos_2_is_taken_once_and_answered_every_time():
    first = Publish(b"a", b"1", qos=2, packet_id=5)
    again = dataclasses.replace(first, duplicate=True)
    held: set[int] = set()
    received, _ = split([encode([first, again], version_5=False)], held=held)
    assert len(received.messages) == 1
    assert received.acknowledgements == b"\x50\x02\x00\x05" * 2
    # The next connection: the broker asks again before it releases, then may use the number for another message.
    received, _ = split([encode([again, pubrel(5), first], version_5=False)], held=held)
    assert len(received.messages) == 1
    assert received.acknowledgements == b"\x50\x02\x00\x05\x70\x02\x00\x05\x50\x02\x00\x05"


def readings_of(*packets: Publish, version_5=True, **subscription):
    received, _ = split([encode(packets, version_5=version_5)], version_5=version_5)
    routes = Routes(
        MqttSettings("b", "c", "s", subscriptions=(SubscriptionSettings("{tank}/{metric}", **subscription),))
    )
    return observe(received.messages, routes, "mqtt:b")


def test_a_reading_says_what_its_message_said_and_cannot_be_changed():
    ((reading,), _) = readings_of(Publish(b"t/ph", b"7.1", traceparent="00-a-b-01"), unit="pH")
    assert type(reading) is Reading
    assert (reading.sensor_id, reading.value, reading.unit, reading.traceparent) == ("t_ph", 7.1, "pH", "00-a-b-01")
    assert not reading.at_device
    with pytest.raises(AttributeError):
        reading.value = 1.0


def test_a_retained_message_without_a_time_is_of_unknown_age():
    (seen, count) = readings_of(Publish(b"t/ph", b"7.1", retain=True))
    assert count == 0
    assert (seen[0].value, seen[0].at_device, seen[0].doubt) == (7.1, False, Doubt("age_unknown", retained=True))


def test_unreadable_messages_keep_their_place_and_a_bounded_sample():
    seen, count = readings_of(
        Publish(b"t/ph", b"1"), Publish(b"t/ph", b"\xffOnline" * 300), Publish(b"x", b"2"), Publish(b"t/ph", b"3")
    )
    assert [type(one) for one in seen] == [Reading, Unreadable, Unreadable, Reading]
    assert count == 2
    assert (seen[1].source, seen[1].topic, seen[1].reason) == ("mqtt:b", "t/ph", "the payload is not a number")
    assert len(seen[1].sample) <= SAMPLE_BYTES
    assert seen[2].reason == "its topic matches no subscription"
