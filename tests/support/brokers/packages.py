"""Brokers that are fetched when a run asks for them: pinned packages, each in a folder of its own in the cache.

Every function answers with the folder or program, brings it at the first call, and may be called by several runs at
once. What cannot be had raises `NotAtHand`, which says why.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.broker import BrokerError
from tests.support.cached import cached

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[3]
SOURCES = Path(__file__).parent / "sources"
"""Small programs of ours around a broker's library, in that library's language."""
_TIMEOUT_S = 1_200.0
_POM = """<project><modelVersion>4.0.0</modelVersion>
<groupId>tidegate.tests</groupId><artifactId>{name}</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>{dependencies}</dependencies></project>
"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


class NotAtHand(BrokerError):  # noqa: N818 - a state, as NotReady is
    """A broker whose package, or the tool that fetches it, is not on this machine and cannot be brought."""


def maven(name: str, *coordinates: str) -> Path:
    """The folder of the jars of `group:artifact:version`, and of all they need at run time."""
    tools("java")

    def fetch(folder: Path) -> None:
        tools("mvn")
        pom = folder.with_suffix(".pom.xml")
        dependencies = "".join(_DEPENDENCY.format(*one.split(":")) for one in coordinates)
        pom.write_text(_POM.format(name=name, dependencies=dependencies))
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
        _carry_out(["mvn", "-B", "-q", "-f", str(pom), *goal], folder.parent)
        pom.unlink()

    return cached(f"brokers/{name}", fetch)


def java(name: str, jars: Path, source: Path) -> Path:
    """The folder of the classes compiled of one file of ours against these jars; compiled again when it changes."""

    def fetch(folder: Path) -> None:
        tools("javac")
        folder.mkdir()
        _carry_out(["javac", "-cp", f"{jars}/*", "-d", str(folder), str(source)], folder)

    return cached(f"brokers/{name}-{_digest(source)}", fetch)


def npm(name: str, *packages: str) -> Path:
    """A folder in which node finds these packages (`name@version`); no install script is run."""
    tools("node")

    def fetch(folder: Path) -> None:
        tools("npm")
        folder.mkdir()
        (folder / "package.json").write_text("{}")
        _carry_out(["npm", "install", "--no-save", "--ignore-scripts", *packages], folder)

    return cached(f"brokers/{name}", fetch)


def go(name: str, sources: Path) -> Path:
    """The program built of a folder of ours that holds main.go, go.mod and go.sum."""

    def fetch(folder: Path) -> None:
        tools("go")
        shutil.copytree(sources, folder)
        _carry_out(["go", "build", "-o", "broker", "."], folder, {"CGO_ENABLED": "0"})

    return cached(f"brokers/{name}-{_digest(*sources.iterdir())}", fetch) / "broker"


def cargo(crate: str, version: str) -> Path:
    """The program of a crate; compiling it takes minutes."""

    def fetch(folder: Path) -> None:
        tools("cargo")
        _carry_out(["cargo", "install", crate, "--version", version, "--root", str(folder)], folder.parent)

    return cached(f"brokers/{crate}-{version}", fetch) / "bin" / crate


def tools(*names: str) -> None:
    """Raises NotAtHand if a program is not on the PATH."""
    for name in names:
        if shutil.which(name) is None:
            raise NotAtHand(f"{name} is not installed")


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:8]


def _carry_out(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotAtHand(f"{command[0]} took longer than {_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        raise NotAtHand(f"{command[0]} failed: {(done.stdout + done.stderr).strip()[-1_000:]}")
