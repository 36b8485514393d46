"""How a capture ends by itself."""

from __future__ import annotations


class Ended(Exception):  # noqa: N818 - it names what happened
    """The source has no more frames, in an orderly way."""


class Failed(Exception):  # noqa: N818 - it names what happened
    """The source cannot be opened or went away. `again`: trying later may help."""

    def __init__(self, reason: str, hint: str = "", *, again: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.again = again
