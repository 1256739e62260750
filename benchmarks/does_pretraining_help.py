"""Does pre-training help here? One network with and without it, at the same cost.

People are apart everywhere: a fold's test people are looked at once, at the end; of the others some
are held out, and choose the epoch and the learning rate; the rest is trained on, and is all that
pre-training sees, without labels. Two arms fine-tune with the same rates:

* ``pretrained``: the self-supervised stages, then fine-tuning;
* ``scratch``: fine-tuning from random weights, for as many epochs more as pre-training costs.

So each scratch training costs as much as pre-training and one fine-tuning together. Cost is what
the matrix products of training steps take, counted, forward and backward. Trying several rates is
cheaper for the pre-trained arm, as pre-training is done once for all of them.

    mien data prepare speech/ravdess.jsonl
    python benchmarks/does_pretraining_help.py --data speech/ravdess.prepared.jsonl --out helped

What it will take is measured on a few steps and said first; ``--estimate`` ends there. What is
finished is kept: give the same command again after an interruption. Answers and scores lie in
``OUT/scratch`` and ``OUT/pretrained`` as families of runs, which ``mien report`` and ``mien
evaluate --against`` read. A control: ``--arm shuffled --shuffle text`` with the same ``--out``
gives each clip that pre-training reads the description of another one of these.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mien import registry
from mien.data import split
from mien.data.manifest import Manifest, Row, Split
from mien.errors import DataError, MienError
from mien.run import answers, checkpoint, compare, folder, score
from mien.run.train import train
from step_cost import Cost, cost

Json = dict[str, Any]
SCRATCH = "scratch"


@dataclass(frozen=True)
class Plan:
    """What is compared, and where.

    Args:
        system: its name.
        preset: of its settings.
        stages: self-supervised ones, in order.
        finetune: the stage that learns the task.
        data: manifest with labels and speakers.
        out: folder.
        arm: what the pre-trained arm is called.
        shuffle: a feature that pre-training gets of another clip.
        folds: numbers of those that are tested.
        made: folds that are made where rows name none.
        seeds: of cuts and trainings.
        rates: learning rates of fine-tuning.
        epochs: of fine-tuning.
        pretrain_epochs: of each self-supervised stage.
        held_out: share of the training people's rows.
        words: further settings.
    """

    system: str
    preset: str
    stages: tuple[str, ...]
    finetune: str
    data: Path
    out: Path
    arm: str
    shuffle: str | None
    folds: tuple[int, ...]
    made: int
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    epochs: int
    pretrain_epochs: tuple[int, ...]
    held_out: float
    words: tuple[str, ...]

    @property
    def root(self) -> Path:
        """A folder that holds the data and what is written."""
        return Path(os.path.commonpath([self.data.absolute(), self.out.absolute()]))

    def turns(self) -> Iterator[tuple[int, int]]:
        """Seeds and folds."""
        yield from ((seed, number) for seed in self.seeds for number in self.folds)

    def manifest(self, kind: str, seed: int, number: int) -> Path:
        """A fold's own manifest: ``finetune``, or ``pretrain`` of an arm."""
        return self.out / "data" / kind / f"seed-{seed}" / f"fold-{number}.jsonl"

    def place(self, arm: str, part: str, seed: int, number: int) -> Path:
        """Where a training of a fold lies."""
        return self.out / arm / part / f"seed-{seed}" / f"fold-{number}"


# -- who is trained on, who chooses, who is tested -------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """How many rows of a fold have which part."""

    train: int
    held_out: int
    test: int


def cut(plan: Plan) -> dict[tuple[int, int], Cut]:
    """Write the manifests of every seed and fold."""
    manifest = Manifest.read(plan.data, root=plan.root)
    numbers = _folds(plan, manifest)
    sizes = {}
    for seed, number in plan.turns():
        test = [row for row in manifest.rows if numbers[row.id] == number]
        rest = [row for row in manifest.rows if numbers[row.id] != number]
        if not test or not rest:
            raise DataError(
                f"there is no fold {number}", fix=f"one of {sorted({*numbers.values()})}"
            )
        _, ids = split.hold_out(rest, plan.held_out, seed)
        held = [row for row in rest if row.id in set(ids)]
        kept = [row for row in rest if row.id not in set(ids)]
        _apart(kept, held, test)
        parts: list[tuple[list[Row], Split]] = [(kept, "train"), (held, "val"), (test, "test")]
        marked = [
            dataclasses.replace(row, split=name, fold=None) for own, name in parts for row in own
        ]
        _write(manifest.only(marked), plan.manifest("finetune", seed, number))
        bare = [dataclasses.replace(row, split=None, fold=None, labels={}) for row in kept]
        if plan.shuffle:
            bare = _shuffled(bare, plan.shuffle, seed)
        _write(manifest.only(bare), plan.manifest(plan.arm, seed, number))
        sizes[seed, number] = Cut(len(kept), len(held), len(test))
    return sizes


def _folds(plan: Plan, manifest: Manifest) -> dict[str, int]:
    """The fold of each row: its own, or one of those that are made."""
    named = {row.id: row.fold for row in manifest.rows if row.fold is not None}
    if len(named) == len(manifest.rows):
        return named
    return split.make_folds(manifest.rows, plan.made)


def _apart(*parts: Sequence[Row]) -> None:
    """Nobody is in two parts, or the answer would be worth nothing."""
    people = [{row.speaker for row in part} for part in parts]
    if any(None in part for part in people):
        raise DataError("not every row names its speaker", fix="who speaks has to be known")
    if len(set().union(*people)) < sum(map(len, people)):
        raise DataError("a speaker is in two parts", fix="folds of whole speakers")


def _shuffled(rows: Sequence[Row], feature: str, seed: int) -> list[Row]:
    """Each with this feature of another of them that has it; nobody keeps their own."""
    owners = [row for row in rows if feature in row.features]
    if len(owners) < 2:
        raise DataError(f"fewer than two rows have features.{feature}", fix="what is shuffled?")
    order = random.Random(seed).sample(owners, len(owners))
    given = {
        one.id: one.features | {feature: other.features[feature]}
        for one, other in zip(order, order[1:] + order[:1], strict=True)
    }
    return [dataclasses.replace(r, features=given.get(r.id, r.features)) for r in rows]


def _write(manifest: Manifest, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    manifest.write(path)


# -- what it costs ---------------------------------------------------------------------------------


def scratch_epochs(plan: Plan, costs: Mapping[str, Cost], rows: int) -> int:
    """Epochs from scratch that cost as much as pre-training and fine-tuning together."""
    spent = sum(
        epochs * costs[stage].flops * costs[stage].clips(rows)
        for stage, epochs in zip(plan.stages, plan.pretrain_epochs, strict=True)
    )
    own = costs[plan.finetune]
    return plan.epochs + round(spent / (own.flops * own.clips(rows)))


def minutes(plan: Plan, costs: Mapping[str, Cost], sizes: Mapping[Any, Cut]) -> dict[str, float]:
    """Of the processor, for all folds and seeds, by what is done."""
    own = costs[plan.finetune]
    found = dict.fromkeys(("pre-training", "fine-tuning", SCRATCH), 0.0)
    for size in sizes.values():
        for stage, epochs in zip(plan.stages, plan.pretrain_epochs, strict=True):
            clips = costs[stage].clips(size.train)
            found["pre-training"] += epochs * clips * costs[stage].seconds
        epoch = own.clips(size.train) * own.seconds + size.held_out * own.answering
        for name, epochs in (
            ("fine-tuning", plan.epochs),
            (SCRATCH, scratch_epochs(plan, costs, size.train)),
        ):
            each = epochs * epoch + size.test * own.answering
            found[name] += len(plan.rates) * each
    return {name: seconds / 60 for name, seconds in found.items()}


# -- training --------------------------------------------------------------------------------------


def _words(plan: Plan, stage: str) -> list[str]:
    """Settings of a stage; fine-tuning reads what the rows have."""
    words = [f"data.root={plan.root}", *plan.words]
    if stage != plan.finetune:
        return [*words, "train.select=last"]
    wanted = registry.system(plan.system).load().STAGES[stage].modalities
    rows = Manifest.read(plan.data, root=plan.root).rows
    have = [name for name in wanted if any(name in row.features for row in rows)]
    return words if len(have) == len(wanted) else [*words, f"model.modalities={json.dumps(have)}"]


def _train(
    plan: Plan, stage: str, data: Path, out: Path, seed: int, init: Path | None, *more: str
) -> None:
    """Train, go on with what an interruption left, or find it done."""
    card = out / folder.CARD
    if not (card.is_file() and checkpoint.read_object(card).get("finished")):
        print(out.relative_to(plan.out), flush=True)
    began = time.process_time()
    words = [*_words(plan, stage), f"seed={seed}", *more]
    try:
        train(
            plan.system, preset=plan.preset, stage=stage, data=data, out=out, overrides=words,
            init=init, quiet=True,
        )  # fmt: skip
    finally:
        kept = out / "spent.json"
        before = checkpoint.read_object(kept)["cpu_seconds"] if kept.is_file() else 0.0
        if out.is_dir():
            checkpoint.write_json(kept, {"cpu_seconds": before + time.process_time() - began})


def run(plan: Plan, costs: Mapping[str, Cost], sizes: Mapping[tuple[int, int], Cut]) -> None:
    """Every training of both arms."""
    for seed, number in plan.turns():
        init: Path | None = None
        data = plan.manifest(plan.arm, seed, number)
        for stage, epochs in zip(plan.stages, plan.pretrain_epochs, strict=True):
            out = plan.place(plan.arm, stage, seed, number)
            _train(plan, stage, data, out, seed, init, f"train.epochs={epochs}")
            init = out
        labelled = plan.manifest("finetune", seed, number)
        scratch = scratch_epochs(plan, costs, sizes[seed, number].train)
        for arm, epochs, begin in ((plan.arm, plan.epochs, init), (SCRATCH, scratch, None)):
            for rate in plan.rates:
                out = plan.place(arm, f"rate-{rate:g}", seed, number)
                words = (f"train.epochs={epochs}", f"train.lr={rate:g}")
                _train(plan, plan.finetune, labelled, out, seed, begin, *words)


# -- what came of it -------------------------------------------------------------------------------


def chosen(plan: Plan, arm: str, seed: int, number: int) -> tuple[float, Path, dict[str, float]]:
    """The rate that did best on held-out people, its run, and how well each did."""
    runs = {rate: plan.place(arm, f"rate-{rate:g}", seed, number) for rate in plan.rates}
    held = {
        rate: float(folder.read_card(place)["selection"]["score"]) for rate, place in runs.items()
    }
    best = max(held, key=lambda rate: held[rate])
    return best, runs[best], {f"{rate:g}": value for rate, value in held.items()}


def results(plan: Plan, costs: Mapping[str, Cost], task: str) -> Json:
    """Scores of every fold, of all answers together, and how far the arms are apart."""
    by_fold: list[Json] = []
    arms: Json = {}
    for arm in (SCRATCH, plan.arm):
        members = []
        for seed, number in plan.turns():
            rate, place, held = chosen(plan, arm, seed, number)
            members.append(place)
            card, scored = folder.read_card(place), checkpoint.read_object(place / folder.METRICS)
            by_fold.append(
                {
                    "arm": arm, "seed": seed, "fold": number, "rate": rate, "held_out": held,
                    "epoch": card["selection"]["epoch"], "clips": scored["tasks"][task]["clips"],
                    "uar": scored["tasks"][task]["scores"]["uar"],
                }
            )  # fmt: skip
        score.summarise(plan.out / arm, members)
        arms[arm] = _pooled(plan.out / arm, task)
        spent = [
            checkpoint.read_object(p)["cpu_seconds"] for p in (plan.out / arm).rglob("spent.json")
        ]
        arms[arm]["cpu_minutes"] = round(sum(spent) / 60, 2)
    apart = compare.difference(answers.kept(plan.out / plan.arm), answers.kept(plan.out / SCRATCH))
    return {
        "plan": {key: _plain(value) for key, value in dataclasses.asdict(plan).items()},
        "versions": folder.versions(),
        "cost": {stage: dataclasses.asdict(one) for stage, one in costs.items()},
        "folds": by_fold,
        "arms": arms,
        "difference": apart["tasks"][task]["scores"]["uar"],
    }


def _pooled(family: Path, task: str) -> Json:
    """The score of all answers with its interval over speakers, a seed each."""
    found = checkpoint.read_object(family / folder.METRICS)
    seeds = found.get("by_seed") or {str(found["seeds"][0]): found["tasks"]}
    return {
        "uar": {seed: own[task]["intervals"]["uar"]["groups"] for seed, own in seeds.items()},
        "clips": found["tasks"][task]["clips"],
        "speakers": found["tasks"][task]["groups"],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    return list(value) if isinstance(value, tuple) else value


def lines(found: Json) -> Iterator[str]:
    """What was found, for a person."""
    yield f"{'arm':<12}{'seed':>5}{'fold':>5}{'rate':>9}{'epoch':>7}{'held out':>10}{'UAR':>8}"
    for one in found["folds"]:
        held = max(one["held_out"].values())
        yield (
            f"{one['arm']:<12}{one['seed']:>5}{one['fold']:>5}{one['rate']:>9g}{one['epoch']:>7}"
            f"{held:>10.3f}{one['uar']:>8.3f}"
        )
    for arm, own in found["arms"].items():
        for seed, uar in own["uar"].items():
            yield (
                f"{arm}, seed {seed}: UAR {uar['value']:.3f} ({uar['low']:.3f} to "
                f"{uar['high']:.3f}), {own['clips']} clips of {own['speakers']} speakers"
            )
    apart = found["difference"]
    yield (
        f"{found['plan']['arm']} minus {SCRATCH}: {apart['value']:+.3f} ({apart['low']:+.3f} to "
        f"{apart['high']:+.3f}), p {compare.p_value(apart['test']['p'])}; 95 % over speakers"
    )


def told(plan: Plan, costs: Mapping[str, Cost], sizes: Mapping[tuple[int, int], Cut]) -> str:
    """What it will take."""
    first = next(iter(sizes.values()))
    found = minutes(plan, costs, sizes)
    parts = [
        f"{stage}: {one.flops / 1e9:.2f} GFLOP and {1000 * one.seconds:.1f} ms a clip and step"
        for stage, one in costs.items()
    ]
    parts.append(
        f"{plan.epochs} epochs of fine-tuning, {scratch_epochs(plan, costs, first.train)} from "
        f"scratch; {first.train} clips, {first.held_out} held out, {first.test} tested (first fold)"
    )
    parts += [f"{name}: {value:.1f} minutes" for name, value in found.items()]
    parts.append(f"all: {sum(found.values()):.1f} minutes of one processor")
    return "\n".join(parts)


# -- all of it -------------------------------------------------------------------------------------


def _planned(given: argparse.Namespace) -> Plan:
    stages = registry.system(given.system).load().STAGES
    own = [name for name, stage in stages.items() if not stage.supervised]
    chosen = tuple(given.stages.split(",")) if given.stages else tuple(own)
    epochs = [int(n) for n in given.pretrain_epochs.split(",")]
    return Plan(
        system=given.system,
        preset=given.preset,
        stages=chosen,
        finetune=[name for name, stage in stages.items() if stage.supervised][-1],
        data=given.data,
        out=given.out,
        arm=given.arm,
        shuffle=given.shuffle,
        folds=tuple(int(n) for n in given.folds.split(",")),
        made=given.make_folds,
        seeds=tuple(int(n) for n in given.seeds.split(",")),
        rates=tuple(float(n) for n in given.rates.split(",")),
        epochs=given.epochs,
        pretrain_epochs=tuple(epochs * len(chosen) if len(epochs) == 1 else epochs),
        held_out=given.held_out,
        words=tuple(given.words),
    )


def _given() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    words.add_argument("words", nargs="*", help="settings of all stages, such as batch_size=32")
    words.add_argument("--data", type=Path, required=True)
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--system", default="hicmae")
    words.add_argument("--preset", default="laptop")
    words.add_argument("--stages", help="self-supervised ones (default: all of the system)")
    words.add_argument("--arm", default="pretrained")
    words.add_argument("--shuffle", metavar="FEATURE", help="a control: of another clip")
    words.add_argument("--task", default="emotion")
    words.add_argument("--folds", default="0,1,2,3,4,5")
    words.add_argument("--make-folds", type=int, default=6, help="where rows name none")
    words.add_argument("--seeds", default="0")
    words.add_argument("--rates", default="5e-4,1.5e-3")
    words.add_argument("--epochs", type=int, default=8, help="of fine-tuning")
    words.add_argument("--pretrain-epochs", default="12", help="one for each stage, or for all")
    words.add_argument("--held-out", type=float, default=0.15)
    words.add_argument("--estimate", action="store_true", help="say what it takes, and end")
    return words.parse_args()


def main() -> None:
    """Estimate, train, print, and keep the results as JSON."""
    given = _given()
    torch.set_num_threads(1)
    try:
        plan = _planned(given)
        sizes = cut(plan)
        first = next(iter(sizes))
        kinds = dict.fromkeys(plan.stages, plan.arm) | {plan.finetune: "finetune"}
        costs = {
            stage: cost(
                plan.system, plan.preset, stage, plan.manifest(kind, *first), plan.root,
                _words(plan, stage),
            )
            for stage, kind in kinds.items()
        }  # fmt: skip
        print(told(plan, costs, sizes), flush=True)
        if given.estimate:
            return
        run(plan, costs, sizes)
        found = results(plan, costs, given.task)
    except MienError as error:
        sys.exit(str(error))
    name = f"{plan.arm}-folds-{given.folds}-seeds-{given.seeds}".replace(",", ".")
    checkpoint.write_json(plan.out / f"{name}.json", found)
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
