"""The streams of the log's model: where records come in, where they can be leased, and which topics are packed."""

from __future__ import annotations

from sync.values import Lane

Where = tuple[Lane, str]

STREAMS: list[Where] = [(Lane.ALERT, "alerts"), (Lane.LIVE, "data"), (Lane.LIVE, "events"), (Lane.BULK, "pictures")]
LETTERS: list[Where] = [(Lane.LIVE, "dead-letters"), (Lane.BACKFILL, "dead-letters")]
LEASABLE: list[Where] = [*STREAMS, (Lane.BACKFILL, "data"), (Lane.BACKFILL, "events")]

PACKED = dict.fromkeys(("data", "events", "pictures"), b'"value":')
