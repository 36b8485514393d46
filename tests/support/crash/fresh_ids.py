"""`tidegate` with D2 broken: what goes again goes under a fresh producer id. The crash test must see it.

Put before the command line of the real one: `python -m tests.support.crash.fresh_ids /path/to/tidegate run …`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.cli import main
from sync.kafka import KafkaSink

if TYPE_CHECKING:
    from sync.values import Batch, Outcome

_attempted: set[tuple[int, int]] = set()
_send = KafkaSink.send


async def _send_fresh(sink: KafkaSink, batch: Batch) -> Outcome:
    name = batch.first, batch.last
    if batch.attempted or name in _attempted:
        claim = replace(batch.claim, producer=await sink.new_producer(), base_sequence=0)
        batch = replace(batch, claim=claim)
    _attempted.add(name)
    return await _send(sink, batch)


if __name__ == "__main__":
    KafkaSink.send = _send_fresh
    sys.argv = sys.argv[1:]
    main()
