"""Who may import whom, what stays light, and how large rooms and files may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "mien"
FILES = sorted(SOURCE.rglob("*.py"))

# From the ground up: a room imports from rooms below it and from itself, never from beside it.
BASE = ("types", "timeline", "evidence", "errors", "notice", "config", "registry")
LEVELS = (
    BASE,
    ("parts", "data", "language"),
    ("tasks",),
    ("cues",),
    ("systems", "importers"),
    ("run",),
    ("timelines",),
    ("report", "serve"),
    ("cli",),
    ("__init__",),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
HEAVY = ("torch", "transformers", "peft", "accelerate")
_CLI = ("__init__", "__main__", "cues", "data", "describe", "imports", "options", "verbs")
LIGHT = (
    *(f"{room}.py" for room in (*BASE, "__init__")),
    *(f"cli/{name}.py" for name in _CLI),
)


def room_of(path: Path) -> str:
    """The room a file of the package stands in: its folder, or its own name at the top."""
    return path.parts[0].removesuffix(".py")


def imported(tree: ast.Module, path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, wherever in the file it does so."""
    package = ["mien", *path.parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            # `from mien import config` names a room, `from mien.data import x` need not.
            names = [f".{alias.name}" for alias in node.names] if base == "mien" else [""]
            yield from ((node.lineno, base + name) for name in names)


def breaches(source: str, path: Path) -> list[str]:
    """Imports that a file of this room may not make."""
    room, found = room_of(path), []
    for line, name in imported(ast.parse(source), path):
        parts = name.split(".")
        if parts[0] != "mien":
            continue
        target = parts[1] if len(parts) > 1 else "__init__"
        if target not in LEVEL:  # `from mien import load` takes the public front door
            target = "__init__"
        together = target == room or {target, room} <= set(BASE)
        if not together and LEVEL[target] >= LEVEL[room]:
            found.append(f"{path}:{line}: {room} may not import {name}")
    return found


def heavy_at_import(source: str) -> list[str]:
    """Heavy libraries that are imported as soon as this file is."""
    found = []
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        waiting.extend(ast.iter_child_nodes(node))
    return [name for name in found if name.split(".")[0] in HEAVY]


def test_every_room_has_its_place_in_the_order() -> None:
    rooms = {room_of(file.relative_to(SOURCE)) for file in FILES}
    assert rooms <= set(LEVEL), f"new rooms need a level: {sorted(rooms - set(LEVEL))}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_imports_go_down(file: Path) -> None:
    assert not breaches(file.read_text(encoding="utf-8"), file.relative_to(SOURCE))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("parts/fusion.py", "from mien.data.batch import collate"),
        ("data/batch.py", "import mien.parts.model"),
        ("data/batch.py", "from mien import tasks"),
        ("language/client.py", "from mien.data.rows import Row"),
        ("data/batch.py", "from ..parts import model"),
        ("tasks/affect.py", "def late():\n    from mien.systems import claip_emo"),
        ("tasks/affect.py", "import mien.cues.prosody"),
        ("systems/hicmae.py", "if TYPE_CHECKING:\n    from mien.run.loop import Loop"),
        ("importers/ravdess.py", "from mien.run import importing"),
        ("systems/hicmae.py", "from mien import importers"),
        ("run/loop.py", "from mien import load"),
        ("run/loop.py", "import mien"),
        ("config.py", "from mien.parts import hub"),
    ],
)
def test_an_import_upwards_or_sideways_is_found(path: str, source: str) -> None:
    assert len(breaches(source, Path(path))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("parts/fusion.py", "from mien import errors\nfrom mien.parts.model import Model"),
        ("run/loop.py", "from . import checkpoint\nfrom ..data import batch\nimport torch"),
        ("config.py", "from mien import registry"),
        ("__init__.py", "from mien.cli import main"),
    ],
)
def test_an_import_downwards_is_not(path: str, source: str) -> None:
    assert not breaches(source, Path(path))


@pytest.mark.parametrize("name", LIGHT)
def test_words_and_verbs_import_nothing_heavy(name: str) -> None:
    assert not heavy_at_import((SOURCE / name).read_text(encoding="utf-8"))


def test_a_heavy_import_is_found_where_it_runs() -> None:
    assert heavy_at_import("try:\n    import torch.nn\nexcept ImportError:\n    pass") == [
        "torch.nn"
    ]
    assert heavy_at_import("class A:\n    from peft import LoraConfig") == ["peft"]
    assert not heavy_at_import("def late():\n    import torch")
    assert not heavy_at_import("if TYPE_CHECKING:\n    import torch")


@pytest.mark.parametrize(
    "words",
    [
        "import mien",
        "import mien.types, mien.errors, mien.config, mien.registry, mien.cli, mien.tasks",
        "mien --help",
        "mien systems",
        "mien systems claip-emo",
    ],
)
def test_looking_around_imports_no_torch(words: str) -> None:
    code = words
    if not words.startswith("import "):
        code = f"from mien.cli import main\nsys.argv = {words.split()}\ntry: main()\n"
        code += "except SystemExit as end: assert not end.code, end.code"
    code = f"import sys\n{code}\nprint('heavy:', [n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("heavy: []\n"), done.stdout


def test_no_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    named = [path for path in SOURCE.rglob("*") if path.stem.strip("_") in drawers]
    assert not named, "name a file by what is in it"


def test_files_stay_readable() -> None:
    lines = {file.relative_to(SOURCE): len(file.read_text().splitlines()) for file in FILES}
    assert not {file: n for file, n in lines.items() if n > 450}


def test_every_room_is_a_package() -> None:
    assert not [file for file in FILES if not (file.parent / "__init__.py").is_file()]


def test_rooms_are_at_most_two_deep() -> None:
    assert not [file for file in FILES if len(file.relative_to(SOURCE).parts) > 3]
