"""Which document holds: the last push that was applied, unless config.yaml has changed since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.config import ConfigErrors, Pins, digest, folders, parse, read
from agent.reload.applied import Applied, LastGood

if TYPE_CHECKING:
    from pathlib import Path

    from agent.config import Config, Problem


@dataclass(frozen=True, slots=True)
class Choice:
    """A valid configuration with the document it came from; `notes` say what was passed over, and why.

    `unusable` says what in it cannot work: a start goes on with the rest, a reload refuses it.
    `pins` are those of config.yaml; while that is broken, those of the document that runs in its place.
    """

    config: Config
    applied: Applied
    pins: Pins
    notes: tuple[Problem, ...] = ()
    unusable: tuple[Problem, ...] = ()


def choose(path: Path) -> Choice:
    """Read config.yaml and the last-good document and say which holds.

    A broken config.yaml does not stop a gateway that has run before: the last-good document goes on.

    Raises:
        ConfigErrors: config.yaml is broken and there is no last-good document.
    """
    folder = path.absolute().parent
    found: list[Problem] = []
    try:
        document = read(path)
        config = parse(document, str(path), folder=folder, unusable=found)
    except ConfigErrors as errors:
        return _after_broken_file(path, errors)
    from_file = Applied(document.decode(), digest(document), "file", digest(document))
    pins, unusable = Pins(document, config), tuple(sorted(found, key=lambda problem: problem.order))
    last = LastGood(config.gateway.state_dir).read()
    if last is None or last.source == "file" or last.file_revision != from_file.revision:
        return Choice(config, from_file, pins, unusable=unusable)
    try:
        return Choice(reparse(last, folder, pins), last, pins)
    except ConfigErrors as errors:
        # Taken by another version of the agent, or in another environment: it would be refused now.
        notes = tuple(replace(problem, file=f"last-good push dropped: {problem.file}") for problem in errors.problems)
        return Choice(config, from_file, pins, notes, unusable)


def reparse(applied: Applied, folder: Path, pins: Pins | None = None) -> Config:
    """The configuration that a kept document holds, by the rules of where it came from."""
    pushed = applied.source == "push"
    # It ran before, by what was known then.
    return parse(applied.text, f"last-good {applied.source}", folder=folder, pushed=pushed, pins=pins, unusable=[])


def _after_broken_file(path: Path, errors: ConfigErrors) -> Choice:
    folder = path.absolute().parent
    state_dir = folders(path).state_dir
    last = LastGood(state_dir).read()
    if last is None:
        raise errors
    try:
        config = reparse(last, folder)
        return Choice(config, last, Pins(last.text, config), tuple(errors.problems))
    except ConfigErrors:
        # Neither will do; the one that a person can mend is the one to name.
        raise errors from None
