"""Labels as texts: sentiment of CMU-MOSI by modality, and labels that training never met.

Vectors are frozen, so everything trains in seconds. All trainings are `mien train mer-clip`.

``mosi``
    CMU-MOSI's published vectors (bc-LSTM's 100 of words, 73 of sound, 100 of pictures) and its
    transcripts through a sentence encoder, positive or negative. The configuration is the one of a
    few that is most accurate over ten groups of training videos, for transcripts alone; it is then
    the same for every input. Each input is trained with three seeds and looks at the test part
    once; scores are means over seeds, intervals and paired differences are bootstrapped over
    videos. Beside it a logistic regression on the transcripts, its penalty from the same groups.

``labels``
    MELD's transcripts through the sentence encoder, seven emotions. The trained run answers with
    adjectives, with paraphrases and in another template; and each class in turn is left out of
    training and asked for by its name: how well does the likeness to it tell its clips from others
    (area under the curve, 0.5 is chance), and how often is it the answer? With random vectors of
    labels as the control.

    python benchmarks/label_guided.py --data ../shared/data --encoder FOLDER --out runs/labels

What is finished is kept: the same command goes on after an interruption. ``--smoke`` does all of it
once on little, which says nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mien import tasks
from mien.data.manifest import Manifest
from mien.data.split import make_folds
from mien.parts.sentences import SentenceEncoder
from mien.run import infer
from mien.run.load import load
from mien.run.train import train
from mien.tasks import intervals
from mien.tasks.paired import Pair
from mien.types import TaskSpec

Floats = NDArray[np.float64]
Rows = dict[str, list[Any]]

CHOICES = {
    "shorter": ("epochs=5", "dim=32"),
    "longer": ("epochs=10", "dim=32"),
}
LEARN = ("epochs=5", "dim=64", "batch_size=128", "lr=2e-3")  # of MELD, set once and not tuned
INPUTS: dict[str, dict[str, str]] = {
    "text": {"text": "words"},
    "audio": {"audio": "audio"},
    "visual": {"visual": "visual"},
    "all": {"text": "words", "audio": "audio", "visual": "visual"},
    "transcripts": {"text": "transcript"},
    "transcripts, audio, visual": {"text": "transcript", "audio": "audio", "visual": "visual"},
}
MELD = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")


@dataclass(frozen=True)
class Setup:
    """Where things are, and how much is done.

    Args:
        data: folder with mosi_bclstm.parquet and meld_text.
        encoder: sentence encoder, a folder or a name.
        out: where everything goes.
        seeds: of the trainings that are tested.
        rows: at most so many of each part; None: all.
        groups: of training videos.
    """

    data: Path
    encoder: str
    out: Path
    seeds: tuple[int, ...] = (0, 1, 2)
    rows: int | None = None
    groups: int = 10

    def fit(self, name: str, data: Path, *words: str, folds: bool = False, seed: int = 0) -> Path:
        """A finished run of that name."""
        place = self.out / "runs" / name
        every = (f"encoder={self.encoder}", "train.select=last", f"seed={seed}", *words)
        train(
            "mer-clip",
            preset="sentences",
            data=data,
            out=place,
            folds=folds,
            overrides=every,
            quiet=True,
        )
        return place


def embedded(setup: Setup, name: str, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors (N, D) of texts, encoded once."""
    file = setup.out / f"{name}.safetensors"
    if not file.is_file():
        opened = SentenceEncoder.open(setup.encoder)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # less padding
        found = list(opened.encode([texts[i] for i in order], batch=64))
        vectors = np.zeros((len(texts), opened.dim), np.float32)
        for i, vector in zip(order, found, strict=True):
            vectors[i] = vector.numpy()
        save_file({"vectors": vectors}, file)
    return load_file(file)["vectors"]


def written(path: Path, rows: Rows, declared: Mapping[str, Any] | None = None) -> Path:
    """A manifest of these columns."""
    pq.write_table(pa.table(rows), path)
    if declared is not None:
        path.with_name(f"{path.stem}.tasks.json").write_text(json.dumps([declared]))
    return path


def picked(rows: Rows, kept: Sequence[bool]) -> Rows:
    """Some of the rows."""
    return {k: [v for v, keep in zip(c, kept, strict=True) if keep] for k, c in rows.items()}


# -- answers and intervals -------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """Answers (K, N, C) of K trainings to the same clips."""

    spec: TaskSpec
    targets: Floats
    scores: Floats
    groups: list[str]

    @classmethod
    def of(
        cls, runs: Sequence[Path], data: Path, labels: str | Mapping[str, Any] | None = None
    ) -> Said:
        """What runs say of the test rows of a manifest."""
        every = []
        for place in runs:
            run = load(place, labels=labels)
            manifest = run.read(data)
            tested = [row for row in manifest.rows if row.split == "test"]
            found = infer.predict(run.whole, run.dataset(manifest, tested), run.specs)
            (name,) = run.specs
            every.append((run.specs[name], *found.tasks[name].pooled(), found.group))
        spec, targets, _, groups = every[0]
        return cls(spec, targets, np.stack([one[2] for one in every]), list(groups))

    def score(self, key: str) -> str:
        """A score's mean over trainings, with its interval over groups."""
        return text(*self.interval(key))

    def interval(self, key: str) -> tuple[float, float, float]:
        """Value, lower and upper end."""
        index, count, over = intervals.units(len(self.targets), None, self.groups)
        part = next(s for s in tasks.statistics(self.spec) if key in _names(s, self))
        tables = [part.totals(self.targets, one, index, count) for one in self.scores]
        drawn = intervals.resampled(tables, intervals.RESAMPLES, 0, over)
        value = np.mean([part.scores(table.sum(0))[key] for table in tables])
        sample = np.mean([part.scores(sums)[key] for sums in drawn], axis=0)
        low, high = np.quantile(sample, [0.025, 0.975])
        return float(value), float(low), float(high)

    def minus(self, other: Said, key: str) -> str:
        """The paired difference of a score, with interval and p of an exchange test."""
        pair = Pair(
            tasks.statistics(self.spec), self.targets, self.scores, other.scores, groups=self.groups
        )
        apart, test = pair.difference()[key], pair.exchange()[key]
        return f"{text(apart.value, apart.low, apart.high, sign='+')}, p {test.p:.3f}"


def _names(statistic: Any, said: Said) -> Any:
    one = np.zeros(len(said.targets), np.int64)
    return statistic.scores(statistic.totals(said.targets, said.scores[0], one, 1)[0])


def text(value: float, low: float, high: float, sign: str = "") -> str:
    """A number and its interval."""
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


# -- CMU-MOSI --------------------------------------------------------------------------------------


def mosi(setup: Setup) -> None:
    """Every modality, all of them, and transcripts; fusion against words alone."""
    every = _mosi_rows(setup)
    trained = [split == "train" for split in every["split"]]
    whole = written(setup.out / "mosi.parquet", every)
    own = picked(every, trained)
    inside = written(setup.out / "mosi_train.parquet", own)
    folds = make_folds(Manifest.read(inside).rows, setup.groups)
    own["fold"] = [folds[name] for name in own["id"]]
    inside = written(
        setup.out / "mosi_train.parquet", {k: v for k, v in own.items() if k != "split"}
    )
    chosen = _configuration(setup, inside)
    said: dict[str, Said] = {}
    for name, inputs in INPUTS.items():
        runs = [
            setup.fit(f"mosi/{name}/{seed}".replace(", ", "+"), whole, *_reads(inputs),
                      *CHOICES[chosen], seed=seed)
            for seed in setup.seeds
        ]  # fmt: skip
        said[name] = Said.of(runs, whole)
        print(f"{name:<28} accuracy {said[name].score('war')}", flush=True)
    probe = _probe(own, every, said["text"])
    print(f"{'logistic regression':<28} accuracy {probe.score('war')}")
    best = max(said, key=lambda name: said[name].interval("war")[0])
    print(f"best ({best}) minus probe    {said[best].minus(probe, 'war')}")
    print(f"transcripts minus probe      {said['transcripts'].minus(probe, 'war')}")
    print(f"all minus text               {said['all'].minus(said['text'], 'war')}")
    fused = said["transcripts, audio, visual"]
    print(f"with audio, visual minus transcripts  {fused.minus(said['transcripts'], 'war')}")


def _mosi_rows(setup: Setup) -> Rows:
    table = pq.read_table(setup.data / "mosi_bclstm.parquet").to_pydict()
    vectors = embedded(setup, "mosi", [line.lower() for line in table["transcript"]])
    rows: Rows = {
        "id": table["id"],
        "source": table["video"],
        "split": table["split"],
        "features.words": table["text"],
        "features.audio": table["audio"],
        "features.visual": table["vision"],
        "features.transcript": vectors.tolist(),
        "labels.sentiment": ["positive" if p else "negative" for p in table["positive"]],
    }
    return _fewer(rows, setup.rows)


def _fewer(rows: Rows, most: int | None) -> Rows:
    if most is None:
        return rows
    seen: dict[str, int] = {}
    kept = []
    for split in rows["split"]:
        seen[split] = seen.get(split, 0) + 1
        kept.append(seen[split] <= most)
    return picked(rows, kept)


def _reads(inputs: Mapping[str, str]) -> list[str]:
    named = [f"data.inputs.{modality}={feature}" for modality, feature in inputs.items()]
    return [f"model.modalities=[{', '.join(inputs)}]", *named]


def _configuration(setup: Setup, inside: Path) -> str:
    """The choice that is most accurate over groups of training videos, on transcripts."""
    found = {}
    for name, words in CHOICES.items():
        place = setup.fit(
            f"mosi/choice-{name}", inside, *_reads(INPUTS["transcripts"]), *words, folds=True
        )
        metrics = json.loads((place / "metrics.json").read_text())
        found[name] = metrics["tasks"]["sentiment"]["scores"]["war"]
        print(f"groups of training videos: {name:<8} accuracy {found[name]:.3f}", flush=True)
    return max(found, key=lambda name: found[name])


def _probe(own: Rows, every: Rows, like: Said) -> Said:
    """Logistic regression on the transcripts' vectors; its penalty from the same groups."""
    x, y = np.array(own["features.transcript"]), np.array(own["labels.sentiment"]) == "positive"
    fold = np.array(own["fold"])
    hits = {}
    for c in (0.01, 0.1, 1.0, 10.0):
        right = 0
        for one in set(own["fold"]):
            model = _logistic(c).fit(x[fold != one], y[fold != one])
            right += int((model.predict(x[fold == one]) == y[fold == one]).sum())
        hits[c] = right
    model = _logistic(max(hits, key=lambda c: hits[c])).fit(x, y)
    test = picked(every, [split == "test" for split in every["split"]])
    chance = model.predict_proba(np.array(test["features.transcript"]))[:, 1]
    order = [1 - chance, chance] if like.spec.labels[1] == "positive" else [chance, 1 - chance]
    same = np.repeat(np.stack(order, 1)[None], len(like.scores), 0)  # every training is the same
    return Said(like.spec, like.targets, same, like.groups)


def _logistic(c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=2000)


# -- other labels ----------------------------------------------------------------------------------


def labels(setup: Setup) -> None:
    """Paraphrased labels, and labels that training never met."""
    rows = _meld_rows(setup)
    whole = written(setup.out / "meld.parquet", rows, _declared(MELD))
    test = picked(rows, [split == "test" for split in rows["split"]])
    tested = written(setup.out / "meld_test.parquet", test, _declared(MELD))
    words = (*LEARN, "model.label_sets.emotion=meld7")
    runs = [setup.fit(f"meld/all/{seed}", whole, *words, seed=seed) for seed in setup.seeds]
    own = Said.of(runs, tested)
    print(f"MELD, own labels             weighted F1 {own.score('weighted_f1')}", flush=True)
    template = {"labels": list(MELD), "templates": ["the feeling of this person is {label}"]}
    for given in ("meld7_adjectives", "meld7_paraphrased", template):
        other, name = Said.of(runs, tested, given), given if isinstance(given, str) else "template"
        for key in ("weighted_f1", "war"):
            print(f"{name} {key} {other.score(key)}, minus own {other.minus(own, key)}", flush=True)
    for name in MELD:
        for kind in ("sentences", "random"):
            _held_out(setup, rows, tested, name, kind)


def _held_out(setup: Setup, rows: Rows, tested: Path, name: str, kind: str) -> None:
    """Train without a class, then ask for it by name."""
    rest = tuple(label for label in MELD if label != name)
    kept = [label != name for label in rows["labels.emotion"]]
    path = written(setup.out / f"meld-{name}.parquet", picked(rows, kept), _declared(rest))
    words = [*LEARN]
    if kind == "random":
        words += ["encoder=random"]
    runs = [setup.fit(f"meld/{name}-{kind}/{seed}", path, *words, seed=seed)
            for seed in setup.seeds[:1]]  # fmt: skip
    said = Said.of(runs, tested, "meld7")
    column = said.spec.labels.index(name)
    truth, likely = said.targets == column, said.scores[0][:, column]
    area = _over_groups(said.groups, lambda i: float(roc_auc_score(truth[i], likely[i])))
    recall = said.scores[0].argmax(1)[truth] == column
    print(
        f"without {name:<9} {kind:<10} area {text(*area)}   its answer to {recall.mean():.2f} "
        f"of its own {truth.sum()}",
        flush=True,
    )


def _over_groups(
    groups: Sequence[str], score: Callable[[Any], float]
) -> tuple[float, float, float]:
    """A score of all answers, and its interval when groups are drawn again."""
    random = np.random.default_rng(0)
    names, owner = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(owner == i) for i in range(len(names))]
    drawn = []
    for _ in range(300):
        chosen = random.integers(len(names), size=len(names))
        drawn.append(score(np.concatenate([members[i] for i in chosen])))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return score(np.arange(len(groups))), float(low), float(high)


def _meld_rows(setup: Setup) -> Rows:
    rows: Rows = {name: [] for name in ("id", "dialogue", "split", "labels.emotion")}
    said = []
    for part in ("train", "test"):
        with (setup.data / f"meld_text/{part}_sent_emo.csv").open(encoding="utf-8") as file:
            for line in csv.DictReader(file):
                talk = f"{part}{line['Dialogue_ID']}"
                rows["id"].append(f"{talk}_{line['Utterance_ID']}")
                rows["dialogue"].append(talk)
                rows["split"].append(part)
                rows["labels.emotion"].append(line["Emotion"])
                said.append(line["Utterance"].replace("\x92", "'"))
    rows["features.text"] = embedded(setup, "meld", said).tolist()
    return _fewer(rows, setup.rows)


def _declared(names: Sequence[str]) -> dict[str, Any]:
    return {"name": "emotion", "problem": "one_of_n", "labels": list(names)}


PARTS = {"mosi": mosi, "labels": labels}


def main() -> None:
    """Read the words, run the parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/labels"))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    setup = Setup(given.data, given.encoder, given.out)
    if given.smoke:
        setup = Setup(given.data, given.encoder, given.out, seeds=(0,), rows=150, groups=2)
    setup.out.mkdir(parents=True, exist_ok=True)
    for name in given.parts.split(","):
        began, busy = time.monotonic(), time.process_time()
        PARTS[name](setup)
        print(f"[{name}: {time.process_time() - busy:.0f} s of CPU, "
              f"{time.monotonic() - began:.0f} s]\n", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
