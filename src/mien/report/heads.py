"""What stands above scores: what was trained, on what, how, and what to beware of."""

from __future__ import annotations

from collections.abc import Sequence

from mien.report import document, terms, words
from mien.report.cells import folded, table
from mien.report.folders import Json


def header(heading: str, runs: Sequence[Json], notice: str) -> str:
    """The page's head: its name, what it is for, warnings of all runs, where to find what."""
    links = "".join(
        f'<li><a href="#{anchor(i)}">{words.named(run["name"], 80)}</a></li>'
        for i, run in enumerate(runs)
    )
    first = '<li><a href="#compared">Side by side</a></li>'
    several = len(runs) > 1
    nav = f'<nav aria-label="Contents"><ul>{first}{links}</ul></nav>' if several else ""
    told = "".join(_warnings(run, named=several) for run in runs)
    warn = (
        f'<section class="warn" aria-label="Beware"><h2>Beware</h2><ul>{told}</ul></section>'
        if told
        else ""
    )
    return (
        f"<header><h1>{words.named(heading, 200)}</h1>{document.notice(notice)}{warn}{nav}</header>"
    )


def _warnings(run: Json, *, named: bool) -> str:
    name = f"{words.named(run['name'], 80)}: " if named else ""
    return "".join(f"<li>{name}{words.safe(note, 400)}</li>" for note in run["notes"])


def anchor(number: int) -> str:
    """Where a run's part of the page begins."""
    return f"run-{number + 1}"


def about(run: Json) -> str:
    """What was trained, on which rows, and under which licence."""
    facts = [
        ("System", _said(run["system"])),
        ("Preset", _said(run["preset"])),
        ("Modalities", ", ".join(words.safe(name, 40) for name in run["modalities"]) or "not said"),
        ("Scored on", words.safe(terms.part(run["part"]), 100) if run["tasks"] else "nothing"),
        ("Epoch", _chosen(run)),
        ("Seeds" if len(run["seeds"]) > 1 else "Seed", _numbers(run["seeds"])),
        ("Folds", _numbers(run["folds"]) if run["folds"] else ""),
        ("Rows", _rows(run)),
        ("Data", f"<code>{words.safe(run['data'][:16], 16)}</code>" if run["data"] else "not said"),
        ("Licence", _said(run["licence"])),
        (
            "Versions",
            ", ".join(
                f"{words.safe(k, 20)} {words.safe(v, 20)}" for k, v in run["versions"].items()
            )
            or "not said",
        ),
    ]
    lacking = "".join(f"<li>{words.safe(text, 400)}</li>" for text in run["missing"])
    missing = f'<ul class="notes" aria-label="Missing">{lacking}</ul>' if lacking else ""
    return document.facts([fact for fact in facts if fact[1]]) + missing


def _said(text: str | None) -> str:
    return words.named(text, 80) if text else "not said"


def _numbers(found: Sequence[int]) -> str:
    few = ", ".join(map(str, found[:12]))
    return (few + (f" and {len(found) - 12} more" if len(found) > 12 else "")) or "not said"


def _chosen(run: Json) -> str:
    first = run["members"][0]
    tested = bool(first["sizes"].get("test")) and bool(run["tasks"])
    return words.safe(terms.select(run["select"], first["chose"], tested=tested), 200)


def _rows(run: Json) -> str:
    """Rows of each part; of folds from the fewest to the most."""
    parts = []
    for name, told in (("train", "train"), ("held_out", "held out"), ("test", "test")):
        sizes = [m["sizes"][name] for m in run["members"] if name in m["sizes"]]
        if sizes and max(sizes):
            least, most = min(sizes), max(sizes)
            span = (
                terms.count(most)
                if least == most
                else f"{terms.count(least)} to {terms.count(most)}"
            )
            parts.append(f"{span} {told}")
    each = " in each run" if len(run["members"]) > 1 else ""
    return " · ".join(parts) + each if parts else "not said"


def settings(run: Json) -> str:
    """Every setting, folded away."""
    rows = [
        [words.named(key, 100), words.named(value, 100)] for key, value in run["settings"].items()
    ]
    return (
        folded(
            "All settings",
            table("Settings", [("Setting", ""), ("Value", "")], rows, look="settings"),
        )
        if rows
        else ""
    )
