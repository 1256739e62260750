"""Words against numbers, and words alone: the textualized system on RAVDESS and on MELD.

``ravdess``: six folds by actor. A text encoder, all of it tuned, reads the cues of a clip in words
(face and voice); the numbers behind the same words go to a logistic regression and to a small net.
The control reads words that were shuffled between clips. Which settings of the numbers' models are
taken is chosen by whole actors within train, as the encoder's epoch is. Intervals and differences
over actors.

``meld``: the published split, a seed at a time; the epoch is chosen on dev, weighted F1 on test.
``alone`` reads an utterance, ``context`` also who says it and what was said before.

Cues come from `mien data cues`, with `features.au` of the rows and their sound; beside the manifest
that it writes lies a folder with the numbers:

    mien data cues ravdess.jsonl --face-values au=openface --out ravdess.cues.jsonl
    python benchmarks/textualized.py ravdess --cues ravdess.cues.jsonl --model FOLDER --out runs/tx
    python benchmarks/textualized.py meld --data shared/data/meld_text --model FOLDER --out runs/tm

What is finished is kept: give the same command again after an interruption. ``--smoke`` runs all of
it once on made-up rows with a network of random weights, too little to learn from.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from mien import tasks
from mien.data.manifest import Manifest, infer_tasks
from mien.run import compare, outside, score
from mien.run.infer import Answers, Predictions
from mien.run.train import train
from mien.types import Specs

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]

TASK = "emotion"
NUMBERS: Mapping[str, tuple[Any, dict[str, list[Any]]]] = {
    "logistic": (LogisticRegression(max_iter=2000), {"C": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]}),
    "net": (
        MLPClassifier(max_iter=300, random_state=0),
        {"hidden_layer_sizes": [(32,), (128,)], "alpha": [0.01, 0.1, 1.0, 10.0]},
    ),
}
"""What reads numbers, and the settings that are tried."""


# -- RAVDESS: words and numbers --------------------------------------------------------------------


def read(path: Path) -> Rows:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def write(path: Path, rows: Rows) -> Path:
    """Rows as a manifest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def worded(rows: Rows) -> Rows:
    """What is read of a row: its words. A recording is nobody's business here."""
    kept = ("id", "text", "speaker", "fold")
    return [{n: row[n] for n in kept} | {"labels": {TASK: row["labels"][TASK]}} for row in rows]


def shuffled(rows: Rows, seed: int = 0) -> Rows:
    """The same with words of another clip of the same fold."""
    luck, made = random.Random(seed), list(rows)
    for fold in sorted({row["fold"] for row in rows}):
        places = [i for i, row in enumerate(rows) if row["fold"] == fold]
        for place, other in zip(places, luck.sample(places, len(places)), strict=True):
            made[place] = rows[place] | {"text": rows[other]["text"]}
    return made


def numbers(cues: Rows) -> tuple[Floats, list[str]]:
    """The numbers behind the words, (clips, values), NaN where nothing was measured; their names.

    Of a face the highest of each unit and strength; of a voice the mean of each measure over its
    stretches of speech, as measured and against what is usual for the speaker.
    """
    found: list[dict[str, float]] = []
    for clip in cues:
        values: dict[str, float] = {}
        for face in clip.get("faces") or ():
            for kind in ("units", "strengths"):
                for name, value in face.get(kind, {}).items():
                    values[f"{kind}.{name}"] = max(value, values.get(f"{kind}.{name}", 0.0))
        heard: dict[str, list[float]] = {}
        for one in clip.get("prosody") or ():
            for kind in ("value", "score"):
                if one.get(kind) is not None:
                    heard.setdefault(f"{kind}.{one['name']}", []).append(one[kind])
        found.append(values | {name: float(np.mean(them)) for name, them in heard.items()})
    names = sorted({name for values in found for name in values})
    return np.array([[values.get(n, np.nan) for n in names] for values in found]), names


def answer(kind: str, x: Floats, y: NDArray[np.str_], who: Sequence[str], test: Floats) -> Floats:
    """Scores (N, C) of clips that were left out, by what suits whole people within train best."""
    usual = np.nanmean(x, 0)
    filled = [np.where(np.isnan(part), usual, part) for part in (x, test)]
    gaps = np.isnan(x).any(0)
    both = [np.hstack([f, np.isnan(p)[:, gaps]]) for f, p in zip(filled, (x, test), strict=True)]
    model, grid = NUMBERS[kind]
    search = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("model", model)]),
        {f"model__{name}": values for name, values in grid.items()},
        scoring="balanced_accuracy",
        cv=GroupKFold(min(4, len(set(who)))),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the best of them is what counts
        search.fit(both[0], y, groups=who)
    return np.asarray(search.predict_proba(both[1]), np.float64)


def by_numbers(kind: str, rows: Rows, x: Floats, out: Path) -> dict[str, Any]:
    """All folds by numbers, kept beside the runs."""
    manifest = Manifest.read(write(out.with_suffix(".jsonl"), list(rows)))
    specs = {TASK: infer_tasks(manifest, tasks.NAMED)[TASK]}  # in the order of the other arms
    labels = specs[TASK].labels
    columns = [sorted(labels).index(label) for label in labels]  # scikit-learn sorts its classes
    y = np.array([row["labels"][TASK] for row in rows])
    folds, members = np.array([row["fold"] for row in rows]), list[Path]()
    for fold in sorted(set(folds.tolist())):
        members.append(out / f"fold-{fold}")
        if (members[-1] / "card.json").is_file():
            continue
        train_on, asked = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        who = [rows[i]["speaker"] for i in train_on]
        scores = answer(kind, x[train_on], y[train_on], who, x[asked])[:, columns]
        found = _predictions([rows[i] for i in asked], scores, specs)
        outside.keep(members[-1], found, specs, system=kind, fold=fold)
    score.summarise(out, members)
    return score.evaluate(out)


def _predictions(rows: Rows, scores: Floats, specs: Specs) -> Predictions:
    labels = specs[TASK].labels
    return Predictions(
        ids=[row["id"] for row in rows],
        group=[row["speaker"] for row in rows],
        groups={"speaker": [[row["speaker"]] for row in rows]},
        tasks={
            TASK: Answers(
                scores=[one[None] for one in scores],
                targets=[np.array([float(labels.index(r["labels"][TASK]))]) for r in rows],
            )
        },
    )


def ravdess(
    cues: Path, model: str | None, out: Path, arms: Sequence[str], words: list[str]
) -> dict[str, Any]:
    """All arms that are asked for, and what they differ by."""
    rows = worded(read(cues))
    texts = {"text": rows, "shuffled": shuffled(rows)}
    scored: dict[str, Any] = {}
    for arm in arms:
        if arm in texts:
            data = write(out / f"{arm}.jsonl", texts[arm])
            scored[arm] = _trained(data, out / arm, model, words, folds=True)
        else:
            beside = {row["id"]: row for row in read(_numbers_of(cues))}
            x, names = numbers([beside[row["id"]] for row in rows])
            print(f"{len(names)} numbers a clip, {np.isnan(x).mean():.1%} of them not measured")
            scored[arm] = by_numbers(arm, rows, x, out / arm)
        print(f"\n{arm}\n{score.table(scored[arm])}", flush=True)
    others = [arm for arm in arms if arm != "text"]
    if "text" in arms and others:
        found = compare.compare(out / "text", [out / arm for arm in others])
        print("\n" + compare.table(found))
        scored["differences"] = found["pairs"]
    (out / "ravdess.json").write_text(json.dumps(scored, indent=2))
    return scored


def _numbers_of(cues: Path) -> Path:
    return cues.with_name(cues.name.removesuffix(cues.suffix)) / "cues.jsonl"


def _trained(
    data: Path, out: Path, model: str | None, words: list[str], **more: Any
) -> dict[str, Any]:
    own = [f"text={model}"] if model else []
    preset = "encoder" if model else "tiny"
    return train("textualized", data=data, out=out, preset=preset, overrides=[*own, *words], **more)


# -- MELD: words alone -----------------------------------------------------------------------------


def utterances(folder: Path, context: int) -> Rows:
    """MELD's transcripts as rows; with what was said before, the nearest first."""
    rows = []
    for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
        with (folder / f"{name}_sent_emo.csv").open(encoding="utf-8", errors="replace") as file:
            lines = list(csv.DictReader(file))
        talks: dict[str, list[dict[str, str]]] = {}
        for line in sorted(lines, key=lambda one: int(one["Utterance_ID"])):
            talks.setdefault(line["Dialogue_ID"], []).append(line)
        for number, talk in talks.items():
            for place, line in enumerate(talk):
                rows.append(
                    {
                        "id": f"{split}-{number}-{line['Utterance_ID']}",
                        "split": split,
                        "dialogue": f"{split}-{number}",
                        "text": told(talk[max(0, place - context) : place + 1], context),
                        "labels": {TASK: line["Emotion"]},
                    }
                )
    return rows


def told(talk: Sequence[Mapping[str, str]], context: int) -> str:
    """The last utterance, and those before it where context is wanted."""
    if not context:
        return talk[-1]["Utterance"]
    said = [f"{line['Speaker']}: {line['Utterance']}" for line in reversed(talk)]
    return " | before: ".join([said[0], " | ".join(said[1:])]) if len(said) > 1 else said[0]


def meld(
    data: Path,
    model: str | None,
    out: Path,
    arms: Sequence[str],
    seeds: list[int],
    words: list[str],
) -> dict[str, Any]:
    """Each arm over its seeds."""
    scored: dict[str, Any] = {}
    for arm, context, longest in (("alone", 0, 32), ("context", 3, 64)):
        if arm not in arms:
            continue
        manifest = write(out / f"{arm}.jsonl", utterances(data, context))
        own = ["train.metric=weighted_f1", f"longest={longest}", *words]
        scored[arm] = [
            _trained(manifest, out / arm / f"seed-{seed}", model, [*own, f"seed={seed}"])
            for seed in seeds
        ]
        f1 = [found["tasks"][TASK]["scores"]["weighted_f1"] for found in scored[arm]]
        print(f"{arm}: test weighted F1 {np.mean(f1):.4f}, seeds {np.round(f1, 4)}", flush=True)
    (out / "meld.json").write_text(json.dumps(scored, indent=2))
    return scored


# -- made-up rows ----------------------------------------------------------------------------------


def made_up(folder: Path) -> tuple[Path, Path]:
    """Cues of six people in two folds, and a talk in MELD's tables."""
    luck, rows, cues = random.Random(0), Rows(), Rows()
    for n in range(48):
        label = ("sad", "glad")[n % 2]  # not in the order of the alphabet
        value = luck.random() / 2 + (n % 2) / 2
        rows.append(
            {
                "id": f"c{n}", "text": f"Face: {'lips up' if n % 2 else 'brows down'} {n % 5}",
                "speaker": f"p{n // 8}", "fold": n // 24, "labels": {TASK: label},
            }
        )  # fmt: skip
        heard = [{"name": "pitch", "value": 100 + 50 * value, "score": None if n % 7 else value}]
        face = {"units": {"AU12": value}, "strengths": {"AU04": 1 - value}}
        cues.append({"id": f"c{n}", "faces": [face], "prosody": heard})
    path = write(folder / "made.cues.jsonl", rows)
    write(_numbers_of(path), cues)
    head = ["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"]
    for name, talks in (("train", 8), ("dev", 3), ("test", 3)):
        with (folder / f"{name}_sent_emo.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(head)
            for n in range(4 * talks):
                word, emotion = (("Great!", "joy"), ("Oh no.", "sadness"))[n % 2]
                table.writerow([f"{word} {n}", "AB"[n % 2], emotion, n // 4, n % 4])
    return path, folder


def smoke() -> None:
    """All of it once."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        cues, tables = made_up(home)
        words = ["epochs=1", "batch_size=4"]
        arms = ("text", "shuffled", *NUMBERS)
        found = ravdess(cues, None, home / "ravdess", arms, words)
        assert set(found) == {*arms, "differences"}
        assert found["logistic"]["tasks"][TASK]["scores"]["uar"] > 0.9  # they say it all
        meld(tables, None, home / "meld", ("alone", "context"), [0, 1], words)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["ravdess", "meld"], nargs="?")
    parser.add_argument("--cues", type=Path, help="manifest of mien data cues")
    parser.add_argument("--data", type=Path, help="folder of MELD's tables")
    parser.add_argument("--model", help="a text encoder: folder or name")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--arms", help="such as text,logistic (default: all)")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings of the system")
    given = parser.parse_intermixed_args()
    if given.smoke:
        smoke()
        return
    if given.what is None or given.out is None or given.model is None:
        parser.error("what, --model and --out are needed, or --smoke")
    if given.what == "ravdess":
        arms = (given.arms or ",".join(["text", "shuffled", *NUMBERS])).split(",")
        ravdess(given.cues, given.model, given.out, arms, given.words)
    else:
        seeds = [int(seed) for seed in given.seeds.split(",")]
        arms = (given.arms or "alone,context").split(",")
        meld(given.data, given.model, given.out, arms, seeds, given.words)


if __name__ == "__main__":
    main()
