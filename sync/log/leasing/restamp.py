"""What a clock that was not trusted stamped is corrected before it leaves (C7).

A block whose lease is written is never encoded anew (D8), so that what is sent again is what was sent before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sync.log.clock import CORRECTED
from sync.log.disk import blocks

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.log.disk.blocks import Block, Record

MOST_RECORDS: Final = 1_000
"""Correcting holds up the writer for about 15 microseconds a record."""


def correct(book: Book, origin: int, topic: str, found: list[tuple[Block, int]]) -> list[tuple[Block, int]]:
    """Blocks that are about to be leased, each with when it was taken; encoded anew where time has arrived since.

    Encoding anew costs ten times what joining does, so of many only the first are given back, to be leased now.
    """
    if all(block.taken is None or block.taken.synced for block, _ in found):
        return found
    ready: list[tuple[Block, int]] = []
    before = book.corrected
    for block, taken_ms in found:
        if book.corrected - before >= MOST_RECORDS:
            break
        ready.append((_corrected(book, origin, topic, block), taken_ms))
    return ready


def due(book: Book, block: Block) -> bool:
    """Whether a block's times are to be set right before it leaves."""
    taken = block.taken
    return taken is not None and not taken.synced and book.timeline.right_ms(taken) is not None


def corrected(book: Book, topic: str, record: Record, at_ms: int, right_ms: int) -> Record:
    """A record whose times are set right, and which says so."""
    return book.settings.restamp(topic, record, at_ms, right_ms).saying(CORRECTED)


def _corrected(book: Book, origin: int, topic: str, block: Block) -> Block:
    taken = block.taken
    if taken is None or taken.synced or (right_ms := book.timeline.right_ms(taken)) is None:
        return block
    at_ms = taken.at_ms
    anew = blocks.rewritten(
        block,
        lambda record: corrected(book, topic, record, at_ms, right_ms),
        book.settings.compression_level,
    )
    book.replace(origin, block, [anew], taken._replace(at_ms=right_ms, synced=1))
    book.corrected += block.records
    return anew
