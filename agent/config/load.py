"""From a file or a push to a checked configuration: one function for both, every problem in one pass."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agent.config.document.environment import Values
from agent.config.document.nodes import find
from agent.config.document.parser import read_document
from agent.config.problems import ConfigErrors, Problem
from agent.config.rules.farm import look_at_farm
from agent.config.rules.findings import Findings
from agent.config.rules.judging import look_at_judging
from agent.config.rules.pins import Pins, look_at_may_change
from agent.config.rules.references import look_at_references
from agent.config.rules.secrets import look_at_push, look_at_secrets
from agent.config.rules.wiring import look_at_wiring
from agent.config.schema import Config, Gateway
from agent.config.wording import problem_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGED = "package:"


def digest(text: str | bytes) -> str:
    """The revision of a document: the sha256 of its bytes, hex."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def read(path: Path | str) -> bytes:
    """The bytes of a configuration file.

    Raises:
        ConfigErrors: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as fault:
        message = f"cannot be read: {(fault.strerror or str(fault)).lower()}"
        missing = isinstance(fault, FileNotFoundError)
        hint = "name another with --config" if missing else "it must be a file that this user may read"
        raise ConfigErrors([Problem(str(path), 0, (), message, hint)]) from None


def load(path: Path | str, env: Mapping[str, str] = os.environ) -> Config:
    """The configuration in a file, as a daemon would start with it; relative paths in it count from its folder.

    Raises:
        ConfigErrors: every problem that was found.
    """
    return parse(read(path), str(path), env, folder=Path(path).absolute().parent, unusable=[])


def parse(
    text: str | bytes,
    filename: str = "config.yaml",
    env: Mapping[str, str] = os.environ,
    *,
    folder: Path | None = None,
    pushed: bool = False,
    pins: Pins | None = None,
    unusable: list[Problem] | None = None,
) -> Config:
    """The configuration in a document.

    Args:
        text: the document; bytes must be UTF-8.
        filename: how messages call it.
        env: what `${NAME}` stands for.
        folder: where relative paths count from; the folder of config.yaml also for a push.
        pushed: whether it came over the network, where the rules E2 and K2 hold.
        pins: for a pushed document, what config.yaml says: the rules P1 to P5 hold then, too.
        unusable: gets the problems for which a start is not refused, since the rest can run; without it they count.

    Raises:
        ConfigErrors: every problem that was found.
    """
    base = Path.cwd() if folder is None else folder
    later: list[Problem] = []
    root, problems = read_document(text, filename, later)
    values = Values(filename, env, pushed=pushed, allowed=pins.has_variable if pins else None)
    plain = values.of(root)
    findings = Findings(root, plain, filename)
    look_at_references(findings)
    look_at_wiring(findings)
    look_at_farm(findings)
    look_at_judging(findings)
    look_at_may_change(findings)
    config = None
    try:
        config = Config.model_validate(plain, context={"place": lambda path: place(path, base)})
    except ValidationError as fault:
        problems += [
            problem_of(error, root, filename)
            for error in fault.errors(include_url=False)
            if error["loc"] not in values.failed
        ]
    if pins is not None and config is not None:
        pins.look_at(findings, config)
    # Whether a file is there, and what is wrong with it, is no answer for whoever pushes the name of any file.
    if pins is None or not (problems or values.problems or findings.problems):
        secret_files = look_at_secrets(findings, lambda path: place(path, base))
        if pushed:
            unknown = [found for found in secret_files if pins is None or not pins.has_path(*found)]
            look_at_push(findings, unknown, base, env)
    problems += values.problems + findings.problems
    later += findings.unusable
    if problems or config is None or (later and unusable is None):
        raise ConfigErrors([*problems, *later])
    if unusable is not None:
        unusable += later
    return config


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a gateway keeps its files. `unsure`: for each folder that is only the default, why it is not known."""

    state_dir: Path
    runtime_dir: Path
    unsure: Mapping[str, Problem]


def folders(path: Path | str, env: Mapping[str, str] = os.environ) -> Folders:
    """The folders that a configuration names, for asking after a daemon while its document is broken or missing.

    Never raises: what cannot be made out is the default, and `unsure` says why.
    """
    plain: Any = None
    unsure: dict[str, Problem] = {}
    keys = ("state_dir", "runtime_dir")
    try:
        root, _ = read_document(read(path), str(path))
        values = Values(str(path), env, pushed=False)
        plain = values.of(root)
        unsure |= {key: one for key in keys for one in values.problems if one.where == ("gateway", key)}
    except ConfigErrors as errors:
        unsure |= dict.fromkeys(keys, errors.problems[0])
    gateway = plain.get("gateway") if isinstance(plain, dict) else None
    named = gateway if isinstance(gateway, dict) else {}
    found = {}
    for key in keys:
        value = named.get(key)
        default = Gateway.model_fields[key].default
        found[key] = place(Path(value), Path(path).absolute().parent) if isinstance(value, str) else default
    return Folders(**found, unsure=unsure)


def in_document(problem: Problem, text: str | bytes, file: str) -> Problem:
    """A problem that was found without the document, with the line of its key in this one, which was read before."""
    line = find(read_document(text, file)[0], problem.where)[0] if problem.where else 0
    return replace(problem, file=file, line=line)


def place(path: Path, folder: Path) -> Path:
    """A path as a document means it: `package:NAME/VERSION` is a shipped model, relative ones count from `folder`."""
    text = str(path)
    if text.startswith(PACKAGED):
        spec = importlib.util.find_spec("models")
        home = spec.submodule_search_locations if spec is not None else None
        return Path(next(iter(home or ["models"]))) / "zoo" / text.removeprefix(PACKAGED)
    return folder / path
