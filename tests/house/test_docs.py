"""Documentation that runs: Python blocks, `mien` commands, doctests, links and make targets.

The blocks of a page run from top to bottom in one empty folder, with one namespace, as a reader
would type them. A block that cannot run here stands below ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from mien.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
SHELLS = ("bash", "console", "sh", "shell")

FENCE = re.compile(
    r"^(?P<fence>```+)[ \t]*(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=fence)", re.M | re.S
)
NOT_RUN = re.compile(r"<!--\s*not run\b:?(?P<reason>.*?)-->\s*\Z", re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    body: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The `mien ...` lines of a shell block, continued lines joined."""
        if self.language not in SHELLS:
            return []
        lines = re.sub(r"\\\n\s*", "", self.body).splitlines()
        typed = [line.strip().removeprefix("$ ") for line in lines]
        return [line for line in typed if re.match(r"mien\s", line)]

    @property
    def runnable(self) -> bool:
        """Whether a reader could type this block and expect it to work."""
        return self.language == "python" or bool(self.commands)


def blocks(text: str, page: Path) -> Iterator[Block]:
    """The fenced blocks of a page in order."""
    for found in FENCE.finditer(text):
        before = text[: found.start()]
        excuse = NOT_RUN.search(before)
        yield Block(
            page=page,
            line=before.count("\n") + 1,
            language=found["language"],
            body=found["body"],
            not_run=excuse["reason"].strip() if excuse else None,
        )


def blocks_of(page: Path) -> list[Block]:
    return list(blocks(page.read_text(encoding="utf-8"), page))


def run_block(block: Block, names: dict[str, Any]) -> None:
    """Run one block in the current folder; the page's Python names live in ``names``."""
    if block.language == "python":
        # Empty lines in front keep the page's line numbers in a traceback.
        source = "\n" * block.line + block.body
        exec(compile(source, str(block.page), "exec", dont_inherit=True), names)
    for command in block.commands:
        _, *words = shlex.split(command, comments=True)
        assert not set(words) & set("|>&;"), f"{block}: a plain command, please: {command}"
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, f"{block}: {command}\n{result.output}\n{result.exception!r}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [block for block in blocks_of(page) if block.runnable]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    ran = 0
    for block in shown:
        if block.not_run is None:
            run_block(block, names)
            ran += 1
    assert ran or not shown, f"nothing on {page.name} was run: show what a reader can try"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_not_run_says_why(page: Path) -> None:
    for block in blocks_of(page):
        assert block.not_run is None or len(block.not_run.split()) > 1, f"{block}: say why"


def test_blocks_are_found_and_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "```python\nx = 1\n```\n```python\nassert x == 2\n```\n"
        "<!-- not run: needs a GPU -->\n\n```bash\nmien train \\\n  nothing # here\n```\n"
        "```console\n$ mien systems no-such\n$ make test\n```\n"
    )
    first, second, third, fourth = blocks(text, ROOT / "README.md")
    assert (third.not_run, fourth.not_run) == ("needs a GPU", None)
    assert third.commands == ["mien train nothing # here"]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    run_block(first, names)
    with pytest.raises(AssertionError):
        run_block(second, names)
    with pytest.raises(AssertionError, match="no-such"):
        run_block(fourth, names)


# -- doctests ----------------------------------------------------------------------------------


def with_doctests() -> list[str]:
    source = ROOT / "src"
    found = [file for file in sorted(source.rglob("*.py")) if ">>>" in file.read_text("utf-8")]
    names = [".".join(file.relative_to(source).with_suffix("").parts) for file in found]
    return [name.removesuffix(".__init__") for name in names]


def doctest_failures(module: ModuleType) -> list[str]:
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder().find(module):
        runner.run(test, out=said.append)
    return said


def test_examples_in_docstrings_hold() -> None:
    assert not [text for name in with_doctests() for text in doctest_failures(_import(name))]


def test_a_wrong_example_is_found() -> None:
    module = ModuleType("wrong", ">>> 1 + 1\n3\n")
    assert "Expected:\n    3\nGot:\n    2\n" in "".join(doctest_failures(module))


def _import(name: str) -> ModuleType:
    return importlib.import_module(name)


# -- the plan of the house ---------------------------------------------------------------------


def test_the_architecture_names_every_file() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", page.partition("## Who may import whom")[0]))
    files = (ROOT / "src" / "mien").rglob("*.py")
    missing = {file.stem for file in files if file.stem != "__init__"} - named
    assert not missing, f"give each a line in docs/architecture.md: {sorted(missing)}"


# -- links and targets -------------------------------------------------------------------------


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = page if not name else page.parent / name
        assert place.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(place), f"{page.name} links to {target}"


def make_targets() -> set[str]:
    lines = re.findall(r"^\.PHONY:(.*)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    return {word for line in lines for word in line.split()}


def targets_named(page: Path) -> set[str]:
    """Targets in `make x y` code spans and in the shell blocks of a page."""
    typed = re.findall(r"(?<!`)`(make [^`]+)`(?!`)", prose(page))
    for block in blocks_of(page):
        if block.language in SHELLS:
            typed += re.findall(r"^(?:\$ )?(?:.*&& )?(make .+)$", block.body, re.M)
    words = {word for line in typed for word in shlex.split(line, comments=True)[1:]}
    return {word for word in words if re.fullmatch(r"[a-z-]+", word)}


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    assert targets_named(page) <= make_targets()


def test_targets_have_the_four_words() -> None:
    assert make_targets() == {"help", "demo", "test", "check", "bench"}
    assert {"demo", "test"} <= targets_named(ROOT / "README.md")


def test_ci_runs_what_the_readme_shows() -> None:
    script = ROOT / ".ci" / "run"
    called = set(re.findall(r"^make (.+)$", script.read_text("utf-8"), re.M))
    assert called == {"check", "test"}
    assert called <= targets_named(ROOT / "README.md")
    assert os.access(script, os.X_OK)
