"""IEMOCAP: ten actors in five sessions of two, four emotions, by its own evaluations."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from mien.data.findings import Report
from mien.data.rows import Row
from mien.errors import DataError
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.counts import Expected
from mien.importers.texts import lines_of
from mien.importers.walk import walk
from mien.tasks.classification import IEMOCAP

NAME = re.compile(
    r"(?P<dialogue>Ses(?P<session>0[1-5])[FM]_(?:impro|script)\w*?)_(?P<who>[FM])(?P<turn>[0-9]{3})"
)
_LINE = re.compile(
    r"\[(?P<begin>[0-9]+\.?[0-9]*) - [0-9.]+\]\t(?P<id>\S+)\t(?P<emotion>[a-z]{3})\t\[.*"
)
_CLASSES = {"ang": "anger", "hap": "happiness", "exc": "happiness", "neu": "neutral",
            "sad": "sadness"}  # fmt: skip
_OTHERS = ("fea", "sur", "fru", "dis", "oth", "xxx")


def read(wish: Wish) -> Found:
    """Rows of the sentences that are there and have one of the four emotions."""
    assert wish.task is not None
    tree, report, notes = walk(wish.source, (".wav", ".flac"), wish.progress), Report(), list[str]()
    tree.note(report)
    labels = {name: emotion for name, (emotion, _) in evaluated(tree.root).items()}
    sounds = {path.stem: path for path in tree.files if NAME.fullmatch(path.stem)}
    aside = Counter(labels[name] for name in sounds if labels.get(name, "") in _OTHERS)
    rows = [
        _row(name, path, _CLASSES[labels[name]], wish)
        for name, path in sorted(sounds.items())
        if labels.get(name) in _CLASSES
    ]
    if not rows:
        raise DataError(
            f"of {len(sounds):,} sentences none has one of the four emotions",
            where=str(wish.source),
            fix="the folder that holds Session1 to Session5, as the corpus comes",
        )
    if unknown := sorted(sounds.keys() - labels.keys()):
        report.warn("unlabelled", "sentences that no evaluation names; left out", *unknown)
    if absent := sorted(name for name in labels.keys() - sounds.keys() if labels[name] in _CLASSES):
        report.warn("missing", "evaluated, and not here", *absent)
    if aside:
        others = ", ".join(f"{count:,} {name}" for name, count in sorted(aside.items()))
        notes.append(f"other emotions are left out: {others}")
    notes.append("excited counts as happiness, as is common; our choice")
    return Found(rows=rows, tasks={wish.task.name: wish.task}, report=report, notes=notes)


def evaluated(root: Path) -> dict[str, tuple[str, float]]:
    """Sentence -> emotion, and the second at which it begins, from EmoEvaluation/DIALOGUE.txt.

    Raises:
        DataError: there are none, a sentence has two, or an emotion is none of the corpus.
    """
    found: dict[str, tuple[str, float]] = {}
    files = sorted(root.glob("**/EmoEvaluation/Ses*.txt"))
    for file in files:
        if not file.resolve().is_relative_to(root):
            continue
        for number, line in enumerate(lines_of(file), 1):
            match = _LINE.match(line)
            if match is None:
                continue
            name, emotion = match["id"], match["emotion"]
            if emotion not in (*_CLASSES, *_OTHERS):
                raise DataError(f"the corpus has no emotion {emotion!r}", where=f"{file}:{number}")
            if found.setdefault(name, (emotion, float(match["begin"])))[0] != emotion:
                raise DataError(
                    f"{name} is {emotion} here, and {found[name][0]} before",
                    where=f"{file}:{number}",
                )
    if not found:
        raise DataError(
            "there are no evaluations here",
            where=str(root),
            fix="dialog/EmoEvaluation/Ses01F_impro01.txt and so on, as the corpus comes",
        )
    return found


def _row(name: str, path: Path, label: str, wish: Wish) -> Row:
    match = NAME.fullmatch(name)
    assert match is not None
    assert wish.task is not None
    session = match["session"]
    return Row(
        id=name,
        audio=wish.place.relative(path),
        speaker=f"Ses{session}{match['who']}",
        fold=int(session) - 1,
        labels={wish.task.name: label},
        source=match["dialogue"],
        groups={
            "scene": "improvised" if "_impro" in name else "scripted",
            "gender": "female" if match["who"] == "F" else "male",
        },
    )


CORPUS = Corpus(
    name="iemocap",
    title="Interactive Emotional Dyadic Motion Capture Database",
    about="10 actors in 5 sessions of two; 4 emotions as agreed on by those who listened",
    read=read,
    layout="Session1 to Session5 with sentences/wav/.../Ses01F_impro01_F000.wav and "
    "dialog/EmoEvaluation/Ses01F_impro01.txt. Its films show two people side by side; they are "
    "not taken. Layout not verified",
    verified="no real copy: files made up for its tests, with names as commonly known",
    task=IEMOCAP,
    expected=Expected(
        rows=5531,
        source="as commonly known, excited among happiness",
        classes={"anger": 1103, "happiness": 1636, "neutral": 1708, "sadness": 1084},
        speakers=10,
    ),
    folds="five, each session once, as is common; the protocol behind HiCMAE's results is not "
    "known here",
    licence="IEMOCAP agreement: research only (as commonly known)",
    apply="on request: its page at the University of Southern California has the form",
    cite="Busso and others, Language Resources and Evaluation 42, 2008, "
    "https://doi.org/10.1007/s10579-008-9076-6",
)
