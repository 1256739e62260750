"""What MERTools keeps of a corpus: labels in an npz, and a file of vectors for each clip."""

from __future__ import annotations

import dataclasses
import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mien.data import pickled
from mien.data.findings import Report
from mien.data.rows import FeatureRef, Row, Split
from mien.errors import ConfigError, DataError
from mien.importers import cuts, iemocap, orders
from mien.importers.classes import Classes
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.sayings import clean
from mien.importers.search import Search

_MEMBERS: Mapping[str, Split | None] = {
    "train_corpus": "train", "val_corpus": "val", "test_corpus": "test", "whole_corpus": None,
}  # fmt: skip
_BYTES = 2**28  # of the labels of a corpus, unpacked
_TURN = re.compile(r"((?:train|val|dev|test)_dia[0-9]+)_utt([0-9]+)")
_MOST = 3.0
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, SyntaxError, RuntimeError),
    MemoryError,
)
"""What zipfile and numpy raise of a damaged file."""
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(wish: Wish) -> Found:
    """Rows of all clips that the labels name, with those of their vectors that are there."""
    report, notes = Report(), list[str]()
    file = _file(wish)
    held = _corpus(file)
    sides = cuts.settle(
        {s: list(part) for s, part in held.items() if s is not None}, report, "clips"
    )
    labels = {name: label for part in held.values() for name, label in part.items()}
    folders = _folders(wish, file, notes)
    classes = _classes(labels, wish, notes)
    scored = _scored(labels)
    rows = []
    for name, label in labels.items():
        called = classes.name(_word(label["emo"])) if classes is not None else None
        score = label.get("val")
        found: dict[str, Any] = {} if called is None else {"emotion": called}
        if scored and isinstance(score, int | float) and abs(score) <= _MOST:
            found["sentiment"] = float(score)
        row = Row(
            id=name,
            features=_features(name, folders, wish, report),
            split=sides.get(name),
            labels=found,
        )
        rows.append(dataclasses.replace(row, **_called(name, scored=scored)))
    tasks = {} if classes is None else {"emotion": classes.task("emotion")}
    if scored:
        tasks["sentiment"] = orders.score(most=_MOST)
    if classes is not None and classes.names == orders.MELD.others["MERTools"]:
        tested = [str(row.labels.get("emotion")) for row in rows if row.split == "test"]
        said = orders.judge(orders.MELD, tested, report)
        notes += [said] if said else []
    return Found(rows=rows, tasks=tasks, report=report, notes=notes)


def _called(name: str, *, scored: bool) -> dict[str, Any]:
    """What the name of a clip says: MELD's dialogues, IEMOCAP's actors, videos of MOSI."""
    if turn := _TURN.fullmatch(name):
        return {"dialogue": turn[1], "source": turn[1], "turn": int(turn[2])}
    if match := iemocap.NAME.fullmatch(name):
        return {
            "speaker": f"Ses{match['session']}{match['who']}",
            "dialogue": match["dialogue"],
            "source": match["dialogue"],
            "fold": int(match["session"]) - 1,
        }
    video = name.rpartition("_")[0]
    return {"source": video} if scored and video else {}


# -- labels ----------------------------------------------------------------------------------------


def _file(wish: Wish) -> Path:
    if wish.source.is_file():
        return wish.source
    found = sorted(wish.source.glob("*.npz"))
    if len(found) != 1:
        raise DataError(
            f"there are {len(found)} files .npz in this folder",
            where=str(wish.source),
            fix="name the labels themselves: mien data import mertools FOLDER/label.npz",
        )
    return found[0]


def _corpus(file: Path) -> dict[Split | None, dict[str, dict[str, Any]]]:
    """Part -> clip -> ``{"emo": ..., "val": ...}``."""
    found: dict[Split | None, dict[str, dict[str, Any]]] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for name, split in _MEMBERS.items():
                if f"{name}.npy" in archive.namelist():
                    found[split] = _labels(_member(archive, f"{name}.npy"), name)
    except DataError as error:
        raise DataError(error.what, where=str(file), fix=error.fix) from error
    except _BROKEN as error:
        raise DataError(f"this is not an npz file: {error}", where=str(file)) from error
    if not any(found.values()):
        raise DataError(f"there is none of {', '.join(_MEMBERS)} in this file", where=str(file))
    return found


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as packed:
        data = packed.read(_BYTES + 1)
    if len(data) > _BYTES:
        raise DataError(f"{name} is larger than the labels of any corpus")
    return data


def _labels(data: bytes, name: str) -> dict[str, dict[str, Any]]:
    """The labels of a part, from an array of one object: a pickle, which is not executed."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise DataError(f"{name} is an npy file of version {version}")
    shape, _, dtype = _HEADERS[version](file)
    if not dtype.hasobject or shape != ():
        raise DataError(f"{name} is an array of {dtype} of the shape {shape}, not a dictionary")
    value = pickled.read(file, len(data))
    if not isinstance(value, dict):
        raise DataError(f"{name} is no dictionary of clips")
    for clip, label in value.items():
        if not isinstance(clip, str) or not isinstance(label, dict) or "emo" not in label:
            raise DataError(f"{name} has something else than labels of {str(clip)[:50]!r}")
    return {clean(clip) or "": label for clip, label in value.items()}


def _word(label: Any) -> str:
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    found = clean(label) if isinstance(label, str) else None
    if isinstance(label, int) and abs(label) < 2**31:
        found = str(label)
    if found is None:
        raise DataError(f"a label is a {type(label).__name__} that is no class")
    return found


def _classes(
    labels: Mapping[str, Mapping[str, Any]], wish: Wish, notes: list[str]
) -> Classes | None:
    """The emotions; None where each clip has the same one, as in corpora of sentiment."""
    words = [_word(label["emo"]) for label in labels.values()]
    if len(set(words)) == 1 and not wish.options.labels:
        return None
    named = wish.options.labels
    order = orders.MELD.others["MERTools"]
    if not named and any(_TURN.fullmatch(name) for name in labels):
        named = order
        notes.append(
            f"emotions as MERTools counts MELD's: {', '.join(order)}; --labels says another"
        )
    numbers = [word for word in words if re.fullmatch(r"-?[0-9]+", word)]
    if numbers and not named:
        raise DataError(
            "nothing in this file says which emotion a number means",
            fix="--labels A,B,C names them in the order of their numbers",
        )
    found = Classes.of(words, named, first=0 if numbers else None)
    notes += found.notes
    return found


def _scored(labels: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether ``val`` is a sentiment here: it differs, and is within the range of one."""
    values = [label.get("val") for label in labels.values()]
    numbers = [v for v in values if isinstance(v, int | float) and abs(v) <= _MOST]
    return len(set(numbers)) > 1 and 2 * len(numbers) > len(values)


# -- features --------------------------------------------------------------------------------------


def _folders(wish: Wish, file: Path, notes: list[str]) -> dict[str, Path]:
    """Feature -> the folder of its files, as somebody said."""
    base = Search.of(wish).base
    found = {}
    for name, folder in wish.options.column.items():
        kind, _, feature = name.partition(".")
        if kind != "features" or not feature:
            raise ConfigError(
                f"a folder of vectors is a feature, not {name!r}",
                fix="--column features.text=features/FOLDER",
            )
        found[feature] = base / folder
        if not found[feature].is_dir():
            raise DataError("there is no such folder", where=str(found[feature]))
    if not found:
        inner = (path for path in (file.parent, file.parent / "features") if path.is_dir())
        there = sorted(path.name for place in inner for path in place.iterdir() if path.is_dir())
        notes.append(
            "vectors are taken by name, --column features.text=features/FOLDER"
            + (f"; here are {', '.join(there[:8])}" if there else "")
        )
    return found


def _features(
    name: str, folders: Mapping[str, Path], wish: Wish, report: Report
) -> dict[str, FeatureRef]:
    found: dict[str, FeatureRef] = {}
    for feature, folder in folders.items():
        path = folder / f"{name}.npy"
        if "/" in name or not path.is_file():
            report.warn("missing", f"clips without a file of {feature}", name)
        else:
            found[feature] = wish.place.relative(path)
    return found


CORPUS = Corpus(
    name="mertools",
    title="Labels and vectors of MERTools",
    about="label.npz and a folder of .npy files for each extractor, as MERTools keeps any corpus",
    read=read,
    takes=("column", "labels", "media", "licence", "keep_leaks"),
    layout="label.npz with train_corpus, val_corpus and test_corpus, or whole_corpus: clip -> emo "
    "and val. Vectors as FOLDER/CLIP.npy, named by --column features.NAME=FOLDER. The pickles in "
    "the npz are read without executing them",
    verified="no real copy: files made up for its tests, with keys as others report them",
    folds="none of its own: the parts of the file",
    apply="its repository on GitHub says which corpora it has",
    cite="Lian and others, MERBench, https://arxiv.org/abs/2401.03429",
    command="label.npz --column features.text=features/TEXT --column features.audio=features/AUDIO",
)
