"""Packs give back what they were made of, byte by byte, or are not made (Z1)."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from agent.events import NUMBERS, SCHEMAS, Encoder
from drivers import Doubt
from sync.log.disk.blocks import Namer, decompress, encode
from sync.log.packs import pack as packs
from sync.log.packs.pack import Run
from sync.values import Envelope, Lane
from tests.support.site import PART, Site

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMER = Namer("gw-1", "abcdef012345")
VALUE = NUMBERS["sensor-data"]


def section(records: Sequence[Envelope], first: int = 1_000) -> bytes:
    (block,) = encode(records, first, NAMER, 1, max_bytes=1 << 25, max_records=packs.MOST_RECORDS)
    return decompress(block.body)


def there_and_back(raw: bytes, records: int) -> bytes:
    packed = packs.pack(raw, [Run(records)], VALUE)
    assert packed is not None
    assert packs.unpack(packed) == raw
    return packed


@pytest.mark.parametrize(("noise", "most"), [(0.0, 1.5), (1.0, 1.8), (10.0, 2.2), (None, 2.6)])
def test_a_farms_readings_take_a_tenth_of_their_blocks(noise, most):
    raw = section(Site(noise).envelopes(2))
    assert len(there_and_back(raw, PART)) / PART < most


def test_the_hub_says_of_topics_that_it_has():
    assert NUMBERS.keys() <= SCHEMAS.keys()


def test_readings_of_all_kinds_come_back():
    """Doubted times, traces, whole numbers and odd ones, gaps in names, records of another kind between them."""
    random_ = random.Random(5)
    site = list(Site().readings(0))[:600]
    values = [0, -0.0, 7, -3, 8.0, 8.25, -0.5, 1e-07, 1e22, 123456789.123456, 0.1 + 0.2, 5.123456789, -17.05]
    taken = []
    for index, reading in enumerate(site):
        changed = reading._replace(value=random_.choice(values)) if index % 3 else reading
        if index % 5 == 0:
            changed = changed._replace(doubt=Doubt("queued", received_at=site[0].at))
        if index % 7 == 0:
            changed = changed._replace(traceparent=f"00-{index:032x}-{index:016x}-01")
        taken.append(changed)
    records = Encoder("gw-1", "site_001").readings(taken)
    records[100] = Envelope(Lane.LIVE, "sensor-data", b"", b"", ())
    records[101] = Envelope(Lane.LIVE, "sensor-data", b"k", b'{"value":1}', ())
    records[102] = Envelope(Lane.LIVE, "sensor-data", b"k", b'{"value":01.50,"at":"2026-13-45T99:00:00.000Z"}', ())
    there_and_back(section(records), len(records))


BODIES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda value, at: b'{"value":' + value + b',"at":"' + at + b'"}',
        st.one_of(st.binary(max_size=6), st.floats().map(orjson.dumps), st.integers().map(lambda one: b"%d" % one)),
        st.one_of(
            st.datetimes().map(lambda at: at.isoformat(timespec="milliseconds").encode() + b"Z"),
            st.binary(max_size=24),
        ),
    ),
)
RECORDS = st.lists(
    st.builds(
        lambda key, value, more: Envelope(Lane.LIVE, "sensor-data", key, value, tuple(more)),
        st.binary(max_size=4),
        BODIES,
        st.lists(
            st.tuples(
                st.sampled_from(["ce_time", "ce_id", "x"]),
                st.one_of(st.binary(max_size=8), st.just(b"2026-01-02T03:04:05.678Z"), st.just(b"ab-17")),
            ),
            max_size=3,
        ),
    ),
    min_size=1,
    max_size=20,
)


@examples(max_examples=150, deadline=None)
@given(records=RECORDS, first=st.integers(0, 10**13))
def test_whatever_is_packed_comes_back(records, first):
    raw = section(records, first)
    packed = packs.pack(raw, [Run(len(records))], VALUE)
    assert packed is None or packs.unpack(packed) == raw


@examples(max_examples=150, deadline=None)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_pack_is_an_error_and_no_other_records(place, bit, cut):
    """Also where the row's own checksum has not caught it."""
    damaged = bytearray(PACKED)
    place %= len(damaged)
    if cut:
        del damaged[place:]
    else:
        damaged[place] ^= 1 << bit
    with contextlib.suppress(ValueError):
        assert packs.unpack(bytes(damaged)) == RAW


RAW = section(Site().envelopes(0)[:300])
PACKED = there_and_back(RAW, 300)


def test_a_pack_says_which_numbers_are_its_own():
    runs = [Run(100, 3), Run(150, 1, 200), Run(50, 0, -7)]
    packed = packs.pack(RAW, runs, VALUE)
    assert packed is not None
    assert packs.is_pack(packed)
    assert packs.runs_of(packed) == runs
    assert packs.gap_of(packed[: packs.HEADER_BYTES]) == 4
    assert packs.span_ms(packed[: packs.HEADER_BYTES]) == 200
    assert not packs.is_pack(b"\x28\xb5\x2f\xfd")
    assert packs.gap_of(b"\x28\xb5\x2f\xfd") == 0
