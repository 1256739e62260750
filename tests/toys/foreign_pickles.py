"""Made-up files in the layouts that other people's code reads: MMSA, and pickles of dialogues."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {"train": 6, "valid": 3, "test": 4}


def mmsa(
    *,
    aligned: bool,
    sizes: dict[str, int] | None = None,
    wide: dict[str, int] | None = None,
    tokens: int = 7,
    seed: int = 0,
) -> dict[str, Any]:
    """A dictionary as MMSA's pickles hold it.

    Args:
        aligned: sound and picture beside the tokens, without lengths of their own.
        sizes: clips of each part.
        wide: width of each feature.
        tokens: positions of the texts.
        seed: of all numbers.
    """
    rng = np.random.default_rng(seed)
    wide = {"text": 8, "audio": 5, "vision": 4} | (wide or {})
    long = {"text": tokens, "audio": tokens if aligned else 11, "vision": tokens if aligned else 9}
    made: dict[str, Any] = {}
    for split, count in (SIZES if sizes is None else sizes).items():
        said = rng.integers(2, tokens + 1, count)
        bert = np.zeros((count, 3, tokens))
        bert[:, 0] = rng.integers(100, 9_000, (count, tokens))
        bert[:, 1] = np.arange(tokens) < said[:, None]
        scores = np.round(rng.uniform(-3, 3, count), 1)
        scores[0] = 0.0
        part: dict[str, Any] = {
            "raw_text": np.array([f"it\x92s number {n}" for n in range(count)]),
            "id": np.array([f"{split}video{n // 2}$_${n}" for n in range(count)]),
            "text_bert": bert,
            "annotations": ["Negative" if y < 0 else "Positive" for y in scores],
            "classification_labels": np.where(scores < 0, 0.0, 2.0),  # wrong at zero
            "regression_labels": scores,
        }
        for key, width in wide.items():
            kind: Any = np.float32 if key == "text" else np.float64
            part[key] = rng.normal(size=(count, long[key], width)).astype(kind)
        part["audio"][0, 0, 0] = -np.inf
        part["vision"][-1, 0, 1] = np.nan
        if not aligned:
            for key in ("audio", "vision"):
                part[f"{key}_lengths"] = rng.integers(1, long[key] + 1, count).tolist()
        made[split] = part
    return made


def kept(path: Path, value: Any, protocol: int = 4) -> Path:
    """A value as a pickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(value, file, protocol)
    return path


# -- conversations ---------------------------------------------------------------------------------

MELD_PARTS = (["a0", "a1", "a2"], ["b0"], ["c0", "c1"])
IEMOCAP_PARTS = (
    ["Ses01F_impro01", "Ses02M_script01_3", "Ses03F_impro02"],
    ["Ses04M_impro07"],
    ["Ses05F_impro01", "Ses05M_script02_2"],
)
WIDE = {"text": 6, "text2": 6, "text3": 6, "text4": 6, "audio": 4, "visual": 3}


def conversations(
    fields: tuple[str, ...],
    parts: tuple[list[Any], list[Any], list[Any]],
    *,
    classes: int = 7,
    form: str = "list",
    long: int = 4,
    seed: int = 0,
) -> tuple[list[Any], dict[str, Any]]:
    """The fields of a pickle, in their order, and the same by their names.

    Args:
        fields: as :mod:`mien.importers.layouts` calls them.
        parts: dialogues of train, val and test; without a list of its own, val is in train's.
        classes: how many emotions there are.
        form: how vectors are kept: ``list`` (an array an utterance), ``array`` (one a dialogue), or
            ``plain`` (lists of numbers).
        long: how many utterances a dialogue may have.
        seed: of all numbers.
    """
    rng = np.random.default_rng(seed)
    train, val, test = parts
    sessions = str(train[0]).startswith("Ses")
    made: dict[str, Any] = {name: {} for name in (*WIDE, "ids", "speakers", "emotion", "sentiment",
                                                  "sentence", "other")}  # fmt: skip
    for key in (*train, *val, *test):
        count = int(rng.integers(1, long + 1))
        made["ids"][key] = [f"{key}_F{n:03d}" if sessions else n for n in range(count)]
        letters = ["M" if n % 2 else "F" for n in range(count)]
        marks = np.eye(9, dtype=int)[rng.integers(0, 9, count)].tolist()
        made["speakers"][key] = letters if sessions else marks
        made["emotion"][key] = rng.integers(0, classes, count).tolist()
        made["sentiment"][key] = rng.integers(0, 3, count).tolist()
        made["sentence"][key] = [f"caf\xc3\xa9 {key} {n}" for n in range(count)]  # misread UTF-8
        for name, width in WIDE.items():
            whole = rng.normal(size=(count, width)).astype(np.float32)
            forms = {"list": list(whole), "array": whole, "plain": whole.tolist()}
            made[name][key] = forms[form]
    made |= {"train": train if "val" in fields else [*train, *val], "val": val, "test": test}
    return [made[name] for name in fields], made
