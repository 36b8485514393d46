"""The shape of the house: which way imports point, where each library lives, what files are called."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPOKES = ("drivers", "models", "sync")
PACKAGES = ("agent", *SPOKES)
LAYERS = (
    ("farm",),
    ("config", "events", "supervisor", "metrics", "systemd", "logs", "records"),
    ("pipeline", "http"),
    ("reload",),
    ("app",),
    ("cli",),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# Inside these packages too imports point down: a room imports what is before it in the list.
ROOMS = {
    "sync/log": (
        "clock",
        "packs",
        "disk",
        "bodies",
        "settings",
        "book",
        "answers",
        "ledger",
        "inspect",
        "leasing",
        "retention",
        "salvage",
        "commit",
        "outbox",
    ),
    "agent/config": ("problems", "document", "schema", "wording", "rules", "load", "docs"),
    "sync/shipper": ("events", "decisions", "link", "settings", "stats", "sending", "shipper"),
    "sync/kafka": ("settings", "errors", "connection", "questions", "sink"),
    "drivers/mqtt": (
        "settings",
        "packets",
        "codecs",
        "connection",
        "answers",
        "topics",
        "delivery",
        "probes",
        "readings",
    ),
}
LONGEST_FILE_LINES = 400
VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "service", "services"}
# Each of them runs what it reads, or starts processes that do.
UNPICKLING = {"pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib", "multiprocessing"}
PART_OF = {"pydantic-core": "pydantic"}
OUTSIDE = {"asyncio", "os", "pathlib", "shutil", "socket", "sqlite3", "subprocess", "tempfile", "threading"}


@dataclass(frozen=True)
class Import:
    """One import in the tree: by which file, of what, at which line."""

    file: Path
    target: str
    line: int

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


def sources(*folders: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports_of(file: Path) -> list[Import]:
    found = []
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            found += [Import(file, name.name, node.lineno) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(file.parts[: -node.level]) if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            # `from agent import config` reaches agent.config: name by name, each may be a module.
            found += [Import(file, f"{module}.{name.name}", node.lineno) for name in node.names]
    return found


IMPORTS = [found for file in sources(*PACKAGES) for found in imports_of(file)]


def complain(offences: list[str]) -> None:
    assert not offences, "\n" + "\n".join(offences)


@pytest.mark.parametrize("spoke", SPOKES)
def test_a_spoke_imports_neither_the_hub_nor_another_spoke(spoke):
    others = set(PACKAGES) - {spoke}
    complain([str(found) for found in IMPORTS if found.file.parts[0] == spoke and found.top in others])


def test_nothing_imports_the_tests():
    complain([str(found) for found in IMPORTS if found.top == "tests"])


def room(path: str) -> str:
    """The part of the hub that a module belongs to: its first level below `agent`."""
    return path.split(".")[1]


def test_every_part_of_the_hub_has_its_place_in_the_order():
    parts = {file.parts[1].removesuffix(".py") for file in sources("agent")} - {"__init__", "__main__"}
    assert parts <= set(RANK)


def test_inside_the_hub_imports_point_down():
    offences = []
    for found in IMPORTS:
        if found.file.parts[0] != "agent" or found.top != "agent":
            continue
        importer = room(".".join(found.file.with_suffix("").parts))
        imported = room(found.target) if "." in found.target else "__init__"
        if importer == imported or imported not in RANK:
            continue  # its own part, or a name of agent/__init__.py
        if importer == "__init__" or RANK[imported] >= RANK.get(importer, len(LAYERS)):
            offences.append(str(found))
    complain(offences)


@pytest.mark.parametrize(("package", "rooms"), ROOMS.items())
def test_inside_a_package_with_rooms_imports_point_down(package, rooms):
    rank = {room: place for place, room in enumerate(rooms)}
    inside = tuple(package.split("/"))
    folders = {path.name for path in (ROOT / package).iterdir() if (path / "__init__.py").exists()}
    assert folders <= set(rooms)
    offences = []
    for found in IMPORTS:
        target = tuple(found.target.split("."))
        if found.file.parts[: len(inside)] != inside or target[: len(inside)] != inside:
            continue
        importer = found.file.with_suffix("").parts[len(inside)]
        imported = target[len(inside)]
        if importer != imported and importer in rank and rank.get(imported, len(rooms)) >= rank[importer]:
            offences.append(str(found))
    complain(offences)


def test_no_files_of_the_log_import_each_other_in_a_circle():
    """Types included: a circle of types is a circle to whoever reads it."""
    modules = {".".join(file.with_suffix("").parts) for file in sources("sync/log") if file.stem != "__init__"}
    left: dict[str, set[str]] = {module: set() for module in modules}
    for found in IMPORTS:
        importer = ".".join(found.file.with_suffix("").parts)
        if importer in left:
            # `from room import file` and `from room.file import name`.
            left[importer] |= {found.target, found.target.rpartition(".")[0]} & modules
    while free := [module for module, imported in left.items() if not imported & set(left)]:
        for module in free:
            del left[module]
    complain([f"{module} imports {', '.join(imported & set(left))}" for module, imported in sorted(left.items())])


def test_models_know_no_event_loop():
    complain([str(found) for found in IMPORTS if found.file.parts[0] == "models" and found.top == "asyncio"])


def test_farm_functions_reach_nothing_outside():
    farm = [found for found in IMPORTS if found.file.parts[:2] == ("agent", "farm")]
    complain([str(found) for found in farm if found.top in OUTSIDE | set(SPOKES)])


def test_nothing_unpickles():
    complain([str(found) for found in IMPORTS if found.top in UNPICKLING])


def normal(name: str) -> str:
    """A distribution's name as all its spellings have it in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


def homes() -> dict[str, list[str]]:
    """For each distribution the folders that may import it, from the comments in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    names = project["dependencies"] + project["optional-dependencies"]["torch"]
    found = {}
    for name in names:
        comment = re.search(rf'^    "{re.escape(name)}",\s*# (.*)$', text, re.MULTILINE)
        assert comment is not None, f"{name} has no comment that says what it is for"
        places = [place.strip().rstrip("/") for place in comment[1].rpartition(": ")[2].split(",")]
        assert all((ROOT / place).exists() for place in places), f"{name}: no such place among {places}"
        found[normal(name)] = places
    return found


def test_each_library_is_imported_only_at_home():
    places = homes()
    distributions = packages_distributions()
    offences = []
    for found in IMPORTS:
        if found.top in sys.stdlib_module_names or found.top in PACKAGES:
            continue
        owners = {normal(name) for name in distributions.get(found.top, [found.top])}
        owners = {PART_OF.get(owner, owner) for owner in owners}
        allowed = [place for owner in owners for place in places.get(owner, [])]
        file = str(found.file)
        if not any(file == place or file.startswith(f"{place}/") for place in allowed):
            offences.append(f"{found}, which may stand in {', '.join(allowed) or 'no place: declare it'}")
    complain(offences)


def test_no_file_is_past_four_hundred_lines():
    lengths = {file: len((ROOT / file).read_text().splitlines()) for file in sources(*PACKAGES, "tests")}
    complain([f"{file} has {lines} lines" for file, lines in lengths.items() if lines > LONGEST_FILE_LINES])


def test_names_are_nouns_of_the_field():
    offences = []
    for file in sources(*PACKAGES, "tests"):
        words = {word for part in file.with_suffix("").parts for word in part.lower().split("_")}
        if words & VAGUE:
            offences.append(f"{file}: {', '.join(words & VAGUE)}")
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.ClassDef):
                last = re.findall(r"[A-Z][a-z0-9]*", node.name)[-1:]
                if last and last[0].lower() in VAGUE:
                    offences.append(f"{file}:{node.lineno} class {node.name}")
    complain(offences)
