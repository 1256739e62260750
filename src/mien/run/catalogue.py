"""Corpora as text: what `mien data import` lists, and says of one."""

from __future__ import annotations

from typing import Any

from mien import importers
from mien.importers.corpus import Corpus
from mien.run.cards import lines_of, wrapped


def as_dict(corpus: Corpus) -> dict[str, Any]:
    """What is known of a corpus, for JSON."""
    expected = corpus.expected
    return {
        "name": corpus.name,
        "title": corpus.title,
        "about": corpus.about,
        "labels": list(corpus.task.labels) if corpus.task is not None else None,
        "expected": None
        if expected is None
        else {
            "rows": expected.rows,
            "source": expected.source,
            "classes": dict(expected.classes),
            "speakers": expected.speakers,
            "folds": [expected.of_fold(number) for number in range(len(expected.folds))],
        },
        "folds": corpus.folds,
        "layout": corpus.layout,
        "verified": corpus.verified,
        "licence": corpus.licence,
        "apply": corpus.apply,
        "cite": corpus.cite,
        "takes": list(corpus.takes),
        "command": f"mien data import {corpus.name} {corpus.command}",
    }


def listing() -> str:
    """Each corpus in a line, and what to type next."""
    width = max(len(name) for name in importers.NAMES)
    about = {name: importers.named(name).about for name in importers.NAMES}
    lines = [line for name, text in about.items() for line in wrapped(text, f"{name:<{width}}  ")]
    return "\n".join(
        [*lines, "", "mien data import NAME says how to get it; with a folder, reads it."]
    )


def page(name: str) -> str:
    """What a corpus is, how one gets it, and what is looked for."""
    corpus = importers.named(name)
    known = {
        "how to get it": corpus.apply,
        "licence": corpus.licence or "yours to know",
        "layout": corpus.layout,
        "verified on": corpus.verified,
        "labels": ", ".join(corpus.task.labels) if corpus.task is not None else "as your files say",
        "a whole copy": _whole(corpus),
        "folds": corpus.folds,
        "takes": ", ".join(f"--{name.replace('_', '-')}" for name in corpus.takes),
        "paper": corpus.cite,
    }
    lines = [corpus.name, *wrapped(corpus.title), *wrapped(corpus.about)]
    for title, text in known.items():
        if text:
            lines += ["", title.capitalize(), *lines_of(text)]
    return "\n".join([*lines, "", f"import it:  mien data import {corpus.name} {corpus.command}"])


def _whole(corpus: Corpus) -> str:
    expected = corpus.expected
    if expected is None:
        return ""
    text = f"{expected.rows:,} clips ({expected.source})"
    if expected.speakers:
        text += f", {expected.speakers} speakers"
    if expected.classes:
        text += ": " + ", ".join(f"{name} {count:,}" for name, count in expected.classes.items())
    return text
