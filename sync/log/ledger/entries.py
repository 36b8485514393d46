"""The loss ledger and the dead letters: every record that leaves the log undelivered leaves a trace (L5)."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Final

from sync.log.book import losses, numbers
from sync.log.book.losses import Loss
from sync.log.ledger import notices

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.log.book.streams import Lease, StreamState
    from sync.log.disk.blocks import Block
    from sync.values import Lane

REPORT_AFTER_MS: Final = 5_000
"""A loss is told upstream once it has grown no more for so long,"""
REPORT_AT_LATEST_MS: Final = 600_000
"""or once so long has passed since it began. What is thinned is always gathered for so long."""
_KEEP_ROWS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Missing:
    """How many undelivered records are gone, from which number to which (None: a damaged file no longer says).

    `place` is their stream of origin and how many of its records were ahead of them, where they lay side by side.
    """

    first: int | None
    last: int | None
    records: int
    reason: str
    place: tuple[int, int] | None = None


def lose(book: Book, stream: StreamState, missing: Missing) -> None:
    """Note that undelivered records of a stream are gone, in the transaction that removes them."""
    log_id = book.names.log_id
    if missing.first is not None and missing.last is not None:
        if stream.topic == notices.EVENTS:
            _tell_again(book, missing.first, missing.last)
        log_id, first, last = numbers.names_of(book, missing.first, missing.last)
        missing = replace(missing, first=first, last=last)
    note(book, stream.lane, stream.topic, missing, log_id=log_id)
    book.lost[missing.reason] += missing.records


def thin(book: Book, stream: StreamState, missing: Missing, into: tuple[int, int, int]) -> None:
    """Note that aggregates stand for records from now on: `into` are their first and last number and their count."""
    if missing.first is None or missing.last is None:
        raise ValueError("what is thinned is known by its numbers")
    log_id, first, last = numbers.names_of(book, missing.first, missing.last)
    note(book, stream.lane, stream.topic, replace(missing, first=first, last=last), log_id=log_id, into=into)
    book.lost[missing.reason] += missing.records


def skip(book: Book, first: int, last: int, reason: str) -> None:
    """Note that no record has these numbers, nor will."""
    note(book, None, "", Missing(first, last, last - first + 1, reason), log_id=book.log_id_of(first))


def skip_unused(book: Book) -> None:
    """Note the numbers of commits that failed; the last that a transaction does."""
    if book.unused is not None:
        skip(book, *book.unused, "rollback")


def note(
    book: Book,
    lane: Lane | None,
    topic: str,
    missing: Missing,
    *,
    log_id: str,
    into: tuple[int, int, int] | None = None,
) -> None:
    """Write a loss down; it grows a recent entry of the same kind that was not yet told, and that it goes on from.

    Nothing else is merged: of an entry's numbers none may be that of a record of the same stream that is still here.
    """
    fresh = Loss(
        lane,
        topic,
        missing.first,
        missing.last,
        missing.records,
        missing.reason,
        book.now_ms,
        book.now_ms,
        log_id,
        *(into or (None, None, None)),
    )
    place = missing.place
    for number, loss in book.losses.items():
        beside = _adjoins(loss, fresh) or (place is not None and book.growing.get(number) == place)
        if beside and _alike(loss, fresh) and _together(book, loss, fresh):
            break
    else:
        number, loss = None, fresh
    if number is not None:
        fresh = book.losses[number] = _grown(loss, fresh)
        book.connection.execute(
            "UPDATE ledger SET until_ms=?, last=?, records=?, into_last=?, into_records=? WHERE id=?",
            (fresh.until_ms, fresh.last, fresh.records, fresh.into_last, fresh.into_records, number),
        )
    else:
        number = keep(book, fresh)
    if place is not None:
        book.growing[number] = (place[0], place[1] + missing.records)


def keep(book: Book, loss: Loss) -> int:
    """Write an entry, to be told; its number in the ledger."""
    number = book.connection.execute(
        f"INSERT INTO ledger({losses.COLUMNS}, reported) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,0)",
        (loss.lane.value if loss.lane else "", *astuple(loss)[1:]),
    ).lastrowid
    if number is None:
        raise ValueError("an entry of the ledger got no number")
    book.connection.execute("DELETE FROM ledger WHERE reported>0 AND id<=?", (number - _KEEP_ROWS,))
    book.losses[number] = loss
    return number


def rename(book: Book, old_id: str, border: int) -> None:
    """Let what is or was told of numbers from the border on be of the log's present id (D11).

    What was told may be told again; it is no more than the ledger keeps.
    """
    log_id = book.names.log_id
    book.connection.execute("UPDATE ledger SET log_id=? WHERE log_id=? AND first>=?", (log_id, old_id, border))
    for number, loss in book.losses.items():
        if loss.log_id == old_id and loss.first is not None and loss.first >= border:
            book.losses[number] = replace(loss, log_id=log_id)


def lose_uncounted(book: Book, reason: str, log_id: str, text: str) -> None:
    """Note, and tell upstream at once, that records of a log are gone, and that nobody knows how many."""
    number = keep(book, Loss(None, text, None, None, 0, reason, book.now_ms, book.now_ms, log_id))
    _tell(book, number)


def report(book: Book) -> None:
    """Append what was lost as events for the centre; the entry and its event are one commit."""
    if book.unreadable_losses:
        lose_uncounted(book, "corrupt", book.names.log_id, losses.NOISE)
        told = [(book.next_number - 1, number) for number in book.unreadable_losses]
        book.connection.executemany("UPDATE ledger SET reported=? WHERE id=?", told)
        book.unreadable_losses = []
    for number in [number for number, loss in book.losses.items() if _due(loss, book.now_ms)]:
        _tell(book, number)


def _tell(book: Book, number: int) -> None:
    event = notices.loss_event(book.losses[number], book.settings)
    book.connection.execute("UPDATE ledger SET reported=? WHERE id=?", (book.next_number, number))
    book.store(event.lane, event.topic, [event])
    del book.losses[number]
    book.growing.pop(number, None)


def _tell_again(book: Book, first: int, last: int) -> None:
    """Events of the log itself are lost: what entries they told is to be told once more."""
    again = "SELECT id FROM ledger WHERE reported BETWEEN ? AND ?"
    for (number,) in book.connection.execute(again, (first, last)).fetchall():
        entry = f"SELECT {losses.COLUMNS} FROM ledger WHERE id=?"  # noqa: S608 - our own names
        loss = losses.read(book.connection.execute(entry, (number,)).fetchone())
        if loss is not None:
            book.losses[number] = loss
        else:
            book.unreadable_losses.append(number)
        book.connection.execute("UPDATE ledger SET reported=0 WHERE id=?", (number,))


def _due(loss: Loss, now_ms: int) -> bool:
    quiet_ms = REPORT_AFTER_MS if loss.into_records is None else REPORT_AT_LATEST_MS
    # A clock that was set back must not keep anything from being told.
    return not 0 <= now_ms - loss.until_ms < quiet_ms or not 0 <= now_ms - loss.at_ms < REPORT_AT_LATEST_MS


def _alike(loss: Loss, other: Loss) -> bool:
    return (loss.lane, loss.topic, loss.reason, loss.log_id) == (other.lane, other.topic, other.reason, other.log_id)


def _together(book: Book, loss: Loss, later: Loss) -> bool:
    """An entry is of one log id, also after a fork (D11)."""
    return loss.first is None or later.first is None or book.lineage.together(loss.first, later.first)


def _adjoins(loss: Loss, later: Loss) -> bool:
    if loss.last is None or later.first is None:
        return loss.last is later.first
    return later.first == loss.last + 1


def _grown(loss: Loss, later: Loss) -> Loss:
    into = None
    if loss.into_records is not None and later.into_records is not None:
        into = loss.into_records + later.into_records
    return replace(
        loss,
        last=later.last,
        records=loss.records + later.records,
        until_ms=later.until_ms,
        into_last=later.into_last,
        into_records=into,
    )


def bury(book: Book, stream: StreamState, lease: Lease, block: Block, reason: str) -> None:
    """Move a block of one record to the dead letters, and tell upstream; dead letters themselves only stay here."""
    book.connection.execute(
        "INSERT INTO dead_letters(at_ms, run, mono_ms, synced, lane, topic, number, reason, body)"
        " VALUES(?,?,?,?,?,?,?,?,?)",
        (*book.timeline.now, stream.lane.value, stream.topic, block.first, reason, block.body),
    )
    book.dead_letters += 1
    book.delete(lease.origin, block.first)
    if stream.topic != notices.DEAD_LETTERS:
        letter = notices.dead_letter(
            (stream.lane, stream.topic), block.body, reason, at_ms=book.now_ms, settings=book.settings
        )
        book.store(letter.lane, letter.topic, [letter])
    else:
        lose(book, stream, Missing(block.first, block.last, 1, "refused"))
