"""What waits for the next commit, and one commit's worth of it carried out on the book."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sync.log.answers import Answer
from sync.log.disk import blocks
from sync.log.leasing import leases
from sync.log.ledger import entries
from sync.values import Lane

if TYPE_CHECKING:
    import asyncio
    from collections import Counter
    from collections.abc import Callable, Iterable, Sequence

    from sync.log.book.content import Book
    from sync.log.book.streams import StreamState
    from sync.values import Batch, Claim, Envelope


@dataclass(slots=True, eq=False)
class Append:
    """Records of one call, and since when (monotonic, s) they wait. `given_up`: nobody waits for them any more."""

    records: Sequence[Envelope]
    done: asyncio.Future[None]
    since: float
    receipts: Sequence[tuple[str, bytes]] = ()
    given_up: bool = False


@dataclass(slots=True, eq=False)
class Request:
    """Anything else that is done in a transaction; a settle has nobody who waits for it."""

    act: Callable[[Book], Any]
    done: asyncio.Future[Any] | None = None


@dataclass(slots=True, eq=False)
class Offer:
    """A standing wish for the next batch of a stream."""

    claim: Claim
    max_bytes: int
    done: asyncio.Future[Batch]


@dataclass(slots=True, eq=False)
class ThinRequest:
    """To have `backfill` thinned until it holds about so many bytes."""

    to_bytes: int
    done: asyncio.Future[int]


@dataclass(slots=True, eq=False)
class Work:
    """What one commit takes on. `tried` of the appends were in the last attempt; `stalled` ones came too late.

    `doing` is the request that was being carried out when the last attempt failed, if it was one.
    """

    appends: list[Append] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)
    thin_requests: list[ThinRequest] = field(default_factory=list)
    stalled: Counter[tuple[Lane, str]] | None = None
    tried: int = 0
    doing: Request | None = None

    def attempted(self) -> list[Append]:
        """The appends that were in the last attempt."""
        return self.appends[: self.tried]

    def merge(self, later: Work) -> None:
        """Take on what came since."""
        self.appends += later.appends
        self.requests += later.requests
        self.offers += later.offers
        self.thin_requests += later.thin_requests
        if later.stalled:
            self.stalled = later.stalled if self.stalled is None else self.stalled + later.stalled

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.appends or self.requests or self.offers or self.thin_requests or self.stalled)


class Unreadable(Exception):  # noqa: N818 - says what happened to the appends named in it
    """Some appends cannot be encoded."""

    def __init__(self, refused: list[tuple[Append, Exception]]) -> None:
        super().__init__("records that cannot be encoded")
        self.refused = refused


def carry_out(book: Book, work: Work, standing: dict[tuple[str, str], Offer]) -> list[Answer]:
    """Do one transaction's work; the answers are valid once it is committed. `standing` offers are looked at too.

    Raises:
        Unreadable: some appends hold what is no record; the rest can go without them.
        sqlite3.Error: as the disk or the file has it.
    """
    work.doing = None
    answers = [Answer(append.done) for append in work.appends]
    book.keep_receipts([receipt for append in work.appends for receipt in append.receipts])
    try:
        for (lane, topic), records in _grouped(work.appends).items():
            book.store(Lane(lane), topic, records)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        refused = [(append, fault) for append in work.appends if (fault := _fault(append, book)) is not None]
        if not refused:
            raise
        raise Unreadable(refused) from error
    for (lane, topic), count in (work.stalled or {}).items():
        first, last = book.give_numbers(lane, topic, count)
        entries.note(book, lane, topic, entries.Missing(first, last, count, "stalled"), log_id=book.names.log_id)
    entries.report(book)
    for request in work.requests:
        work.doing = request
        answer = _answer(book, request)
        if answer is not None:
            answers.append(answer)
    work.doing = None
    answers += _fulfil(book, standing)
    return answers


def _grouped(appends: Iterable[Append]) -> dict[tuple[str, str], list[Envelope]]:
    groups: dict[tuple[str, str], list[Envelope]] = {}
    lane: Lane | None = None
    topic: str | None = None
    group: list[Envelope] = []
    for append in appends:
        for record in append.records:
            # Neighbours mostly are of one stream, and identity is checked in a tenth of the time of a look-up.
            if record.lane is not lane or record.topic is not topic:
                lane, topic = record.lane, record.topic
                group = groups.setdefault((lane.value, topic), [])
            group.append(record)
    return groups


def _fault(append: Append, book: Book) -> Exception | None:
    try:
        for (_, topic), records in _grouped([append]).items():
            topic.encode()
            blocks.encode(records, 1, book.namer, 1)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        return error
    return None


def _answer(book: Book, request: Request) -> Answer | None:
    if request.done is not None and request.done.cancelled():
        return None
    try:
        value = request.act(book)
    except ValueError as error:
        return Answer(request.done, error=error) if request.done is not None else None
    if request.done is None:
        return None
    return Answer(request.done, value, holder=_holder(book, value))


def _fulfil(book: Book, standing: dict[tuple[str, str], Offer]) -> list[Answer]:
    answers = []
    for offer in standing.values():
        if offer.done.cancelled():
            continue
        try:
            batch = leases.lease(book, offer.claim, offer.max_bytes)
        except ValueError as error:
            answers.append(Answer(offer.done, error=error))
            continue
        if batch is not None:
            answers.append(Answer(offer.done, batch, holder=_holder(book, batch)))
    return answers


def _holder(book: Book, value: object) -> StreamState | None:
    stream = getattr(getattr(value, "claim", None), "stream", None)
    return None if stream is None else book.by_name.get((stream.lane.value, stream.topic))
