"""Is it worth starting from mien-pocket's voice? Curves over how many clips of one's own there are.

    python recipes/pocket/adapt.py ravdess RAVDESS/voices.jsonl --out runs/adapt
    python recipes/pocket/adapt.py other emodb.prepared.jsonl --voice runs/voice --out runs/emodb

Of RAVDESS, the voice is trained on twelve actors, adapted on shares of the clips of eight others,
and tested on the four that are left; then the actors move on by eight, three times in all. Of
another corpus, whole speakers are tested in folds, and the voice that mien-pocket carries is
adapted. Against both stands the same net from random weights. Each arm has the same epochs and the
same learning rates to choose from, by a part held out of what it learns from.

Interrupted, the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from voices import NOBODY

import mien
from mien.run import answers, folder, score
from mien.run.infer import Answers, Predictions

RECIPE = Path(__file__).parent / "voice.yaml"
RATES = (3e-4, 1e-3, 3e-3)
Row = dict[str, Any]


@dataclass(frozen=True)
class Rotation:
    """One way to part the speakers.

    Args:
        name: of its runs.
        before: rows that the voice is trained on before; none: it is there already.
        own: rows to adapt on.
        test: rows of speakers that are in neither.
    """

    name: str
    before: Sequence[Row]
    own: Sequence[Row]
    test: Sequence[Row]


@dataclass(frozen=True)
class Plan:
    """What is run, and where.

    Args:
        home: folder of the source manifest; those written here lie beside it, as paths demand.
        tasks: its task file, if it has one.
        out: folder of the runs.
        epochs: of every run.
        voice: a run to adapt where rotations do not train one.
    """

    home: Path
    tasks: Path | None
    out: Path
    epochs: int
    voice: Path | None = None

    def trained(self, name: str, rows: Sequence[Row], *words: str, init: Path | None) -> Path:
        """A run on rows with their split written in; at once where it is finished."""
        manifest = self.home / f"{self.out.name}-{name}.jsonl"
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
        if self.tasks is not None:
            ending = f".tasks{self.tasks.suffix}"
            manifest.with_suffix(ending).write_bytes(self.tasks.read_bytes())
        out = self.out / name
        if not (out / folder.METRICS).is_file():
            mien.train(
                "claip-emo",
                config=RECIPE,
                data=manifest,
                out=out,
                init=init,
                overrides=[f"epochs={self.epochs}", *words],
                quiet=True,
            )
        return out


def curves(rotations: Sequence[Rotation], plan: Plan, shares: Sequence[float]) -> dict[str, Any]:
    """Scores of each arm at each share of the clips, over all tested speakers."""
    kept: dict[str, list[Path]] = {}
    for rotation in rotations:
        start = plan.voice
        if rotation.before:
            rows = [*_marked(rotation.before, "train"), *_marked(rotation.test, "test")]
            start = plan.trained(f"{rotation.name}-before", rows, init=None)
            kept.setdefault("as it was, 0", []).append(start)
        for share in shares:
            own = _marked(list(_some(rotation.own, share)), "train")
            rows = [*own, *_marked(rotation.test, "test")]
            for arm, init in (("adapted", start), ("from scratch", None)):
                name = f"{rotation.name}-{arm.replace(' ', '-')}-{share}"
                kept.setdefault(f"{arm}, {share}", []).append(_best(plan, name, rows, init))
    return {name: _scored(runs) for name, runs in kept.items()}


def _best(plan: Plan, name: str, rows: Sequence[Row], init: Path | None) -> Path:
    """Of the learning rates the one that is best on the part held out of the training rows."""
    found: dict[Path, float] = {}
    for rate in RATES:
        words = [f"lr={rate}", "data.held_out=0.2", "train.select=held_out"]
        words += ["layer_decay=0.7"] if init else []
        run = plan.trained(f"{name}-{rate}", rows, *words, init=init)
        lines = (run / "log.jsonl").read_text().splitlines()
        logged = [json.loads(line).get("held_out/emotion/uar") for line in lines]
        found[run] = max(value for value in logged if value is not None)
    return max(found, key=lambda run: found[run])


def _some(rows: Sequence[Row], share: float) -> Iterator[Row]:
    """That share of each speaker's clips, drawn the same way every time."""
    for speaker in sorted({row["speaker"] for row in rows}):
        own = [row for row in rows if row["speaker"] == speaker]
        order = np.random.default_rng(0).permutation(len(own))
        yield from (own[i] for i in sorted(order[: max(1, round(share * len(own)))]))


def _marked(rows: Sequence[Row], split: str) -> list[Row]:
    return [{k: v for k, v in row.items() if k != "fold"} | {"split": split} for row in rows]


def _scored(runs: Sequence[Path]) -> dict[str, Any]:
    specs = folder.read_labels(runs[0])
    said, _ = answers.joined(runs, specs)
    names = specs["emotion"].labels
    targets, scores = said.tasks["emotion"].pooled()
    spoken = [i for i, target in enumerate(targets) if names[int(target)] != NOBODY]
    kept = Predictions([said.ids[i] for i in spoken], [said.group[i] for i in spoken])
    kept.tasks["emotion"] = Answers(
        [scores[i][None] for i in spoken], [np.asarray([targets[i]]) for i in spoken]
    )
    found = score.report(kept, specs)["emotion"]
    each = [float(score.report(p, specs)["emotion"]["scores"]["uar"]) for p in _each(runs)]
    return {"uar": found["intervals"], "clips": found["scores"], "by_run": each}


def _each(runs: Sequence[Path]) -> Iterator[Predictions]:
    for run in runs:
        yield answers.read(run / folder.PREDICTIONS, folder.read_labels(run))[0]


def ravdess(rows: Sequence[Row]) -> Iterator[Rotation]:
    """Twelve actors, eight, four; moved on by eight."""
    actors = sorted({row["speaker"] for row in rows if not row["speaker"].startswith(NOBODY)})
    spoken = [row for row in rows if row["speaker"] in actors]
    silent = [row for row in rows if row["speaker"] not in actors]
    for turn in range(0, 24, 8):
        moved = actors[turn:] + actors[:turn]
        before, own, test = (
            [row for row in spoken if row["speaker"] in part]
            for part in (moved[:12], moved[12:20], moved[20:])
        )
        yield Rotation(f"turn-{turn}", [*before, *silent], own, test)


def other(rows: Sequence[Row], folds: int) -> Iterator[Rotation]:
    """Speakers in folds; the voice is there already."""
    speakers = sorted({row["speaker"] for row in rows})
    for fold in range(folds):
        tested = speakers[fold::folds]
        own = [row for row in rows if row["speaker"] not in tested]
        yield Rotation(f"fold-{fold}", [], own, [r for r in rows if r["speaker"] in tested])


def main() -> None:
    """Parse, train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", choices=("ravdess", "other"))
    parser.add_argument("manifest", type=Path, help="prepared; of RAVDESS, what voices.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--voice", type=Path, help="run of the voice tower, for another corpus")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.2, 1.0])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--folds", type=int, default=5)
    given = parser.parse_args()
    if (given.corpus == "other") != (given.voice is not None):
        parser.error("--voice RUN belongs to another corpus, and only there")
    rows = [json.loads(line) for line in given.manifest.read_text().splitlines()]
    known = [given.manifest.with_suffix(f".tasks.{ending}") for ending in ("yaml", "json")]
    tasks = next((path for path in known if path.is_file()), None)
    plan = Plan(given.manifest.parent, tasks, given.out, given.epochs, given.voice)
    found = ravdess(rows) if given.corpus == "ravdess" else other(rows, given.folds)
    print(json.dumps(curves(list(found), plan, given.shares), indent=1))


if __name__ == "__main__":
    main()
