"""docs/BROKERS.md: its tables, each between markers, row by row, so that one broker can be looked at again alone."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from tests.support.brokers.disturbance import Disturbance
from tests.support.brokers.packages import ROOT
from tests.support.brokers.verdict import LATE_S, lines, said, true

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.brokers.trials import Row

PAGE = ROOT / "docs" / "BROKERS.md"
_writing = threading.Lock()


def cells(row: Row, tree: str) -> list[str]:
    """One line of a table of outcomes."""
    return [row.title, *([row.version] if row.version else []), *_outcomes(row), said(row), true(row), f"`{tree}`"]


def told(row: Row) -> list[str]:
    """One line of a table of what the check said."""
    subjects: dict[str, list[str]] = {}
    for line in lines(row):
        mark = {True: "ok", False: "**NOT**", None: "?"}[line["well"]]
        text = line["text"].removeprefix(f"{line['subject']}: ")
        said = f"{mark} {{}}{text}" + "".join(f" ({why})" for why in line.get("why", ()))
        subjects.setdefault(said, []).append(line["subject"] if text != line["text"] else "")
    words = []
    for said, of in subjects.items():
        topics = ", ".join(filter(None, of))
        words.append(said.replace("{}", f"{topics}: " if topics else "", 1))
    return [row.title, "<br>".join(words) or "nothing"]


def not_at_hand(title: str, columns: int, why: str, tree: str) -> list[str]:
    """The line of a broker that was not run."""
    return [title, f"not at hand: {why}", *[""] * (columns - 3), f"`{tree}`"]


def _outcomes(row: Row) -> list[str]:
    found = []
    for how in Disturbance:
        one = row.outcomes.get(how)
        if one is None:
            found.append(row.failed.get(how, "not run"))
            continue
        marked = f", {one.marked:,} of them marked" if one.marked else ""
        late = f", {one.late_s:.0f} s late" if one.late_s > LATE_S else ""
        taken = f" of {one.acked:,} that the broker took" if one.acked != one.sent else ""
        gone = "" if one.connected else ", gateway not connected at the end"
        waiting = f" ({one.waiting:,} records wait in the log)" if one.waiting else ""
        found.append(f"{one.missing:,}{taken}{waiting} / {one.doubled:,}{marked}{late}{gone}")
    return found


def put(table: str, line: Sequence[str], order: Sequence[str]) -> None:
    """Set one row of a table of the page; rows stand in the order of these titles.

    Raises:
        ValueError: the page has no such table.
    """
    with _writing:
        text = PAGE.read_text()
        found = re.search(rf"(<!-- {table} -->\n\n(?:\|.*\n){{2}})((?:\|.*\n)*)", text)
        if found is None:
            raise ValueError(f"{PAGE} has no table {table}")
        rows = {row.split("|")[1].strip(): row for row in found[2].splitlines()}
        rows[line[0]] = "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        known = [rows[title] for title in order if title in rows]
        PAGE.write_text(text[: found.start(2)] + "".join(f"{row}\n" for row in known) + text[found.end(2) :])
