"""Blocks whose bodies are packs: as they leave, and as ordinary blocks again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sync.log.disk.blocks import compress, split
from sync.log.packs import pack as packs

if TYPE_CHECKING:
    from sync.log.disk.blocks import Block


def as_batch(body: bytes, level: int) -> bytes:
    """A body as a batch has it: a pack's section as one zstd frame."""
    return compress(packs.unpack(body), level) if packs.is_pack(body) else body


def last_number(first: int, records: int, beginning: Any) -> int:
    """A row's last number; of its body the first `packs.HEADER_BYTES` are enough."""
    return first + records - 1 + (packs.gap_of(beginning) if isinstance(beginning, bytes) else 0)


def runs_of(records: int, body: bytes) -> list[packs.Run]:
    """A body's records as runs of consecutive numbers, in order.

    Raises:
        ValueError: the body is a damaged pack.
    """
    return packs.runs_of(body) if packs.is_pack(body) else [packs.Run(records)]


def unpacked(block: Block, most_records: int, level: int, *, border: int = 0) -> list[Block]:
    """A pack as ordinary blocks of at most so many records, each of consecutive numbers; another block as it is.

    None of them holds records from both sides of the `border`, which is a place in the order of the records.

    Raises:
        ValueError: the pack is damaged.
    """
    if not packs.is_pack(block.body):
        return [block]
    sizes: list[int] = []
    firsts: list[int] = []
    first = block.first
    for run in packs.runs_of(block.body):
        left = run.records
        while left:
            if not sizes or sizes[-1] >= most_records or firsts[-1] + sizes[-1] != first:
                firsts.append(first)
                sizes.append(0)
            taken = min(left, most_records - sizes[-1])
            if (done := sum(sizes)) == border and sizes[-1]:
                firsts.append(first)
                sizes.append(0)
            elif done < border:
                taken = min(taken, border - done)
            sizes[-1] += taken
            first += taken
            left -= taken
        first += run.gap
    pieces = split(block, sizes, level)
    return [replace(piece, first=number) for piece, number in zip(pieces, firsts, strict=True)]
