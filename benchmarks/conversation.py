"""Does the conversation help? M2FNet on MELD's transcripts, and on two modalities of its dev part.

::

    python benchmarks/conversation.py meld --data meld_text --encoder MINILM --out runs/meld
    python benchmarks/conversation.py meld ... --arms fine-tuned --seeds 0
    python benchmarks/conversation.py folds --data meld_dev_features.parquet --out runs/folds

``meld`` answers the 2,610 utterances of the test part: alone, with neighbours, and through the
dialogue network, over three seeds. The dev part chooses the epoch. The bar is a logistic regression
on the sentence vectors of single utterances. The control is the dialogue network in dialogues whose
utterances were thrown together at random, within each part. ``frozen`` arms encode every utterance
once, then train for about a minute each; ``fine-tuned`` ones train the encoder for each seed, alone
and with neighbours: two hours on one core.

``folds`` cuts MELD's dev part into five folds by dialogue, and answers from text, from sound and
from both. Its text vectors come from a RoBERTa that was tuned on MELD's train part.

Differences are those of weighted F1 over all utterances, means over seeds; intervals draw
dialogues, and so does the exchange test. ``--smoke`` runs it all on a few dialogues: too little to
learn from.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from mien import config, tasks
from mien.data.batch import RowDataset
from mien.data.manifest import Inline, Manifest, Row
from mien.parts.model import Model
from mien.run import infer, vectors
from mien.run.train import train
from mien.systems import m2fnet
from mien.tasks.conversation import MELD
from mien.tasks.paired import Pair
from mien.types import TaskSpec, Unit

Floats = NDArray[np.float64]
Answers = dict[str, Floats]
"""Scores (C) by row."""

PARTS = {"train": "train", "dev": "val", "test": "test"}
ARMS = ("single", "neighbours", "dialogue", "dialogue, neighbours", "dialogue, shuffled")
FEW = 12  # dialogues of a part in a smoke run
ALONE = ("layers=0", "fusions=0", "positions=false")
SINGLE = ("model.neighbours=0", "model.pool=all")
AROUND = ("model.neighbours=1", "model.pool=own")


# -- data ------------------------------------------------------------------------------------------


def transcripts(data: Path, out: Path, *, smoke: bool) -> Manifest:
    """MELD's three tables as one manifest; utterances in the order of their ids."""
    rows = []
    for part, split in PARTS.items():
        with (data / f"{part}_sent_emo.csv").open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                talk, turn = int(line["Dialogue_ID"]), int(line["Utterance_ID"])
                if smoke and talk >= FEW:
                    continue
                rows.append(
                    {
                        "id": f"{part}-{talk}-{turn}", "dialogue": f"{part}-{talk}", "turn": turn,
                        "speaker": line["Speaker"], "text": line["Utterance"], "split": split,
                        "labels": {"emotion": line["Emotion"]},
                    }
                )  # fmt: skip
    path = out / "meld.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (out / "meld.tasks.json").write_text(json.dumps([MELD.to_dict()]), encoding="utf-8")
    return Manifest.read(path)


@torch.inference_mode()
def encoded(manifest: Manifest, encoder: Path, words: Sequence[str], goal: Path) -> Manifest:
    """The manifest with a frozen encoder's vector of each utterance, made once."""
    if not goal.exists():
        settings = config.resolve(
            "m2fnet", preset="laptop", overrides=[f"model.words={encoder}", "tune=false", *words]
        )
        stage = m2fnet.STAGES["text"]
        model = stage.build(settings.model, {})
        assert isinstance(model, Model)
        model.eval()
        rows = sorted(manifest.rows, key=lambda row: len(row.text or ""))  # less padding
        reach = stage.context(settings.model) if stage.context is not None else None
        read = RowDataset(rows, manifest, {"text": "text"}, {}, Unit.TEXT, reach)
        found: dict[str, Inline] = {}
        for batch in infer.batches(read, {}, 64, model.front_end):
            values = model(batch).features["text"].numpy().astype(np.float64).round(5)
            found |= {name: Inline(v) for name, v in zip(batch.ids, values, strict=True)}
        made = [dataclasses.replace(r, features={"text": found[r.id]}) for r in manifest.rows]
        manifest.only(made).write(goal)
    return Manifest.read(goal)


def shuffled(manifest: Manifest, goal: Path, seed: int) -> Manifest:
    """Dialogues as long as before, of utterances that were drawn within their part."""
    random, rows = np.random.default_rng(seed), list[Row]()
    for split in PARTS.values():
        own = [row for row in manifest.rows if row.split == split]
        for row, other in zip(own, random.permutation(len(own)), strict=True):
            rows.append(dataclasses.replace(own[other], dialogue=row.dialogue, turn=row.turn))
    return manifest.only(rows).write(goal)


def talks_of(path: Path, out: Path) -> Manifest:
    """MELD's dev part with vectors of text and sound, in the words of a manifest."""
    rows = []
    for line in pq.read_table(path).to_pylist():
        talk, turn = line["dialogue"], line["utterance"]
        rows.append(
            Row(
                id=f"{talk}-{turn}", dialogue=str(talk), turn=turn,
                features={"text": Inline(line["text"]), "audio": Inline(line["audio_wav2vec2"])},
                labels={"emotion": line["emotion"]},
            )
        )  # fmt: skip
    order = np.random.default_rng(0).permutation(sorted({str(row.dialogue) for row in rows}))
    fold = {name: i % 5 for i, name in enumerate(order.tolist())}
    rows = [dataclasses.replace(row, fold=fold[str(row.dialogue)]) for row in rows]
    return Manifest(rows, out / "talks.parquet").write(out / "talks.parquet")


# -- answers ---------------------------------------------------------------------------------------


def answered(run: Path, spec: TaskSpec) -> Answers:
    """What a run, or all folds of one, said of each utterance of its test part."""
    places = [run] if (run / "predictions.parquet").is_file() else sorted(run.glob("fold-*"))
    found: Answers = {}
    for place in places:
        table = pq.read_table(place / "predictions.parquet").to_pydict()
        members = table.get("rows") or [[name] for name in table["id"]]
        for names, scores in zip(members, table[f"scores.{spec.name}"], strict=True):
            found |= {n: np.array(s) for n, s in zip(names, scores, strict=True)}
    return found


def trained(data: Path, out: Path, seed: int, words: Sequence[str], **more: Any) -> Answers:
    """Train where it was not done yet, and give the answers."""
    train(
        "m2fnet", preset="laptop", data=data, out=out, quiet=True,
        overrides=[f"seed={seed}", *words], **more,
    )  # fmt: skip
    print(f"  {out.name} done", flush=True)
    return answered(out, MELD)


def probe(manifest: Manifest) -> Answers:
    """A logistic regression on the vectors of single utterances, its penalty chosen on dev."""
    by_part: dict[str, tuple[Floats, list[int]]] = {}
    for split in PARTS.values():
        rows = [row for row in manifest.rows if row.split == split]
        x = np.stack([_values(row) for row in rows])
        y = [MELD.labels.index(str(row.labels["emotion"])) for row in rows]
        by_part[split] = (x / np.linalg.norm(x, axis=1, keepdims=True), y)
    fits = {}
    for penalty in (0.3, 1.0, 3.0, 10.0):
        model = LogisticRegression(C=penalty, max_iter=2000).fit(*by_part["train"])
        x, y = by_part["val"]
        said = _wide(model, x)
        fits[tasks.scores(MELD, y, said)["weighted_f1"]] = model
    best = fits[max(fits)]
    print(f"probe: C={best.C:g}, dev {max(fits):.3f}", flush=True)
    rows = [row for row in manifest.rows if row.split == "test"]
    said = _wide(best, by_part["test"][0])
    return {row.id: scores for row, scores in zip(rows, said, strict=True)}


def _values(row: Row) -> Floats:
    ref = row.features["text"]
    assert isinstance(ref, Inline)
    return ref.values


def _wide(model: LogisticRegression, x: Floats) -> Floats:
    """Probabilities (N, C) of all classes, 0 for those that training never met."""
    made = np.zeros((len(x), MELD.width))
    made[:, model.classes_] = model.predict_proba(x)
    return made


# -- arms ------------------------------------------------------------------------------------------


def frozen(manifest: Manifest, args: argparse.Namespace) -> dict[str, list[Answers]]:
    """Arms on vectors of an encoder that never learns, a list over seeds each."""
    out: Path = args.out
    single = around = encoded(manifest, args.encoder, SINGLE, out / "single.parquet")
    if any("neighbours" in name for name in args.only):
        around = encoded(manifest, args.encoder, AROUND, out / "around.parquet")
    arms: dict[str, list[Answers]] = {"probe": [probe(single)] * len(args.seeds)}
    few = ["epochs=2"] if args.smoke else ["patience=8"]
    for seed in args.seeds:
        mixed = shuffled(single, out / f"shuffled-{seed}.parquet", seed)
        for name, data, words in (
            ("single", single, ALONE),
            ("neighbours", around, ALONE),
            ("dialogue", single, ()),
            ("dialogue, neighbours", around, ()),
            ("dialogue, shuffled", mixed, ()),
        ):
            if name not in args.only:
                continue
            place = out / f"frozen-{name.replace(', ', '-')}-{seed}"
            arms.setdefault(name, []).append(trained(data.path, place, seed, [*words, *few]))
    return arms


def tuned(manifest: Manifest, args: argparse.Namespace) -> dict[str, list[Answers]]:
    """Arms on an encoder that learns, anew for each seed."""
    out: Path = args.out
    single = encoded(manifest, args.encoder, SINGLE, out / "single.parquet")
    arms: dict[str, list[Answers]] = {"probe": [probe(single)] * len(args.seeds)}
    few = ["epochs=1"] if args.smoke else []
    for seed in args.seeds:
        for name, words in (("single", SINGLE), ("neighbours", AROUND)):
            place = out / f"tuned-{name}-{seed}"
            texts = [f"model.words={args.encoder}", *words, *args.words, *few]
            said = trained(manifest.path, place, seed, texts, stage="text")
            arms.setdefault(name, []).append(said)
            table = out / f"tuned-{name}-{seed}.parquet"
            if not table.exists():
                vectors.gather(manifest.path, runs=[place], out=table, batch=64)
            talk = "dialogue" if name == "single" else "dialogue, neighbours"
            place, more = out / f"tuned-{talk.replace(', ', '-')}-{seed}", few or ["patience=8"]
            arms.setdefault(talk, []).append(trained(table, place, seed, more))
            if name == "single":
                mixed = shuffled(Manifest.read(table), out / f"tuned-shuffled-{seed}.parquet", seed)
                place = out / f"tuned-dialogue-shuffled-{seed}"
                arms.setdefault("dialogue, shuffled", []).append(
                    trained(mixed.path, place, seed, more)
                )
    return arms


def folds(manifest: Manifest, args: argparse.Namespace) -> dict[str, list[Answers]]:
    """Text, sound and both, each utterance answered by the fold that did not learn from it."""
    arms: dict[str, list[Answers]] = {}
    few = ["epochs=1"] if args.smoke else ["patience=8"]
    for seed in args.seeds:
        for name, read in (("text", "[text]"), ("audio", "[audio]"), ("both", "[text,audio]")):
            place, words = args.out / f"{name}-{seed}", [f"model.modalities={read}", *few]
            said = trained(manifest.path, place, seed, words, folds=True)
            arms.setdefault(name, []).append(said)
    return arms


# -- what came of it -------------------------------------------------------------------------------


def compared(
    arms: dict[str, list[Answers]], manifest: Manifest, pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Weighted F1 of each arm, mean over seeds, and differences with intervals over dialogues."""
    names = sorted(next(iter(arms.values()))[0])
    row = {each.id: each for each in manifest.rows}
    truth = np.array([MELD.labels.index(str(row[name].labels["emotion"])) for name in names])
    groups = [str(row[name].dialogue) for name in names]
    said = {arm: np.stack([[a[n] for n in names] for a in runs]) for arm, runs in arms.items()}
    statistics = tasks.statistics(MELD)
    report: dict[str, Any] = {"utterances": len(names), "arms": {}, "differences": {}}
    for arm, scores in said.items():
        each = [tasks.scores(MELD, truth, one)["weighted_f1"] for one in scores]
        report["arms"][arm] = {"mean": float(np.mean(each)), "seeds": each}
        print(f"{arm:<22} {np.mean(each):.4f}  ({', '.join(f'{s:.4f}' for s in each)})")
    for one, two in pairs:
        pair = Pair(statistics, truth, said[one], said[two], groups=groups)
        drawn, test = pair.difference()["weighted_f1"], pair.exchange()["weighted_f1"]
        report["differences"][f"{one} - {two}"] = drawn.to_dict() | {"p": test.p}
        print(
            f"{one} - {two}: {drawn.value:+.4f} ({drawn.low:+.4f} to {drawn.high:+.4f}), "
            f"p {test.p:.4f}"
        )
    return report


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("what", choices=("meld", "folds"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, help="folder of a sentence encoder (meld)")
    parser.add_argument("--arms", choices=("frozen", "fine-tuned"), default="frozen")
    parser.add_argument("--only", nargs="+", default=list(ARMS), choices=ARMS, help="frozen arms")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="of encoders that learn")
    args = parser.parse_intermixed_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.what == "folds":
        manifest = talks_of(args.data, args.out)
        pairs = [("text", "audio"), ("both", "text"), ("both", "audio")]
        report = compared(folds(manifest, args), manifest, pairs)
    else:
        if args.encoder is None:
            parser.error("--encoder FOLDER")
        manifest = transcripts(args.data, args.out, smoke=args.smoke)
        arms = (frozen if args.arms == "frozen" else tuned)(manifest, args)
        others = [arm for arm in arms if arm != "probe"]
        pairs = [(arm, "probe") for arm in others]
        pairs += [("dialogue", other) for other in ("single", "dialogue, shuffled")]
        pairs = [pair for pair in pairs if set(pair) <= arms.keys()]
        report = compared(arms, manifest, pairs)
    goal = args.out / f"{args.what}-{args.arms}.json"
    goal.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
