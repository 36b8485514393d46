"""What the rules look at, and where they say what they found.

Rules work on plain values, not on the finished schema, so that one pass finds what does not fit together beside
wrong types. A value of a wrong type is the schema's to report; rules pass it over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.config.document.nodes import Scalar, find
from agent.config.problems import Problem, shortened

if TYPE_CHECKING:
    from agent.config.document.nodes import Mapping
    from drivers.spelling import Location


class Findings:
    """One document under the eyes of the rules."""

    def __init__(self, root: Mapping, values: dict[str, Any], file: str) -> None:
        self._root = root
        self._values = values
        self._file = file
        self.problems: list[Problem] = []
        self.unusable: list[Problem] = []

    def section(self, key: str) -> dict[str, Any]:
        """A section of the top level; empty where it is missing or none."""
        found = self._values.get(key)
        return found if isinstance(found, dict) else {}

    def items(
        self, key: str, within: dict[str, Any] | None = None, at: Location = ()
    ) -> list[tuple[Location, dict[str, Any]]]:
        """The entries of a list of sections, with their places; entries that are no sections are left out."""
        entries = (self._values if within is None else within).get(key)
        if not isinstance(entries, list):
            return []
        return [((*at, key, index), entry) for index, entry in enumerate(entries) if isinstance(entry, dict)]

    def subscriptions(self) -> list[tuple[Location, dict[str, Any]]]:
        """All subscriptions of all connections."""
        return [
            found for at, connection in self.items("mqtt") for found in self.items("subscriptions", connection, at)
        ]

    def line(self, location: Location) -> int:
        """Where a place stands."""
        return find(self._root, location)[0]

    def raw(self, location: Location) -> str:
        """A value as it was written, before the environment."""
        _, node = find(self._root, location)
        return node.text if isinstance(node, Scalar) else ""

    def written(self, location: Location) -> str:
        """The same, short enough for a message."""
        return shortened(self.raw(location))

    def say(self, location: Location, message: str, hint: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(self._file, self.line(location), location, message, hint))

    def say_unusable(self, location: Location, message: str, hint: str) -> None:
        """Note a problem for which a daemon must not refuse to start: one unit fails for it, or gets no readings."""
        self.unusable.append(Problem(self._file, self.line(location), location, message, hint))
