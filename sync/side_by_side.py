"""Two questions at once, where each takes a round trip: the first that fails ends the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

One = TypeVar("One")
Other = TypeVar("Other")


async def both(one: Coroutine[Any, Any, One], other: Coroutine[Any, Any, Other]) -> tuple[One, Other]:
    """Both answers; nothing of either goes on once this has returned or raised.

    Raises what the first of them that fails raises. Not a TaskGroup: until Python 3.13 that forgets a cancellation if
    one of its tasks fails in the same moment, and whoever asked would go on asking.
    """
    first, second = asyncio.create_task(one, name="one"), asyncio.create_task(other, name="other")
    try:
        done, _ = await asyncio.wait((first, second), return_when=asyncio.FIRST_EXCEPTION)
        failures = [error for task in done if (error := task.exception()) is not None]
        if failures:
            raise failures[0]
    finally:
        late = [task for task in (first, second) if not task.done()]
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
    return first.result(), second.result()
