"""No importer cuts people in two unless somebody asks for it by name.

Every importer there is has a case here: a copy with speakers in it, cut in every way in which a
training would cut it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import challenge
import foreign_pickles
import numpy as np
import pytest
from copies import brought_in, files, text, warned

from mien import importers
from mien.data import leaks, split
from mien.data.findings import Report
from mien.data.rows import Row
from mien.importers.layouts import LAYOUTS

Words = dict[str, Any]
PEOPLE = ("ann", "bob", "cyd", "dan", "eve", "fay")


def ravdess(folder: Path) -> Words:
    for actor in range(1, 25):
        names = [
            f"03-0{channel}-{e:02d}-01-01-01-{actor:02d}.wav" for channel in (1, 2) for e in (1, 3)
        ]
        files(folder, *names)
    return {}


def crema_d(folder: Path) -> Words:
    files(folder, *(f"{a}_IEO_{e}_HI.wav" for a in range(1001, 1092, 3) for e in ("ANG", "SAD")))
    return {}


def emodb(folder: Path) -> Words:
    people = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
    files(folder, *(f"{who}a01{letter}a.wav" for who in people for letter in "WFN"))
    return {}


def aff_wild2(folder: Path) -> Words:
    challenge.copy(folder)
    return {}


def listed(folder: Path) -> Words:
    """Folds, and a part, that have everybody on both sides."""
    names = [f"{who}/{number}.wav" for who in PEOPLE for number in range(4)]
    files(folder, *names)
    tested = [names[fold::2] for fold in range(2)]
    for fold, held in enumerate(tested, 1):
        others = [name for name in names if name not in held]
        text(folder / f"train{fold}.txt", *(f"{name} {int(name[-5]) % 2}" for name in others))
        text(folder / f"test{fold}.txt", *(f"{name} {int(name[-5]) % 2}" for name in held))
    return {"fold": {"{}": "train{}.txt,test{}.txt"}, "speaker": "^(.+)/", "first_label": 0}


def in_folders(folder: Path) -> Words:
    parts = ("train", "test")
    files(folder, *(f"{p}/{c}/{who}_{p}.wav" for p in parts for c in "xy" for who in PEOPLE))
    return {"speaker": r"/(\w+)_"}


def in_a_table(folder: Path) -> Words:
    lines = [
        f"{who}{part},{who},{part},{len(part) % 2}" for who in PEOPLE for part in ("train", "test")
    ]
    text(folder, "id,speaker,split,label", *lines)
    return {"labels": "x,y"}


def msp_improv(folder: Path) -> Words:
    names = [f"MSP-IMPROV-S01A-{sex}0{n}-P-FM0{t}.wav" for n in range(1, 7) for sex in "FM"
             for t in range(4)]  # fmt: skip
    files(folder, *names)
    text(folder / "all.txt", *(f"{name} {int(name[-5])}" for name in names))
    return {"split": {"train": "all.txt"}}


def iemocap(folder: Path) -> Words:
    for n in range(1, 6):
        here = folder / f"Session{n}"
        names = [f"Ses0{n}F_impro01_{who}00{turn}" for who in "FM" for turn in range(4)]
        files(here / "sentences/wav/Ses0{n}F_impro01", *(f"{name}.wav" for name in names))
        emotions = ("ang", "hap", "neu", "sad")
        text(here / f"dialog/EmoEvaluation/Ses0{n}F_impro01.txt",
             *(f"[1.0 - 2.0]\t{name}\t{emotions[int(name[-1])]}\t[2.5, 2.5, 2.5]"
               for name in names))  # fmt: skip
    return {}


def avcaffe(folder: Path) -> Words:
    """Each subject has tasks on both sides."""
    names = [f"{who}_task_{n}_clip_{c}.wav" for who in PEOPLE for n in (1, 2) for c in range(2)]
    files(folder, *names)
    for part, n in (("train", "1"), ("test", "2")):
        held = [name for name in names if f"_task_{n}_" in name]
        text(folder / f"{part}.txt", *(f"{name} {i % 5}" for i, name in enumerate(held)))
    return {"split": {"train": "train.txt", "test": "test.txt"}, "first_label": 0}


def werewolf_xl(folder: Path) -> Words:
    names = [f"{n:02d}_{clip}.wav" for n in range(1, 31) for clip in range(2)]
    files(folder, *names)
    text(folder / "all.txt", *(f"faces/{name} {name} 0.5 -0.25 1" for name in names))
    return {"split": {"train": "all.txt"}, "speaker": "^([0-9]+)_"}


def voxceleb2(folder: Path) -> Words:
    files(folder, *(f"aac/id0000{n}/video{n}{v}/00001.wav" for n in range(8) for v in range(3)))
    return {}


def c_expr_db(folder: Path) -> Words:
    """Clips that were cut out of videos, and lists that deal them out one by one."""
    names = [f"{v:02d}_{label}_{k}" for v in range(1, 9) for label in ("Sadly-Angry", "Other")
             for k in (0, 1)]  # fmt: skip
    for name in names:
        text(folder / f"clips/{name}.mp4", name)
    for fold in (0, 1):
        (folder / f"split-{fold}").mkdir()
        for part in ("train", "test"):
            held = [n for n in names if (int(n[-1]) == fold) is (part == "test")]
            lines = (f"{name}.mp4,{6 if 'Angry' in name else 7}" for name in held)
            text(folder / f"split-{fold}/{part}.txt", *lines)
    return {}


def iemocap_6(folder: Path) -> Words:
    for n in range(1, 6):
        here = folder / f"Session{n}/dialog"
        names = [f"Ses0{n}F_impro01_{who}00{turn}" for who in "FM" for turn in range(4)]
        emotions = ("ang", "hap", "neu", "fru")
        text(here / f"EmoEvaluation/Ses0{n}F_impro01.txt",
             *(f"[{i}.5 - {i + 1}.5]\t{name}\t{emotions[int(name[-1])]}\t[2.5, 2.5, 2.5]"
               for i, name in enumerate(names)))  # fmt: skip
        text(here / f"transcriptions/Ses0{n}F_impro01.txt",
             *(f"{name} [000.5-001.5]: Line {i}" for i, name in enumerate(names)))  # fmt: skip
    return {}


def meld(folder: Path) -> Words:
    """The same people in every part."""
    head = "Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID"
    for part in ("train", "dev", "test"):
        lines = [f"Hi,{who},joy,positive,{n},0" for n, who in enumerate(PEOPLE)]
        text(folder / f"{part}_sent_emo.csv", head, *lines)
    return {}


def cmu_mosei(folder: Path) -> Words:
    h5py: Any = pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    with h5py.File(folder / "labels.csd", "w") as file:
        for n in range(6):
            group = file.create_group(f"All Labels/data/video{n}")
            group["intervals"], group["features"] = [[0.0, 1], [1, 2]], [[0.5], [n - 2.0]]
    for part, numbers in (("train", (0, 1, 2, 3)), ("test", (3, 4, 5))):
        text(folder / f"{part}.txt", *(f"video{n}" for n in numbers))
    return {"split": {"train": "train.txt", "test": "test.txt"}}


def mmsa(source: Path) -> Words:
    foreign_pickles.kept(source, foreign_pickles.mmsa(aligned=True))
    return {}


def conversations(source: Path) -> Words:
    layout = next(layout for layout in LAYOUTS if layout.name == "MMGCN's MELD")
    parts: Any = ([f"a{n}" for n in range(6)], [], [f"b{n}" for n in range(6)])
    fields, held = foreign_pickles.conversations(layout.fields, parts, long=9)
    for key, marks in held["speakers"].items():
        marks[:] = [np.eye(9)[int(key[1:])].tolist() for _ in marks]
    foreign_pickles.kept(source, tuple(fields))
    return {}


def mertools(folder: Path) -> Words:
    part = {f"train_dia{d}_utt{u}": {"emo": d % 7, "val": 0} for d in range(8) for u in range(2)}
    whole: Any = {f"{split}_corpus": {name.replace("train", split): label
                  for name, label in part.items()} for split in ("train", "test")}  # fmt: skip
    np.savez(folder / "label.npz", **whole)
    return {}


CASES: dict[str, Callable[[Path], Words]] = {
    "ravdess": ravdess,
    "ravdess-song": ravdess,
    "crema-d": crema_d,
    "emodb": emodb,
    "dfew": listed,
    "mafw": listed,
    "mafw-43": listed,
    "mer2023": listed,
    "aff-wild2-va": aff_wild2,
    "aff-wild2-expr": aff_wild2,
    "aff-wild2-au": aff_wild2,
    "c-expr-db": c_expr_db,
    "c-expr-db-7": c_expr_db,
    "msp-improv": msp_improv,
    "iemocap": iemocap,
    "iemocap-6": iemocap_6,
    "meld": meld,
    "avcaffe-arousal": avcaffe,
    "avcaffe-valence": avcaffe,
    "werewolf-xl": werewolf_xl,
    "voxceleb2": voxceleb2,
    "cmu-mosei": cmu_mosei,
    "mmsa": mmsa,
    "conversations": conversations,
    "mertools": mertools,
    "folders": in_folders,
    "table": in_a_table,
    "lists": listed,
}
NAMELESS = (
    "aff-wild2-va", "aff-wild2-expr", "aff-wild2-au", "c-expr-db", "c-expr-db-7", "cmu-mosei",
    "mmsa", "mertools",
)  # fmt: skip
"""Recordings stand for people."""
OWN_CUTS = (
    "ravdess", "ravdess-song", "crema-d", "emodb", "msp-improv", "iemocap", "iemocap-6",
    "werewolf-xl",
    *NAMELESS,
)  # fmt: skip
NO_CUT = ("voxceleb2",)
leaky = pytest.mark.parametrize(
    "name", [name for name in CASES if name not in (*OWN_CUTS, *NO_CUT)]
)


def copy(name: str, folder: Path) -> tuple[Path, Words]:
    """A copy of a corpus, or of one's own clips, and the words of its import."""
    named = {"table": "clips.csv", "mmsa": "mosi.pkl", "conversations": "meld.pkl"}
    source = folder / named.get(name, "")
    words = CASES[name](source)
    for file in folder.rglob("*.wav"):  # the same content would make all of them one group
        file.write_text(f"{file.parent.name}/{file.name}")
    return source, words


def people_cut_in_two(rows: Sequence[Row]) -> list[str]:
    """Who is on both sides of any cut that a training would make."""
    found = Report()
    leaks.look(rows, [None] * len(rows), found)
    cut = [leak.what for leak in found.errors]
    folds = sorted({row.fold for row in rows if row.fold is not None})
    ways = [split.partition(rows, held_out=0.2, seed=1)]
    ways += [split.partition(rows, fold=fold, held_out=0.2) for fold in folds]
    ways += [split.partition(rows, fold=fold, folds=3) for fold in range(0 if folds else 3)]
    for parts in ways:
        sides = [
            {row.speaker or row.source for row in side}
            for side in (parts.train, parts.held_out, parts.test)
        ]
        for one, two in ((0, 1), (0, 2), (1, 2)):
            cut += [f"{who} in parts {one} and {two}" for who in sides[one] & sides[two]]
    return cut


def test_every_importer_has_a_case() -> None:
    assert tuple(CASES) == importers.NAMES


@pytest.mark.parametrize("name", CASES)
def test_nobody_is_on_both_sides_by_default(name: str, tmp_path: Path) -> None:
    source, words = copy(name, tmp_path)
    _, found = brought_in(name, source, **words)
    rows = list(found.values())
    assert all(row.source if name in NAMELESS else row.speaker for row in rows)
    assert not people_cut_in_two(rows)
    marked = any(row.split is not None or row.fold is not None for row in rows)
    assert marked is (name in OWN_CUTS)


@leaky
def test_what_is_left_out_is_said_and_may_be_kept_by_name(name: str, tmp_path: Path) -> None:
    source, words = copy(name, tmp_path)
    report, _ = brought_in(name, source, **words)
    assert "--keep-leaks" in report.text
    assert len(warned(report)["speaker leak"]) == len(PEOPLE)
    report, found = brought_in(name, source, keep_leaks=True, **words)
    assert people_cut_in_two(list(found.values()))
    assert "kept, as asked for: scores speak of what training knew" in report.text
    report, found = brought_in(name, source, **words)  # asked for each time anew
    assert not people_cut_in_two(list(found.values()))


def test_a_cut_between_whole_people_is_taken(tmp_path: Path) -> None:
    text(tmp_path / "clips.csv", "id,speaker,split,label", "a,ann,train,x", "b,bob,test,x")
    report, rows = brought_in("table", tmp_path / "clips.csv")
    assert [row.split for row in rows.values()] == ["train", "test"]
    assert not report.warnings


def test_a_recording_cut_in_two_is_no_better(tmp_path: Path) -> None:
    lines = ("a,film1,train,x", "b,film1,test,x")
    text(tmp_path / "clips.csv", "id,movie,split,label", *lines)
    report, rows = brought_in("table", tmp_path / "clips.csv", column={"source": "movie"})
    assert {row.split for row in rows.values()} == {None}
    assert warned(report)["source leak"] == ["film1"]
