"""What is built and what is installed: the wheel, its licence and script, and names that nobody else may take."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"agent", "drivers", "models", "sync"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = {
    "runtime.txt": PROJECT["dependencies"],
    "lock.txt": [
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["demo"],
        *PROJECT["optional-dependencies"]["test"],
    ],
    "lock-torch.txt": [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())],
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, set[str]]:
    """Name to versions; a name may have one for each Python."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / lock).read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)", line):
            found.setdefault(normal(match[1]), set()).add(match[2])
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder that holds the wheel and the source distribution, built without a network."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_the_four_packages_and_nothing_else(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == OURS


def test_the_wheel_holds_every_file_of_the_four_packages_that_git_knows(wheel):
    tracked = subprocess.run(
        ["git", "ls-files", "-z", *OURS], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert set(filter(None, tracked.split("\0"))) <= set(wheel.namelist())


def test_models_come_with_their_card_in_the_wheel(wheel):
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "models/zoo").rglob("model.json")}
    assert folders, "the zoo is empty"
    for folder in folders:
        names = {Path(name).name for name in wheel.namelist() if Path(name).parent == folder}
        assert {"model.json", "README.md"} <= names
        assert any(name.endswith(".onnx") for name in names)


def test_the_wheel_carries_script_licence_and_version(wheel):
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    info = metadata.rpartition("/")[0]
    scripts = ConfigParser()
    scripts.read_string(wheel.read(f"{info}/entry_points.txt").decode())
    assert dict(scripts["console_scripts"]) == {"tidegate": "agent.cli:main"}
    assert b"Apache License" in wheel.read(f"{info}/licenses/LICENSE")
    text = wheel.read(metadata).decode()
    assert "License-Expression: Apache-2.0" in text
    assert f"Version: {PROJECT['version']}" in text


def test_the_source_distribution_can_be_installed_on_a_gateway(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"systemd/tidegate.service", "config.yaml", "requirements/runtime.txt", "docs/OPERATIONS.md"} <= names


def test_code_and_project_agree_on_the_version():
    import agent  # noqa: PLC0415 - only this test wants it

    assert agent.__version__ == PROJECT["version"]


def test_the_licence_is_apache_2_in_full():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability" in text


@pytest.mark.parametrize("lock", REQUIREMENTS)
def test_the_lock_names_every_dependency(lock):
    wanted = {normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in REQUIREMENTS[lock]}
    assert wanted - set(pins(lock)) == set(), "run `make lock`"


@pytest.mark.parametrize("lock", [*REQUIREMENTS, "build.txt"])
def test_every_pin_has_its_hashes(lock):
    for block in re.split(r"\n(?=\S)", (ROOT / "requirements" / lock).read_text()):
        if "==" in block.partition("\n")[0]:
            assert "--hash=sha256:" in block, block.partition("\n")[0]


@pytest.mark.parametrize("lock", ["runtime.txt", "build.txt", "lock-torch.txt"])
def test_the_locks_agree(lock):
    whole = pins("lock.txt")
    differing = {name: versions for name, versions in pins(lock).items() if name in whole and versions != whole[name]}
    assert differing == {}, "run `make lock`"


def test_the_environment_is_the_locked_one():
    """A name may be absent (other platforms, no TORCH=1); another version is a stale environment."""
    for name, versions in pins("lock.txt").items():
        try:
            installed = distribution(name).version
        except PackageNotFoundError:
            continue
        assert installed in versions, f"{name} {installed} is installed, the lock has {versions}: run `make install`"


def test_no_dependency_takes_one_of_our_names():
    offences = []
    for name in pins("lock-torch.txt") | pins("build.txt"):
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            continue
        offences += [f"{name}: {file}" for file in files if file.parts[0].removesuffix(".py") in OURS]
    assert offences == []
