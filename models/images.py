"""Which memories the model host has mapped, on the client's side, by what they are and not by a number."""

from __future__ import annotations

import os

_SWEEP_EVERY = 256


class KnownImages:
    """Tokens for the memories behind file descriptors.

    A number is used again once it is closed, so a memory is known by its device and inode. One whose number
    means something else by now is gone, and is to be forgotten by the process too, or its pages would stay.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[int, int]] = {}
        self._tokens = 0
        self._asked = 0

    def clear(self) -> None:
        """A new process knows none."""
        self._known.clear()

    def token(self, fd: int) -> tuple[int, bool, list[int]]:
        """The token for a memory, whether the process must be given it first, and the tokens to be forgotten.

        Raises:
            ValueError: there is no such file descriptor.
        """
        try:
            what = os.fstat(fd)
        except OSError:
            raise ValueError(f"{fd} is not an open file descriptor") from None
        identity = what.st_dev, what.st_ino
        known = self._known.get(identity)
        self._asked += 1
        gone = self._sweep() if known is None or self._asked % _SWEEP_EVERY == 0 else []
        if known is not None and known[0] not in gone:
            return known[0], False, gone
        self._tokens += 1
        self._known[identity] = self._tokens, fd
        return self._tokens, True, gone

    def _sweep(self) -> list[int]:
        gone = [identity for identity, (_, fd) in self._known.items() if not _is(fd, identity)]
        return [self._known.pop(identity)[0] for identity in gone]


def _is(fd: int, identity: tuple[int, int]) -> bool:
    try:
        what = os.fstat(fd)
    except OSError:
        return False
    return (what.st_dev, what.st_ino) == identity
