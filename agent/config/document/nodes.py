"""What a document is made of, each node with its line."""

from __future__ import annotations

from dataclasses import dataclass, field

_NOT_SET = frozenset(("", "~", "null", "Null", "NULL"))


@dataclass(slots=True)
class Scalar:
    """A value as written. `plain`: without quotes."""

    line: int
    text: str
    plain: bool
    size: int = 1

    @property
    def is_set(self) -> bool:
        """Whether it says anything."""
        return not (self.plain and self.text in _NOT_SET)


@dataclass(slots=True)
class Sequence:
    """A list."""

    line: int
    items: list[Node] = field(default_factory=list)
    size: int = 1


@dataclass(slots=True)
class Mapping:
    """Keys with the lines on which they stand, and their values."""

    line: int
    entries: dict[str, tuple[int, Node]] = field(default_factory=dict)
    size: int = 1


Node = Scalar | Sequence | Mapping


def find(root: Node, location: tuple[str | int, ...]) -> tuple[int, Node | None]:
    """The line of a place (of the nearest one that exists above it), and its node if there is one."""
    line, node = root.line, root
    for part in location:
        if isinstance(node, Mapping) and isinstance(part, str) and part in node.entries:
            line, node = node.entries[part]
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            line = node.line
        else:
            return line, None
    return line, node
