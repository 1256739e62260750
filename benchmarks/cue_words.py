"""How much of what was measured do words keep? A plain classifier over prompts, and over numbers.

A logistic regression over the phrases of each prompt (TF-IDF), trained and scored over the folds of
the manifest, against the same over the levels of the voice, the facial values as they are, and the
facial values by speaker. Prints unweighted average recalls of all folds together. See docs/cues.md
for how the manifests are made.

    python benchmarks/cue_words.py ravdess_au.cues.jsonl [--face au] [--root ..]
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mien.cues import files
from mien.cues.measures import MEASURES
from mien.data import features
from mien.data.manifest import Manifest

Values = NDArray[np.float64]


def phrases(text: str) -> list[str]:
    """The items of all lists of a prompt, with what stands before the first of each."""
    return [part.strip(" .") for part in re.split(r"[,|]|\. ", text)]


def score(inputs: Any, labels: Values, folds: Values, make: Callable[[], Any]) -> float:
    """Unweighted average recall over rows, each fold answered by a model of the others."""
    answers = np.empty_like(labels)
    for fold in sorted(set(folds.tolist())):
        train = [x for x, f in zip(inputs, folds, strict=True) if f != fold]
        test = [x for x, f in zip(inputs, folds, strict=True) if f == fold]
        answers[folds == fold] = make().fit(train, labels[folds != fold]).predict(test)
    return float(balanced_accuracy_score(labels, answers))


def of_words() -> Any:
    """Phrases to classes."""
    return make_pipeline(TfidfVectorizer(analyzer=phrases), LogisticRegression(C=3, max_iter=500))


def of_numbers() -> Any:
    """Numbers to classes."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=1, max_iter=500))


def levels(cues_file: Path) -> Values:
    """The mean level of each measure of the voice, by row, (N, 10); 0 where there is none."""
    rows = []
    for cues in files.read(cues_file):
        known = [(h.name, h.score) for h in cues.prosody or () if h.score is not None]
        by_name = {name: [s for n, s in known if n == name] for name in MEASURES}
        rows.append([float(np.mean(scores)) if scores else 0.0 for scores in by_name.values()])
    return np.array(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--face", help="the feature that holds facial values")
    parser.add_argument("--task", default="emotion")
    parser.add_argument("--root")
    given = parser.parse_args()
    manifest = Manifest.read(given.manifest, root=given.root)
    rows = manifest.rows
    labels = np.array([str(row.labels[given.task]) for row in rows])
    folds = np.array([row.fold for row in rows])
    voice = levels(given.manifest.with_suffix("") / "cues.jsonl")
    found = {"words": score([row.text or "" for row in rows], labels, folds, of_words)}
    found["voice, levels"] = score(voice, labels, folds, of_numbers)
    if given.face:
        face = np.stack([
            np.asarray(features.load(row.features[given.face], row.place or manifest.place))
            for row in rows
        ]).reshape(len(rows), -1)  # fmt: skip
        usual = np.empty_like(face)
        whose = np.array([row.speaker for row in rows])
        for name in set(whose.tolist()):
            mine = face[whose == name]
            usual[whose == name] = (mine - mine.mean(0)) / (mine.std(0) + 1e-6)
        found["face"] = score(face, labels, folds, of_numbers)
        found["face, levels"] = score(usual, labels, folds, of_numbers)
        found["face and voice"] = score(np.hstack([face, voice]), labels, folds, of_numbers)
        found["face and voice, levels"] = score(
            np.hstack([usual, voice]), labels, folds, of_numbers
        )
    for name, value in found.items():
        print(f"{name:24} {value:.3f}")


if __name__ == "__main__":
    main()
