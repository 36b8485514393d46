"""What a broker lost goes again from the local history, and nothing else does (D7). sync/log/leasing/sent.py."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.events import Minutes
from sync.log import LogSettings, MemoryLog
from sync.log.retention import discards
from sync.log.retention.thinning import pending_bytes
from sync.values import Batch, Lane, Stream
from tests.support.days import Centre, MovedClock, live_through
from tests.support.log import claim

if TYPE_CHECKING:
    from pathlib import Path

BACKFILL = Stream(Lane.BACKFILL, "sensor-data", 0)


async def thinned(log: MemoryLog) -> None:
    assert await log.thin_backfill(int(pending_bytes(log._book, Lane.BACKFILL) * 0.93)) > 0


async def leased(log: MemoryLog, sequence: int, max_bytes: int = 1 << 14) -> Batch:
    batch = await log.lease(claim(BACKFILL, sequence), max_bytes)
    assert batch is not None
    return batch


@pytest.mark.parametrize("removed", [False, True], ids=["not yet removed", "removed"])
@pytest.mark.parametrize("keeps", [0, 1], ids=["lost all", "has the first batch"])
async def test_what_was_thinned_between_batches_does_not_go_again_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeps: int, *, removed: bool
) -> None:
    """Its blocks may lie between those that went: they never did, and aggregates stand for them."""
    clock = MovedClock()
    log = MemoryLog(LogSettings(tmp_path / "log.sqlite", "gw-1", "site-a", fold=Minutes()), clock)
    await log.assign_partition("sensor-data", 1)
    await live_through(log, clock, days=0.05, every_s=20, per_commit=40)
    await log.hand_to_backfill(0)
    with monkeypatch.context() as patch:
        if not removed:
            patch.setattr(discards, "remove", lambda _book, _most: False)
        sent: list[Batch] = []
        for _ in range(3):
            batch = await leased(log, sum(one.count for one in sent))
            sent.append(batch)
            log.settle(batch, 0)
            await thinned(log)
        assert bool(log._book.discards) is not removed
        kept = sent[:keeps]
        asked = await leased(log, sum(one.count for one in sent))
        again = await log.again(asked, sum(one.count for one in kept) - 1)
        assert again == sum(one.count for one in sent[keeps:]) + asked.count

    centre = Centre(log.stats().log_id)
    for batch in kept:
        centre.take(batch)
    for _ in range(3):
        clock.at += timedelta(hours=1)
        await log.cursor("nothing")
        for pending in log.streams():
            stream = Stream(pending.lane, pending.topic, await log.assign_partition(pending.topic, 1))
            while (more := await log.lease(claim(stream, log.stats().next_seq, producer=99), 1 << 20)) is not None:
                centre.take(more)
                log.settle(more, 0)
    assert set(centre.numbers.values()) == {1}
    assert centre.unexplained(log.stats().next_seq - 1) == []
    assert sum(minute["count"] for minute in centre.minutes) + len(centre.readings) == 0.05 * 4320 * 40
