"""What mien-pocket's card says, measured.

    python recipes/pocket/measure.py faces RUN faces/faces.jsonl --peer peer.npz
    python recipes/pocket/measure.py pasted RUN pasted
    python recipes/pocket/measure.py voices runs/voice-folds
    python recipes/pocket/measure.py fusion runs/voice-folds runs/facial
    python recipes/pocket/measure.py wear runs/voice-folds RAVDESS/voices.jsonl
    python recipes/pocket/measure.py nobody RUN RAVDESS/voices.jsonl

Prints JSON: scores with intervals over clips and, where there are speakers, over speakers. Answers
of folds are of actors that the fold's own tower never heard.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from assemble import LABELS, fit_temperature
from numpy.typing import NDArray
from torch import Tensor
from voices import NOBODY, RATE, SECONDS, made_up

import mien
from mien.parts.codec import adaptive, mu_law
from mien.parts.vision import VideoFrontEnd
from mien.parts.voicewear import STEPS, VoiceWear
from mien.parts.wear import worn
from mien.run import answers, infer, score
from mien.run.infer import Answers, Predictions
from mien.types import Problem, TaskSpec

FACES = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=LABELS)
UNHEARD = ("sweep", "beeps", "bell", "rain", "engine", "birds")
Scores = NDArray[np.float64]
Change = Callable[[Tensor, Tensor], Tensor]
"""What is done to waves (B, L), of which a mask says how far each goes."""


# -- faces -----------------------------------------------------------------------------------------


def faces(run: Path, manifest: Path, peer: Path | None) -> dict[str, Any]:
    """FER2013's validation pictures, as they are, through the face's opinion."""
    data = mien.load(run).read(manifest)
    rows = [row for row in data.rows if row.split == "test"]
    dataset: Any = mien.load(run).dataset(data, rows)
    pictures = torch.stack([torch.tensor(dataset[i].inputs["video"]) for i in range(len(rows))])
    seen = [row.groups["seen"] for row in rows]
    truth = [LABELS.index(str(row.labels["emotion"])) for row in rows]
    found = {"pocket": opinions(run, pictures, focus=1.0)}
    if peer is not None:
        found["peer"] = np.load(peer)["scores"]
    ids = [row.id for row in rows]
    both = {}
    for name, scores in found.items():
        kept = Predictions(ids=ids, group=ids, groups={"seen": [[value] for value in seen]})
        kept.tasks["emotion"] = _answers(scores, truth)
        both[name] = score.report(kept, {"emotion": FACES})["emotion"]
    return both


@torch.inference_mode()
def opinions(run: Path, pictures: Tensor, focus: float) -> Scores:
    """Probabilities (N, 7) of pictures (N, 1, H, W, 3), one clip each."""
    loaded = mien.load(run)
    settings: Any = loaded.settings.model
    front = VideoFrontEnd(frames=1, stride=1, size=settings.size, focus=focus).eval()
    network: Any = loaded.model
    found = []
    for part in torch.split(pictures, 256):
        pixels, mask = front(part, torch.ones(part.shape[:2], dtype=torch.bool))
        found.append(network.opinions["video"](pixels, mask)[0].exp())
    return torch.cat(found).double().numpy()


def pasted(run: Path, place: Path) -> dict[str, Any]:
    """Crops that a detector led to, beside the squares that benchmarks/pasted_faces.py pasted."""
    table: dict[str, Any] = {}
    focus = float(mien.load(run).settings.model.model_dump()["focus"])
    for file in sorted(place.glob("*.npz")):
        with np.load(file, allow_pickle=False) as kept:
            at, crops, squares, labels = (
                kept[name] for name in ("at", "crops", "squares", "labels")
            )
            asked = len(kept["asked"])
        truth = np.asarray([LABELS.index(label) for label in labels])
        straight = np.repeat(squares[at][:, None, :, :, None], 3, axis=-1)
        direct = opinions(run, torch.from_numpy(straight), 1.0).argmax(1) == truth
        found = opinions(run, torch.from_numpy(crops[:, None]), focus).argmax(1) == truth
        table[file.stem] = {
            "missed": 1 - len(at) / asked,
            "direct": float(direct.mean()),
            "through_detector": float(found.mean()),
            "lost": _difference(direct, found),
        }
    return table


def _difference(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> list[float]:
    """Mean of the differences of pairs, and its 95 % bootstrap interval."""
    apart = one.astype(float) - two.astype(float)
    draw = np.random.default_rng(0).integers(0, len(apart), (2000, len(apart)))
    low, high = np.quantile(apart[draw].mean(1), (0.025, 0.975))
    return [float(apart.mean()), float(low), float(high)]


# -- voices ----------------------------------------------------------------------------------------


def voices(folds: Path) -> dict[str, Any]:
    """Eight classes of speech, by answers of folds, and how often each is taken for nobody."""
    kept = answers.kept(folds)
    whole = kept.specs["emotion"]
    spec = replace(whole, labels=tuple(x for x in whole.labels if x != NOBODY))
    found: dict[str, Any] = {}
    for seed, said in kept.seeds.items():
        spoken, silent = _spoken(said, whole)
        report = score.report(spoken, {"emotion": spec})["emotion"]
        report["taken_for_nobody"] = silent
        found[str(seed)] = report
    return found


def _spoken(said: Predictions, spec: TaskSpec) -> tuple[Predictions, float]:
    """The clips in which somebody speaks, with scores of what they say; how many seem silent."""
    if NOBODY not in spec.labels:
        return said, 0.0
    nobody = spec.labels.index(NOBODY)
    targets, scores = said.tasks["emotion"].pooled()
    rows = np.flatnonzero(targets != nobody)
    silent = float((scores[rows].argmax(1) == nobody).mean())
    kept = np.delete(scores[rows], nobody, axis=1)
    spoken = Predictions(
        ids=[said.ids[i] for i in rows],
        group=[said.group[i] for i in rows],
        groups={name: [values[i] for i in rows] for name, values in said.groups.items()},
    )
    spoken.tasks["emotion"] = _answers(
        kept / kept.sum(1, keepdims=True), [int(targets[i]) for i in rows]
    )
    return spoken, silent


def _answers(scores: Scores, targets: Sequence[int]) -> Answers:
    return Answers([row[None] for row in scores], [np.asarray([float(t)]) for t in targets])


def fusion(voice: Path, face: Path) -> dict[str, Any]:
    """Voices and facial values of the same clips, their calibrated probabilities multiplied.

    A fold's temperatures are fitted on the answers of the other folds.
    """
    heard, seen = answers.kept(voice), answers.kept(face)
    spec = seen.specs["emotion"]
    found: dict[str, Any] = {}
    for seed in heard.seeds.keys() & seen.seeds.keys():
        spoken, _ = _spoken(heard.seeds[seed], heard.specs["emotion"])
        order = [label for label in heard.specs["emotion"].labels if label != NOBODY]
        columns = [order.index(label) for label in spec.labels]
        watched = seen.seeds[seed]
        place = {name: i for i, name in enumerate(spoken.ids)}
        rows = [place[name] for name in watched.ids]
        targets = watched.tasks["emotion"].pooled()[0].astype(np.int64)
        both = [
            watched.tasks["emotion"].pooled()[1],
            spoken.tasks["emotion"].pooled()[1][rows][:, columns],
        ]
        parts = np.asarray(seen.folds[seed])
        said = {
            "face": both[0],
            "voice": both[1],
            "both": together(both, targets, parts),
        }
        found[str(seed)] = {}
        for name, scores in said.items():
            kept = Predictions(ids=watched.ids, group=watched.group, groups=watched.groups)
            kept.tasks["emotion"] = _answers(scores, targets.tolist())
            found[str(seed)][name] = score.report(kept, {"emotion": spec})["emotion"]
    return found


def together(opinions: Sequence[Scores], targets: NDArray[np.int64], parts: NDArray[Any]) -> Scores:
    """Calibrated probabilities (N, C) multiplied, what both took from the prior counted once."""
    prior = np.log(np.bincount(targets, minlength=opinions[0].shape[1]) / len(targets))
    logs = sum(_calibrated(scores, targets, parts) - prior for scores in opinions) + prior
    joint: Scores = np.exp(logs - logs.max(1, keepdims=True))
    joint /= joint.sum(1, keepdims=True)
    return joint


def _calibrated(scores: Scores, targets: NDArray[np.int64], parts: NDArray[Any]) -> Scores:
    """Log-probabilities (N, C), each fold's at the temperature of the others."""
    found = np.empty_like(scores)
    for part in np.unique(parts):
        own = parts == part
        others = torch.from_numpy(scores[~own]), torch.from_numpy(targets[~own])
        heat = fit_temperature(*others)
        logits = torch.from_numpy(scores[own]).clamp_min(1e-12).log() / heat
        found[own] = logits.log_softmax(1).numpy()
    return found


# -- what rooms and lines do -----------------------------------------------------------------------


def wear(folds: Path, manifest: Path) -> dict[str, Any]:
    """Accuracy and calibration of the folds' towers on their own actors, before and after wear."""
    kinds: dict[str, Change] = {
        "clean": lambda wave, _: wave,
        "codec: mu-law": lambda wave, _: mu_law(wave),
        "codec: adaptive": lambda wave, _: adaptive(wave, torch.ones(len(wave))),
        "room": _only("room"),
        "gain": _only("gain"),
        "noise": _only("noise"),
    }
    found: dict[str, Any] = {}
    members = sorted(path for path in folds.iterdir() if path.name.startswith("fold-"))
    for name, change in kinds.items():
        torch.manual_seed(0)
        targets, scores = [], []
        for member in members:
            run = mien.load(member)
            data = run.read(manifest)
            tested = set(answers.read(member / "predictions.parquet", run.specs)[0].ids)
            rows = [r for r in data.rows if r.id in tested and r.labels["emotion"] != NOBODY]
            said = _worn(run, run.dataset(data, rows), change)
            keep = [i for i, x in enumerate(run.specs["emotion"].labels) if x != NOBODY]
            names = [run.specs["emotion"].labels[i] for i in keep]
            scores.append(said[:, keep] / said[:, keep].sum(1, keepdims=True))
            targets.append([names.index(str(r.labels["emotion"])) for r in rows])
        spec = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=tuple(names))
        found[name] = _short(spec, np.concatenate(targets), np.concatenate(scores))
    return found


def _only(step: str) -> Change:
    made = worn(VoiceWear, {name: float(name == step) for name in STEPS})
    return made.train()


def _worn(run: mien.Run, rows: Any, change: Change) -> Scores:
    class Changed(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> Any:
            sample = rows[index]
            wave = torch.tensor(sample.inputs["audio"]).float().flatten()[None]
            mask = torch.ones(wave.shape, dtype=torch.bool)
            return replace(sample, inputs={"audio": change(wave, mask)[0].numpy()})

    found = infer.predict(run.whole, Changed(), run.specs, batch_size=64)
    return np.concatenate(found.tasks["emotion"].scores)


def _short(spec: TaskSpec, targets: NDArray[Any], scores: Scores) -> dict[str, float]:
    from mien import tasks

    found = tasks.scores(spec, targets.astype(float), scores)
    return {name: found[name] for name in ("uar", "war", "ece")}


# -- abstaining ------------------------------------------------------------------------------------


def nobody(run: Path, manifest: Path, clips: int = 200) -> dict[str, Any]:
    """How often the run abstains: where nobody speaks and no face is, and where somebody speaks.

    The sounds are of a seed that training never drew, and of kinds that it never heard. RAVDESS's
    clips were trained on; of actors that were not, `voices` says how often they are taken for
    nobody.
    """
    loaded = mien.load(run)
    silent: dict[str, list[bool]] = {}
    sounds = made_up(clips, seed=9) | unheard(clips)
    for name, timeline in zip(sounds, _heard(loaded, sounds), strict=True):
        silent.setdefault(name.partition("-")[0], []).append(_abstains(timeline))
    data = loaded.read(manifest)
    # Without their labels, which are not the run's.
    rows = [replace(r, labels={}) for r in data.rows if r.labels["emotion"] != NOBODY]
    dataset = loaded.dataset(data, rows)
    waves = {row.id: torch.tensor(dataset[i].inputs["audio"]) for i, row in enumerate(rows)}
    spoken = [_abstains(timeline) for timeline in _heard(loaded, waves)]
    found = {name: float(np.mean(values)) for name, values in silent.items()}
    every = [value for values in silent.values() for value in values]
    return found | {"nobody": float(np.mean(every)), "ravdess": float(np.mean(spoken))}


def unheard(clips: int) -> dict[str, Tensor]:
    """Sounds (L) of kinds that the recipe does not train on, by name."""
    draw, time = np.random.default_rng(9), np.arange(int(RATE * SECONDS)) / RATE
    found = {}
    for number in range(clips):
        kind = UNHEARD[number % len(UNHEARD)]
        level, pitch = 10 ** draw.uniform(-2.2, -0.6), draw.uniform(150, 1200)
        if kind == "sweep":
            wave = np.sin(2 * np.pi * (pitch * time + draw.uniform(-30, 300) * time**2))
        elif kind == "beeps":
            wave = np.sign(np.sin(2 * np.pi * pitch * time)) * (time * draw.uniform(1, 5) % 1 < 0.5)
        elif kind == "bell":
            since = time % draw.uniform(0.5, 2)
            wave = np.zeros(len(time))
            for partial in (0.56, 0.92, 1.19, 1.71, 2.0, 2.74, 3.0):
                wave += np.sin(2 * np.pi * pitch * partial * since) * np.exp(-since * partial)
        elif kind == "engine":
            turns = np.cumsum(pitch / 12 * (1 + 0.1 * np.sin(draw.uniform(0.5, 3) * time))) / RATE
            wave = np.exp(-8 * (turns % 1)) * draw.normal(1, 0.5, len(time))
        elif kind == "birds":
            calls = time * draw.uniform(1, 6) % 1
            wave = np.sin(2 * np.pi * np.cumsum(4 * pitch * (1 + calls)) / RATE) * (calls < 0.3)
        else:
            drops = draw.random(len(time)) < draw.uniform(0.0005, 0.01)
            wave = np.convolve(drops * draw.normal(size=len(time)), np.exp(-np.arange(300) / 30))
            wave = wave[: len(time)]
        wave = level * wave / np.abs(wave).max() + 1e-4 * draw.normal(size=len(time))
        found[f"{kind}-{number}"] = torch.from_numpy(wave.astype(np.float32))
    return found


def _heard(run: mien.Run, waves: Mapping[str, Tensor]) -> Sequence[Any]:
    return run.predict([{"audio": wave.flatten().numpy()} for wave in waves.values()])


def _abstains(timeline: Any) -> bool:
    return not any(window.scores for track in timeline.tracks for window in track.windows)


def main() -> None:
    """Parse, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    commands: dict[str, tuple[Callable[..., dict[str, Any]], tuple[str, ...]]] = {
        "faces": (faces, ("run", "manifest")),
        "pasted": (pasted, ("run", "place")),
        "voices": (voices, ("folds",)),
        "fusion": (fusion, ("voice", "face")),
        "wear": (wear, ("folds", "manifest")),
        "nobody": (nobody, ("run", "manifest")),
    }
    for name, (_, places) in commands.items():
        command = what.add_parser(name)
        for place in places:
            command.add_argument(place, type=Path)
        if name == "faces":
            command.add_argument("--peer", type=Path, help="scores of another model, .npz")
    given = vars(parser.parse_args())
    measure = commands[given.pop("what")][0]
    print(json.dumps(measure(**given), indent=1))


if __name__ == "__main__":
    main()
