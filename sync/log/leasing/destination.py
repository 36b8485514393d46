"""Which cluster the log's records go to, and what is to be done where it is no longer the same one (D1, D6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sync.log.leasing import leases, recall
from sync.values import cluster_number

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.values import Stream

_CURSOR: Final = "cluster"


def goes_to(book: Book, cluster: str) -> dict[Stream, int] | None:
    """Note the cluster; where records went to another one before, how many of each stream go again, marked.

    All in one transaction: no batch of a lease for the old cluster is ever looked up in the new one, which gives the
    same producer ids to others, and no offset of the old one bounds what is read back from the new one.
    """
    number = cluster_number(cluster)
    before = book.cursors.get(_CURSOR)
    if before == number:
        return None
    book.set_cursor(_CURSOR, number)
    if before is None:
        return None
    recall.forget_topics(book)
    repeated: dict[Stream, int] = {}
    for state in list(book.streams.values()):
        leases.release(book, state)
        batch = leases.leased_batch(book, state)
        if batch is not None:
            repeated[batch.claim.stream] = leases.again(book, batch, None)
        state.acked = -1
        book.touch(state)
    return repeated
