"""From YAML text to a tree of nodes that know their lines.

Built on PyYAML's events rather than its composer: nothing recurses, nothing is constructed, aliases are bounded.

Y1  A scalar stays the text that was written; what it means (number, switch, text) the schema says. So `version: 5`,
    `id: 007` and `site: no` are what they look like. A plain `null`, `~` or nothing at all means "not set".
Y2  A document is one mapping, at most 1 MiB, 32 levels and, aliases followed, 100,000 values.
Y3  No tags, no merge keys, no two equal keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import yaml

from agent.config.document import lookalikes
from agent.config.document.nodes import Mapping, Node, Scalar, Sequence
from agent.config.document.syntax import syntax_problem
from agent.config.problems import ConfigErrors, Problem

if TYPE_CHECKING:
    from drivers.spelling import Location

MOST_BYTES: Final = 1024**2
MOST_LEVELS: Final = 32
MOST_VALUES: Final = 100_000

# libyaml's parser where the wheel brings it: ten times as fast, the same events.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_document(
    text: bytes | str, file: str, unusable: list[Problem] | None = None
) -> tuple[Mapping, list[Problem]]:
    """The root of a document, and the problems after which reading could go on (equal keys).

    Characters that look like a space or a quote in a value are problems for which a daemon must not refuse to start:
    they go to `unusable`.

    Raises:
        ConfigErrors: the text is no YAML, or not of the kind that Y2 and Y3 allow.
    """
    decoded = _decode(text, file)
    builder = _Builder(file, [] if unusable is None else unusable)
    try:
        for event in yaml.parse(decoded, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as fault:
        syntax = syntax_problem(fault, decoded, file)
        # A character that YAML does not take for a space may have been named already, and be the cause.
        before = [one for one in (*builder.problems, *builder.unusable) if one.line != syntax.line]
        raise ConfigErrors([*before, syntax]) from None
    except yaml.YAMLError as fault:
        # A character that no YAML may hold; libyaml names its position, not its line.
        line = _line_of_control_character(decoded)
        hint = "remove it; only tabs and line breaks may stand between printable characters"
        message = f"has a control character ({str(fault).splitlines()[0]})"
        raise ConfigErrors([Problem(file, line, (), message, hint)]) from None
    root = builder.root
    if root is None or (isinstance(root, Scalar) and not root.is_set):
        raise ConfigErrors([Problem(file, 1, (), "the file is empty", "start from the config.yaml that is shipped")])
    if not isinstance(root, Mapping):
        hint = "start from the config.yaml that is shipped"
        raise ConfigErrors([Problem(file, root.line, (), "must be a mapping: lines of `key: value`", hint)])
    return root, builder.problems


def _decode(text: bytes | str, file: str) -> str:
    if len(text) > MOST_BYTES:
        raise ConfigErrors(
            [Problem(file, 0, (), f"is larger than {MOST_BYTES // 1024} KiB", "is it the right file?")]
        )
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = text.count(b"\n", 0, fault.start) + 1
        message = f"is not UTF-8: byte 0x{text[fault.start]:02x}"
        hint = "save the file as UTF-8"
        raise ConfigErrors([Problem(file, line, (), message, hint)]) from None


def _line_of_control_character(text: str) -> int:
    for number, line in enumerate(text.split("\n"), start=1):
        if any((letter < " " and letter not in "\t\r") or letter == "\x7f" for letter in line):
            return number
    return 0


class _Builder:
    """Takes events in order and builds the tree. What is open stands on a stack."""

    def __init__(self, file: str, unusable: list[Problem]) -> None:
        self._file = file
        self.unusable = unusable
        self._open: list[Sequence | Mapping] = []
        self._keys: list[tuple[int, str] | None] = []
        self._anchors: dict[str, Node | None] = {}
        self._open_anchors: list[str | None] = []
        self._documents = 0
        self.root: Node | None = None
        self.problems: list[Problem] = []

    def take(self, event: yaml.Event) -> None:
        """Take one event.

        Raises:
            ConfigErrors: something that no later event can mend.
        """
        # PyYAML's own parsers mark every event.
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._refused(line, "a second document begins here", "remove the line `---`")
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._anchored(event.anchor, line), line)
        elif isinstance(event, yaml.NodeEvent):
            self._begin(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            node, anchor = self._open.pop(), self._open_anchors.pop()
            self._keys.pop()
            if anchor is not None:
                self._anchors[anchor] = node
            self._put(node, node.line)

    def _begin(self, event: yaml.NodeEvent, line: int) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self._refused(line, f"the tag {tag} is not read here", "remove it")
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(line, event.value, plain=not event.style)
            if "\0" in event.value:
                raise self._refused(line, "has the character \\0, which no name or path can hold", "remove it")
            if node.plain:
                self._look_at_characters(node)
            if event.anchor is not None:
                self._anchors[event.anchor] = node
            self._put(node, line)
            return
        if self._open and isinstance(self._open[-1], Mapping) and self._keys[-1] is None:
            raise self._refused(line, "a key must be plain text", "put text that holds { or [ in quotes")
        if len(self._open) >= MOST_LEVELS:
            raise self._refused(line, f"is nested more than {MOST_LEVELS} levels deep", "no configuration needs that")
        self._open.append(Mapping(line) if isinstance(event, yaml.MappingStartEvent) else Sequence(line))
        self._keys.append(None)
        self._open_anchors.append(event.anchor)
        if event.anchor is not None:
            self._anchors[event.anchor] = None

    def _look_at_characters(self, node: Scalar) -> None:
        """Characters that nobody means without quotes. The text stays as it is."""
        found = lookalikes.found_in(node.text)
        if found is not None:
            hint = "write a plain space in its place, or put the value in quotes if it is meant"
            self.unusable.append(Problem(self._file, node.line, self._where(), lookalikes.described(found), hint))
        if node.text.startswith(lookalikes.CURLY_QUOTES):
            message = f"begins with {node.text[0]}, which is not a quote in YAML"
            self.unusable.append(Problem(self._file, node.line, self._where(), message, "write \" or '"))

    def _where(self) -> Location:
        """The place of what comes next."""
        location: list[str | int] = []
        for holder, key in zip(self._open, self._keys, strict=True):
            if isinstance(holder, Sequence):
                location.append(len(holder.items))
            elif key is not None:
                location.append(key[1])
        return tuple(location)

    def _anchored(self, name: str | None, line: int) -> Node:
        if name is None or name not in self._anchors:
            raise self._refused(
                line, f"there is no &{name} that *{name} could stand for", "put a value that begins with * in quotes"
            )
        node = self._anchors[name]
        if node is None:
            raise self._refused(line, f"*{name} is a part of what it stands for", "write it out")
        return node

    def _put(self, node: Node, line: int) -> None:
        if not self._open:
            self.root = node
            return
        holder = self._open[-1]
        holder.size += node.size
        if holder.size > MOST_VALUES:
            raise self._refused(
                line, f"holds more than {MOST_VALUES} values, aliases followed", "no configuration needs that"
            )
        if isinstance(holder, Sequence):
            holder.items.append(node)
            return
        key = self._keys[-1]
        if key is not None:
            self._keys[-1] = None
            # The first of two equal keys stays; the second was reported.
            holder.entries.setdefault(key[1], (key[0], node))
            return
        if not isinstance(node, Scalar):
            raise self._refused(line, "a key must be plain text", "write it out")
        self._keys[-1] = (line, node.text)
        if node.text == "<<" and node.plain:
            raise self._refused(line, "merge keys are not read", "write the keys out")
        if node.text in holder.entries:
            first = holder.entries[node.text][0]
            message = f"the key {node.text} is here a second time; the first is in line {first}"
            self.problems.append(Problem(self._file, line, (), message, "keep one of them"))

    def _refused(self, line: int, message: str, hint: str) -> ConfigErrors:
        return ConfigErrors([*self.problems, Problem(self._file, line, (), message, hint)])
