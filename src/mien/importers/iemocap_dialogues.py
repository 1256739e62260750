"""IEMOCAP as conversations: six emotions, whole dialogues, the fifth session as the test part."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from mien.data.findings import Report
from mien.data.rows import Row
from mien.errors import DataError
from mien.importers import iemocap, orders
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.counts import Expected
from mien.importers.sayings import clean
from mien.importers.texts import lines_of
from mien.importers.walk import walk

_CLASSES = dict(zip(("hap", "sad", "neu", "ang", "exc", "fru"), orders.IEMOCAP.order, strict=True))
_SAID = re.compile(r"(?P<id>Ses0[1-5]\w+) \[[0-9.]+-[0-9.]+\]:(?P<text>.*)")
_TEST = "05"


def read(wish: Wish) -> Found:
    """Rows of the sentences that have one of the six emotions, in the order in which they are said.

    The turns count all evaluated sentences, so that what is left out is seen as a gap.
    """
    assert wish.task is not None
    tree, report, notes = walk(wish.source, (".wav", ".flac"), wish.progress), Report(), list[str]()
    tree.note(report)
    sounds = {path.stem: path for path in tree.files if iemocap.NAME.fullmatch(path.stem)}
    texts, judged = _said(tree.root), iemocap.evaluated(tree.root)
    turns = _turns(judged)
    wanted = {name: emotion for name, (emotion, _) in judged.items() if emotion in _CLASSES}
    rows = [
        _row(name, emotion, sounds.get(name), texts.get(name), turns[name], wish)
        for name, emotion in sorted(wanted.items(), key=lambda pair: (pair[0][:5], turns[pair[0]]))
        if name in sounds or name in texts
    ]
    if not rows:
        raise DataError(
            f"of {len(wanted):,} sentences with one of the six emotions none has a sound or a text",
            where=str(wish.source),
            fix="the folder that holds Session1 to Session5, as the corpus comes",
        )
    for what, there in (("sound", sounds), ("text", texts)):
        if absent := sorted(wanted.keys() - there.keys()):
            report.warn("missing", f"evaluated, and without a {what}", *absent)
    aside = Counter(emotion for emotion, _ in judged.values() if emotion not in _CLASSES)
    if aside:
        others = ", ".join(f"{count:,} {name}" for name, count in sorted(aside.items()))
        notes.append(f"other emotions are left out: {others}")
    notes.append("no held-out part is official: a training holds speakers of train out for that")
    return Found(rows=rows, tasks={wish.task.name: wish.task}, report=report, notes=notes)


def _said(root: Path) -> dict[str, str]:
    """Sentence -> what is said, from transcriptions/DIALOGUE.txt of each session."""
    found: dict[str, str] = {}
    for file in sorted(root.glob("**/transcriptions/Ses*.txt")):
        if not file.resolve().is_relative_to(root):
            continue
        for line in lines_of(file):
            match = _SAID.match(line.strip())
            if match is not None and (text := clean(match["text"])):
                found[match["id"]] = text
    return found


def _turns(judged: dict[str, tuple[str, float]]) -> dict[str, int]:
    """Sentence -> its place in its dialogue, by the time at which it begins."""
    dialogues: dict[str, list[tuple[float, str]]] = {}
    for name, (_, begin) in judged.items():
        match = iemocap.NAME.fullmatch(name)
        if match is not None:
            dialogues.setdefault(match["dialogue"], []).append((begin, name))
    return {
        name: turn for held in dialogues.values() for turn, (_, name) in enumerate(sorted(held))
    }


def _row(
    name: str, emotion: str, sound: Path | None, text: str | None, turn: int, wish: Wish
) -> Row:
    match = iemocap.NAME.fullmatch(name)
    assert match is not None
    assert wish.task is not None
    return Row(
        id=name,
        audio=None if sound is None else wish.place.relative(sound),
        text=text,
        speaker=f"Ses{match['session']}{match['who']}",
        dialogue=match["dialogue"],
        source=match["dialogue"],
        turn=turn,
        split="test" if match["session"] == _TEST else "train",
        labels={wish.task.name: _CLASSES[emotion]},
        groups={
            "scene": "improvised" if "_impro" in name else "scripted",
            "gender": "female" if match["who"] == "F" else "male",
        },
    )


CORPUS = Corpus(
    name="iemocap-6",
    title="Interactive Emotional Dyadic Motion Capture Database, as conversations",
    about="151 dialogues of 10 actors; 6 emotions; text and sound, the fifth session as test",
    read=read,
    layout=iemocap.CORPUS.layout.replace(
        "Its films", "dialog/transcriptions/Ses01F_impro01.txt has what is said. Its films"
    ),
    verified=iemocap.CORPUS.verified,
    task=orders.task("emotion", orders.IEMOCAP.order),
    expected=Expected(
        rows=7380,
        source="as commonly known of its evaluations; files for conversations have 7,433",
        speakers=10,
    ),
    folds="none: 120 dialogues of four sessions to train on, 31 of the fifth to test, as work on "
    "conversations has it; not to be compared with five folds",
    licence=iemocap.CORPUS.licence,
    apply=iemocap.CORPUS.apply,
    cite=iemocap.CORPUS.cite,
)
