"""Record batches as they stand in a partition: what a fetch brings is cut into whole ones, and read."""

from __future__ import annotations

import struct

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from sync.batches import frame_batch
from sync.kafka.questions.partition import stretches_back
from sync.kafka.questions.stored import Damaged, Fetched
from sync.values import Producer
from tests.support.batches import batch_of

PRODUCER_ID = 7
CONTROL, TRANSACTIONAL = 0x20, 0x10
ABORT, COMMIT = b"\0\0\0\0", b"\0\0\0\1"


def frame(values, base_offset, **claim):
    batch = batch_of(values, topic="t", producer=Producer(PRODUCER_ID, 2), **claim)
    return struct.pack(">q", base_offset) + frame_batch(batch, 0)[8:]


def written(base_offset, *records, producer_id=-1, attributes=0, epoch=0):
    """A batch of (key, value) with attributes that only brokers and transactions set."""
    builder = DefaultRecordBatchBuilder(2, 0, False, producer_id, epoch, 0, 1 << 20)
    for number, (key, value) in enumerate(records):
        builder.append(number, 0, key, value, [])
    batch = bytearray(builder.build())
    batch[:8] = struct.pack(">q", base_offset)
    batch[22] |= attributes
    batch[17:21] = struct.pack(">I", calc_crc32c(bytes(batch[21:])))
    return bytes(batch)


def fetched(*batches, aborted=()):
    return Fetched(b"".join(batches), 100, 100, aborted)


def read(answer, since=0):
    batches, position = answer.batches("topic t", since)
    return [(record.offset, record.value) for batch in batches for record in batch.records()], position


def test_each_says_who_wrote_it_and_which_offsets_it_takes():
    first, second = frame([b"a", b"b"], 40, base_sequence=5), frame([b"c"], 42, base_sequence=7)
    found, position = fetched(first, second).batches("topic t", 0)
    assert [(one.first, one.after, one.batch.base_sequence) for one in found] == [(40, 42, 5), (42, 43, 7)]
    assert {(one.producer_id, one.batch.producer_epoch) for one in found} == {(PRODUCER_ID, 2)}
    assert position == 43


def test_one_that_is_cut_off_is_left_out_wherever_it_was_cut():
    first, second = frame([b"a"], 0, base_sequence=0), frame([b"b"], 1, base_sequence=1)
    for length in range(len(second)):
        found, position = fetched(first, second[:length]).batches("topic t", 0)
        assert [(one.first, one.after) for one in found] == [(0, 1)]
        assert position == 1
        assert not fetched(first, second[:length]).cut_off
        assert fetched(second[:length]).cut_off is (length > 0)
    assert not fetched().cut_off


def test_what_is_no_record_batch_is_damage_and_so_is_one_whose_checksum_is_wrong():
    with pytest.raises(Damaged, match="offset 5 is no batch"):
        fetched(frame([b"a"], 4, base_sequence=0), struct.pack(">qi", 5, 3) + b"abc").batches("topic t", 0)
    damaged = bytearray(frame([b"a"], 4, base_sequence=0))
    damaged[-1] ^= 1
    ((one,), _) = fetched(bytes(damaged)).batches("topic t", 0)
    with pytest.raises(Damaged, match="offset 4 is corrupt"):
        list(one.records())


def test_records_that_cannot_be_unpacked_are_damage_and_no_crash():
    """The checksum is right: whoever wrote them said gzip, and it is none."""
    ((one,), _) = fetched(written(3, (b"k", b"v"), attributes=1)).batches("topic t", 0)
    with pytest.raises(Damaged, match="offset 3 cannot be unpacked"):
        list(one.records())


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1])
def test_formats_of_before_kafka_0_11_are_read_too(magic, codec):
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    for offset in range(3):
        builder.append(offset, None if magic == 0 else 0, b"k", b"%d" % offset)
    stored = bytearray(builder.build())
    if codec:
        stored[:8] = struct.pack(">q", 2)  # a broker gives what is compressed the offset of its last record
    found, position = read(fetched(bytes(stored)), since=1)
    assert (found, position) == ([(1, b"1"), (2, b"2")], 3)


def test_records_before_the_offset_that_was_asked_for_are_left_out():
    batch = written(10, *[(b"k", b"%d" % number) for number in range(5)])
    assert read(fetched(batch), since=13) == ([(13, b"3"), (14, b"4")], 15)
    assert read(fetched(batch), since=15) == ([], 15)


def test_gaps_and_emptied_batches_move_the_position():
    """Compaction removes batches, and keeps the last one of a producer without its records."""
    emptied = bytearray(written(20, (b"k", b"v"), producer_id=4))[:61]
    emptied[8:12] = struct.pack(">i", 49)
    emptied[57:61] = struct.pack(">i", 0)
    emptied[17:21] = struct.pack(">I", calc_crc32c(bytes(emptied[21:])))
    assert read(fetched(written(3, (b"k", b"v")), bytes(emptied))) == ([(3, b"v")], 21)


def test_control_batches_are_no_records_and_those_of_an_aborted_transaction_neither():
    mine, other = 5, 6
    batches = (
        written(0, (b"k", b"before")),
        written(1, (b"k", b"aborted"), producer_id=mine, attributes=TRANSACTIONAL),
        written(2, (b"k", b"of another"), producer_id=other, attributes=TRANSACTIONAL),
        written(3, (ABORT, b""), producer_id=mine, attributes=TRANSACTIONAL | CONTROL),
        written(4, (b"k", b"committed"), producer_id=mine, attributes=TRANSACTIONAL),
        written(5, (COMMIT, b""), producer_id=mine, attributes=TRANSACTIONAL | CONTROL),
        written(6, (b"k", b"aborted, too"), producer_id=mine, attributes=TRANSACTIONAL),
        written(7, (b"k", b"no transaction"), producer_id=mine),
    )
    found, position = read(fetched(*batches, aborted=[(mine, 6), (mine, 1)]))
    assert found == [(0, b"before"), (2, b"of another"), (4, b"committed"), (7, b"no transaction")]
    assert position == 8
    later, _ = read(fetched(*batches[2:], aborted=[(mine, 1)]))
    assert later[:2] == [(2, b"of another"), (4, b"committed")], "begun before what was asked for"


@pytest.mark.parametrize(("start", "end"), [(0, 0), (7, 7), (0, 1), (3, 1_000), (17, 3_000_000)])
def test_stretches_from_the_end_back_leave_nothing_out_and_take_nothing_twice(start, end):
    stretches = list(stretches_back(start, end))
    assert [last for _, last in stretches[1:]] == [first for first, _ in stretches[:-1]]
    assert (stretches[-1][0], stretches[0][1]) == (start, end) if stretches else start == end
    assert len(stretches) < 10
