"""The public names: sorted, lazily resolved, the same for type checkers, and documented."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mien

ROOT = Path(__file__).parents[2]
NAMES = [name for name in mien.__all__ if name != "__version__"]
LAZY: dict[str, str] = vars(mien)["_HOME"]


def seen_by_type_checkers() -> dict[str, str]:
    """Name to module, as imported under TYPE_CHECKING in the package's front door."""
    tree = ast.parse(Path(str(mien.__file__)).read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                found |= {
                    alias.asname or alias.name: str(statement.module) for alias in statement.names
                }
    return found


def test_the_list_is_sorted_and_says_nothing_twice() -> None:
    assert mien.__all__ == sorted(set(mien.__all__))


def test_the_list_is_what_is_exposed() -> None:
    assert sorted([*LAZY, "__version__"]) == mien.__all__ == dir(mien)
    assert seen_by_type_checkers() == LAZY


@pytest.mark.parametrize("name", NAMES)
def test_a_name_resolves_to_what_its_module_defines(name: str) -> None:
    value = getattr(mien, name)
    assert value.__module__ == LAZY[name]
    assert value.__name__ == name


def test_a_star_import_gives_the_list() -> None:
    code = "from mien import *; import mien; print(sorted(set(mien.__all__) - set(dir())))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_any_other_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'mien' has no attribute 'trian'"):
        mien.__getattr__("trian")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_in_the_documentation(name: str) -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    spans = re.compile(r"```.*?```|`[^`]+`", re.S)
    code = [span for page in pages for span in spans.findall(page.read_text(encoding="utf-8"))]
    assert any(re.search(rf"\b{name}\b", span) for span in code), f"say what {name} is, in docs/"
