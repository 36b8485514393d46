"""Record batches as they stand in a partition: what a fetch brings is cut into whole ones."""

from __future__ import annotations

import struct

import pytest

from sync.batches import frame_batch, framed_batches
from sync.values import Producer
from tests.support.batches import batch_of


def frame(values, base_offset, **claim):
    batch = batch_of(values, topic="t", producer=Producer(7, 2), **claim)
    return struct.pack(">q", base_offset) + frame_batch(batch, 0)[8:]


def test_each_says_who_wrote_it_and_which_offsets_it_takes():
    first, second = frame([b"a", b"b"], 40, base_sequence=5), frame([b"c"], 42, base_sequence=7)
    found = list(framed_batches(first + second))
    assert [(one.base_offset, one.last_offset, one.base_sequence) for one in found] == [(40, 41, 5), (42, 42, 7)]
    assert {(one.producer_id, one.producer_epoch) for one in found} == {(7, 2)}
    assert [one.frame for one in found] == [first, second]


def test_one_that_is_cut_off_is_left_out_wherever_it_was_cut():
    first, second = frame([b"a"], 0, base_sequence=0), frame([b"b"], 1, base_sequence=1)
    for length in range(len(second)):
        assert [one.frame for one in framed_batches(first + second[:length])] == [first]


def test_what_is_no_record_batch_is_an_error():
    damaged = bytearray(frame([b"a"], 0, base_sequence=0))
    damaged[16] = 1  # the magic of an older format
    with pytest.raises(ValueError, match="no record batch"):
        list(framed_batches(bytes(damaged)))
