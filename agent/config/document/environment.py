"""`${NAME}` and `${NAME:-default}` in values.

E1  `${NAME}` that is not set is an error; `${NAME:-default}` stands in where NAME is not set or empty. `$${` is `${`.
E2  Whoever can push a document must not be able to read this machine's environment: a push may name only
    `TIDEGATE_…`, which is set on the gateway for this purpose, and the directories that systemd hands over.
    Which of them may stand in which key, config.yaml says: P5 in `pins.py`.
E3  What came out of the environment is never shown in a message; the name is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent.config.document.nodes import Mapping, Node, Scalar, Sequence
from agent.config.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as Environment

    from drivers.spelling import Location

    Allowed = Callable[[Location, str], bool]

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\}|\$\{")
_DIRECTORIES = ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CONFIGURATION_DIRECTORY")
_IN_PUSHES = re.compile(rf"TIDEGATE_[A-Z0-9_]+|{'|'.join(_DIRECTORIES)}")


def variables(text: str) -> list[str]:
    """The names of the environment variables that a value refers to."""
    return [match["name"] for match in _REFERENCE.finditer(text) if match["name"]]


class Values:
    """Turns nodes into plain values for the schema: dict, list, str, and None for what is not set."""

    def __init__(
        self, file: str, env: Environment[str, str], *, pushed: bool, allowed: Allowed | None = None
    ) -> None:
        """`allowed(location, name)`: whether a push may have that variable there; without it, anywhere."""
        self._file = file
        self._env = env
        self._pushed = pushed
        self._allowed = allowed
        self.problems: list[Problem] = []
        self.failed: set[Location] = set()

    def of(self, node: Node, location: Location = ()) -> Any:
        """The value of a node; what could not be made out is None, in `failed`, and in `problems`."""
        if isinstance(node, Mapping):
            return {key: self.of(value, (*location, key)) for key, (_, value) in node.entries.items()}
        if isinstance(node, Sequence):
            return [self.of(item, (*location, index)) for index, item in enumerate(node.items)]
        if not node.is_set:
            return None
        if "${" not in node.text:
            return node.text
        return self._substituted(node, location)

    def _substituted(self, scalar: Scalar, location: Location) -> str | None:
        before = len(self.problems)

        def value_of(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if match[0] == "$${":
                return "${"
            if name is None:
                message = "has a ${ that begins neither ${NAME} nor ${NAME:-default}"
                self._problem(scalar, location, message, "write $${ for the characters themselves")
                return ""
            refusal = self._refusal_in_push(name, location) if self._pushed else None
            if refusal is not None:
                self._problem(scalar, location, *refusal)
                return ""
            value = self._env.get(name)
            if default is not None:
                return value or default[2:]
            if value is None:
                hint = f"set it, or give a default: ${{{name}:-…}}"
                self._problem(scalar, location, f"the environment variable {name} is not set", hint)
                return ""
            return value

        text = _REFERENCE.sub(value_of, scalar.text)
        if len(self.problems) > before:
            self.failed.add(location)
            return None
        return text if text or not scalar.plain else None

    def _refusal_in_push(self, name: str, location: Location) -> tuple[str, str] | None:
        """Why a push may not have this variable here, and what to do."""
        if not _IN_PUSHES.fullmatch(name):
            message = f"a push may not read the environment variable {name}"
            return message, "use a name that begins with TIDEGATE_, set on the gateway"
        if self._allowed is not None and name not in _DIRECTORIES and not self._allowed(location, name):
            message = f"a push may not use {name} in this key, because config.yaml does not"
            return message, "write the value itself, or use the variable in config.yaml as well"
        return None

    def _problem(self, scalar: Scalar, location: Location, message: str, hint: str) -> None:
        self.problems.append(Problem(self._file, scalar.line, location, message, hint))
