"""Blocks: what Kafka's readers find in them, whatever was joined, split or marked."""

from __future__ import annotations

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from sync.batches import frame_batch
from sync.log.disk import blocks
from sync.log.disk.blocks import Block, Namer, decode, encode, halve, join, mark_repeated, split
from sync.values import Batch, Claim, Envelope, Lane, Producer, Stream

NAMER = Namer("gw-1", "0123456789ab")

# Few names and values, so that neighbours differ in one header, in the last alone, or in none.
few = st.tuples(st.sampled_from(["ce_time", "b"]), st.sampled_from([b"", b"12", b"13", b"x" * 70]))
headers = st.one_of(
    st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=20)), max_size=3), st.lists(few, max_size=2)
)
records = st.builds(
    Envelope,
    st.just(Lane.LIVE),
    st.just("t"),
    st.binary(max_size=40),
    st.binary(max_size=300),
    headers.map(tuple),
)


def plain(count: int, size: int = 10) -> list[Envelope]:
    return [Envelope(Lane.LIVE, "t", b"key", b"%06d" % i + b"." * size, (("ce_type", b"x"),)) for i in range(count)]


def read_by_kafka(body: bytes, count: int) -> list[tuple[bytes | None, bytes | None, tuple[object, ...]]]:
    claim = Claim(Stream(Lane.LIVE, "t", 0), Producer(5, 0), 9)
    framed = frame_batch(Batch(claim, 1, count, count, -1, body, 0), 1_700_000_000_000)
    batch = DefaultRecordBatch(framed)
    assert batch.validate_crc()
    found = list(batch)
    assert [record.offset for record in found] == list(range(count))
    return [(record.key, record.value, tuple(record.headers)) for record in found]


@given(st.lists(records, min_size=1, max_size=30), st.integers(1, 1 << 40), st.integers(1, 2_000))
@examples(max_examples=60, deadline=None)
def test_kafkas_reader_finds_what_was_given(given_: list[Envelope], first: int, limit: int) -> None:
    """D10, L3."""
    found = []
    at = first
    for block in encode(given_, first, NAMER, 3, max_bytes=limit):
        assert block.first == at
        assert block.records == 1 or block.raw_bytes <= limit
        found += read_by_kafka(block.body, block.records)
        at = block.last + 1
    assert found == [
        (
            record.key,
            record.value,
            (
                *record.headers,
                ("ce_id", b"0123456789ab-%d" % (first + i)),
                ("ce_source", b"/gateways/gw-1/logs/0123456789ab"),
            ),
        )
        for i, record in enumerate(given_)
    ]


@pytest.mark.parametrize("first", [1, 95, 995, 9_995, 999_995])
def test_names_count_up_over_the_widths_in_which_they_are_written(first: int) -> None:
    """D10."""
    (block,) = encode(plain(20), first, NAMER, 1)
    names = [dict(record.headers)["ce_id"] for record in decode(block.body, 20)]
    assert names == [b"0123456789ab-%d" % number for number in range(first, first + 20)]


@given(st.lists(st.lists(records, min_size=1, max_size=70), min_size=1, max_size=5))
@examples(max_examples=40, deadline=None)
def test_joining_gives_the_same_records_in_the_same_order(groups: list[list[Envelope]]) -> None:
    parts = [block for i, group in enumerate(groups) for block in encode(group, 1 + i * 100, NAMER, 3)]
    joined = join(((block.records, block.body) for block in parts), 3)
    apart = [record for block in parts for record in read_by_kafka(block.body, block.records)]
    assert read_by_kafka(joined, len(apart)) == apart


@given(st.lists(records, min_size=2, max_size=150), st.data())
@examples(max_examples=40, deadline=None)
def test_splitting_and_joining_again_changes_nothing(given_: list[Envelope], data: st.DataObject) -> None:
    (block,) = encode(given_, 7, NAMER, 3, max_bytes=1 << 20)
    at = data.draw(st.integers(1, len(given_) - 1))
    left, right = split(block, (at, len(given_) - at), 3)
    assert (left.first, left.last, right.first, right.last) == (7, 6 + at, 7 + at, block.last)
    joined = join(((left.records, left.body), (right.records, right.body)), 3)
    assert read_by_kafka(joined, len(given_)) == read_by_kafka(block.body, block.records)


@pytest.mark.parametrize("count", [63, 64, 65, 8_191, 8_192, 8_193, 9_000])
def test_offsets_grow_over_the_widths_in_which_they_are_written(count: int) -> None:
    parts = [block for i in range(0, count, 50) for block in encode(plain(min(50, count - i)), i, NAMER, 1)]
    joined = join(((block.records, block.body) for block in parts), 1)
    assert len(read_by_kafka(joined, count)) == count
    halves = halve(Block(1, count, joined), 1)
    assert [len(read_by_kafka(half.body, half.records)) for half in halves] == [count // 2, count - count // 2]


def test_a_block_keeps_to_its_bounds_and_one_large_record_is_taken_all_the_same() -> None:
    found = encode([*plain(3), *plain(1, 1 << 20), *plain(3)], 1, NAMER, 1)
    assert [block.records for block in found] == [3, 1, 3]
    assert [block.records for block in encode(plain(9_000), 1, NAMER, 1)] == [4_000, 4_000, 1_000]


def test_one_record_cannot_be_halved() -> None:
    (block,) = encode(plain(1), 1, NAMER, 1)
    assert halve(block, 1) == [block]


def test_marking_says_possibly_repeated_once_and_keeps_the_name() -> None:
    (block,) = encode(plain(3), 5, NAMER, 1)
    twice = mark_repeated(mark_repeated(block, 1), 1)
    for i, record in enumerate(decode(twice.body, 3)):
        assert record.headers.count(("possibly_repeated", b"1")) == 1
        assert dict(record.headers)["ce_id"] == b"0123456789ab-%d" % (5 + i)


def test_one_flipped_bit_anywhere_is_found() -> None:
    """L6."""
    (block,) = encode(plain(20), 1, NAMER, 3)
    check = blocks.checksum(77, 20, 5, block.body)
    assert blocks.intact(77, 20, block.body, check)
    assert blocks.counted(77, 20, 5, check)
    for position in range(len(block.body)):
        flipped = bytearray(block.body)
        flipped[position] ^= 1 << (position % 8)
        assert not blocks.intact(77, 20, bytes(flipped), check)
        assert blocks.records_of(77, 20, bytes(flipped), check) is None
    for key, records, before in (
        (78, 20, 5),
        (77, 21, 5),
        (77, 20, 4),
        (77, 20, "5"),
        (77, None, 5),
        (77, 20, 1 << 40),
    ):
        assert not blocks.counted(key, records, before, check)
    assert not blocks.intact(78, 20, block.body, check)
    for bit in range(64):
        other = check ^ (1 << bit if bit < 63 else -1 << 63)
        assert blocks.intact(77, 20, block.body, other) is (bit >= 32)
        assert blocks.counted(77, 20, 5, other) is (bit < 32)


@pytest.mark.parametrize("before", [0, 5, (1 << 63) - 1])
@given(key=st.integers(0, (1 << 62)), records=st.integers(1, 4_000), body=st.binary(max_size=20))
def test_a_checksum_fits_into_a_row(before: int, key: int, records: int, body: bytes) -> None:
    check = blocks.checksum(key, records, before, body)
    assert -(1 << 63) <= check < 1 << 63
    assert blocks.counted(key, records, before, check)
    assert blocks.intact(key, records, body, check)


@pytest.mark.parametrize("count", [-1, 0, 21, 1 << 40, "x", None])
def test_a_count_that_is_corrupt_is_what_the_body_holds(count: object) -> None:
    (block,) = encode(plain(20), 1, NAMER, 3)
    assert blocks.records_of(77, count, block.body, blocks.checksum(77, 20, 5, block.body)) == 20
    assert blocks.records_of(77, count, block.body, blocks.checksum(77, 19, 5, block.body)) is None


@pytest.mark.parametrize("body", [b"", b"noise", b"\x28\xb5\x2f\xfd" + b"\xff" * 40])
def test_what_is_no_block_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError, match="no records"):
        decode(body, 3)
