"""Tables and figures for people."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST_COLUMNS: Final = 10
_COLORS: Final = {
    "running": "green",
    "waiting": "yellow",
    "starting": "yellow",
    "backing_off": "yellow",
    "failed": "red",
    "raised": "red",
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Lines of columns as wide as needed. `right` names columns of numbers.

    On a terminal a text too long for the last column goes on below: a cause often stands at its end.
    """
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    room = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(head) - 1)
    most = max(room, _LEAST_COLUMNS) if sys.stdout.isatty() else None
    lines = []
    for number, row in enumerate(cells):
        parts = []
        for column, cell in enumerate(row):
            last = column == len(row) - 1
            text, *rest = textwrap.wrap(cell, most) if last and most and len(cell) > most else [cell]
            text = text.rjust(widths[column]) if column in right else text.ljust(0 if last else widths[column])
            parts.append(click.style(text, bold=True) if number == 0 else colored(text))
        lines.append("  ".join(parts).rstrip())
        lines += [" " * (sum(widths[:-1]) + 2 * (len(row) - 1)) + text for text in rest]
    return lines


def colored(text: str) -> str:
    """A state in its colour, anything else as it is."""
    color = _COLORS.get(text.strip())
    return click.style(text, fg=color) if color else text


def printable(text: str) -> str:
    """Text from elsewhere as one line that moves no cursor and changes no colour."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def duration(seconds: float) -> str:
    """A time span in its largest fitting unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def size(number: float) -> str:
    """Bytes in their largest fitting unit."""
    for unit, of in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if number >= of:
            return f"{number / of:.1f} {unit}"
    return f"{number:.0f} B"
