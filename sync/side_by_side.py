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

    Raises what the first of them that fails raises.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            first, second = tasks.create_task(one, name="one"), tasks.create_task(other, name="other")
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return first.result(), second.result()
