"""Two trained towers and their calibration to the run that mien-pocket carries.

    python recipes/pocket/assemble.py --face runs/face --faces faces/faces.jsonl \
        --voice runs/voice --folds runs/voice-folds --out pocket/src/mien_pocket/run

The face's temperature is fitted on the part that was held out of its training, the voice's on the
answers of its six folds to actors they were not trained on. By these it is also fixed from which
chance that nobody speaks the voice has nothing to say: one clip of a hundred would be lost. Weights
are kept in half precision; the assembled run is compared with the towers it was made of.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

import mien
from mien import config
from mien.data.crops import CropRecipe
from mien.parts import hub, towers
from mien.run import answers, checkpoint, folder, infer
from mien.run.load import Run
from mien.systems import pocket
from mien.systems.pocket import NOBODY
from mien.types import Problem, TaskSpec

LICENCE = "CC-BY-NC-SA-4.0"
LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CROP = CropRecipe(size=96)
_LOST = 0.01  # share of clips of unheard actors that may be taken for nobody's
_ROUNDING = 2e-2  # largest difference of a probability that half precision may make


def assemble(face: Path, faces: Path, voice: Path, folds: Path, out: Path) -> dict[str, float]:
    """Write the run; gives its temperatures and its doubt."""
    seeing, hearing = mien.load(face), mien.load(voice)
    specs = folder.read_labels(voice)
    kept, _ = answers.joined(sorted(folds.glob("fold-*")), specs)
    temperatures = {
        "video": fit_temperature(*_pooled(_held_out(seeing, faces))),
        "audio": fit_temperature(*_pooled(kept)),
    }
    said, heard = _pooled(kept)
    doubt = fit_doubt(said, heard, temperatures["audio"], specs["emotion"].labels.index(NOBODY))
    settings = config.resolve("pocket", preset="pocket")
    spec = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=LABELS)
    own = {"video": seeing, "audio": hearing}
    records = {}
    for name, run in own.items():
        path = f"network.opinions.{name}.tower"
        records[path] = _store(
            _tower(run, name), out / "towers" / path, str(_named(settings, name))
        )
    with towers.using(records, out):
        model = pocket.build(settings.model, {"emotion": spec})  # type: ignore[arg-type]
    network: Any = model.network
    with torch.no_grad():
        for name, run in own.items():
            opinion, head = network.opinions[name], _head(run)
            opinion.head.load_state_dict({k: t.half().float() for k, t in head.items()})
            opinion.temperature.copy_(torch.tensor(temperatures[name]))
        network.doubt.copy_(torch.tensor(doubt))
    folder.write_model(out / folder.MODEL, model)
    folder.write_labels(out, {"emotion": spec})
    checkpoint.write_bytes(out / folder.CONFIG, settings.to_yaml().encode())
    fitted = temperatures | {"doubt": doubt}
    checkpoint.write_json(out / folder.CARD, _card(own, records, fitted))
    compare(mien.load(out), own, temperatures)
    return fitted


def fit_temperature(scores: Tensor, targets: Tensor) -> float:
    """What logits are divided by for the best likelihood: a number, by Newton's method.

    Args:
        scores: (N, K) probabilities of clips that were not trained on.
        targets: (N) classes.
    """
    logits, log = scores.clamp_min(1e-12).log().double(), torch.zeros((), dtype=torch.float64)
    log.requires_grad_()
    optimizer = torch.optim.LBFGS([log], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(logits / log.exp(), targets)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return float(log.detach().exp())


def fit_doubt(scores: Tensor, targets: Tensor, temperature: float, nobody: int) -> float:
    """How many times likelier nobody has to be so that few clips of somebody are lost.

    Args:
        scores: (N, K) probabilities of clips that were not trained on.
        targets: (N) classes.
        temperature: what their logits are divided by.
        nobody: the class of sounds in which nobody speaks.
    """
    sharp = (scores.clamp_min(1e-12).log() / temperature).softmax(1)
    spoken = sharp[targets != nobody, nobody]
    limit = float(spoken.double().quantile(1 - _LOST).clamp(1e-3, 0.5))
    return (1 - limit) / limit


def _held_out(run: Run, data: Path) -> infer.Predictions:
    """What a run says of the rows that were held out of its training."""
    manifest, chosen = run.read(data), set(run.card["selection"]["ids"])
    rows = [row for row in manifest.rows if row.id in chosen]
    return infer.predict(run.whole, run.dataset(manifest, rows), run.specs, batch_size=128)


def _pooled(found: infer.Predictions) -> tuple[Tensor, Tensor]:
    targets, scores = found.tasks["emotion"].pooled()
    return torch.from_numpy(scores), torch.from_numpy(targets.astype(np.int64))


def _named(settings: config.RunConfig, name: str) -> object:
    return getattr(settings.model, "vision" if name == "video" else "audio")


def _tower(run: Run, name: str) -> towers.Tower:
    network: Any = run.model
    tower: towers.Tower = network.encoders[name]
    return tower


def _head(run: Run) -> Mapping[str, Tensor]:
    network: Any = run.model
    state: Mapping[str, Tensor] = network.heads["emotion"].state_dict()
    return state


def _store(tower: towers.Tower, place: Path, name: str) -> dict[str, Any]:
    """Keep a tower in half precision, and what a run records of it."""
    towers.save_tower(tower, place)
    state = load_file(place / hub.WEIGHTS)
    halved = {k: t.half() if t.is_floating_point() else t for k, t in state.items()}
    save_file(halved, place / hub.WEIGHTS, metadata={"format": "pt"})
    values = tower.described() | {"licence": LICENCE, "dropout": 0.0}
    checkpoint.write_json(place / hub.CONFIG, values)
    kept = towers.load_tower(tower.kind, place)
    return {
        "kind": tower.kind,
        "name": name,
        "revision": None,
        "sha256": towers.fingerprint(kept),
        "stored": True,
        "licence": LICENCE,
    }


def _card(
    own: Mapping[str, Run], records: Mapping[str, Any], fitted: Mapping[str, float]
) -> dict[str, Any]:
    return {
        "finished": True,
        "system": "pocket",
        "preset": "pocket",
        "seed": 0,
        "fold": None,
        "started_from": None,
        "data": ", ".join(str(run.card["data"]) for run in own.values()),
        "versions": folder.versions(),
        "licence": LICENCE,
        "modalities": ["audio", "video"],
        "inputs": {"audio": "sound", "video": "frames"},
        "recipes": [{"fps": 25.0, "every": 5, "crop": CROP.to_dict()}],
        "selection": {"part": "held_out", "ids": []},
        "notes": [],
        "sizes": {name: run.card["sizes"] for name, run in own.items()},
        "fitted": dict(fitted),
        "towers": dict(records),
    }


def compare(made: Run, own: Mapping[str, Run], temperatures: Mapping[str, float]) -> None:
    """Refuse a run whose opinions are not those of the towers it was made of."""
    torch.manual_seed(0)
    network: Any = made.model
    size = int(made.settings.model.model_dump()["size"])
    given = {
        "video": torch.rand(16, 3, 1, size, size),
        "audio": torch.randn(16, 1, 300, 64) * 4 - 8,
    }
    for name, run in own.items():
        with torch.no_grad():
            before = run.model(**{name: given[name]}).logits["emotion"] / temperatures[name]
            after, _ = network.opinions[name](given[name], None)
        apart = float((before.softmax(-1) - after.exp()).abs().max())
        if apart > _ROUNDING:
            raise SystemExit(f"{name}: half precision changes a probability by {apart:.3f}")
        print(f"{name}: half precision changes a probability by {apart:.1e} at most")


def main() -> None:
    """Parse and assemble."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--face", type=Path, required=True, help="run of the face tower")
    parser.add_argument("--faces", type=Path, required=True, help="manifest it was trained on")
    parser.add_argument("--voice", type=Path, required=True, help="run of the voice on all actors")
    parser.add_argument("--folds", type=Path, required=True, help="runs of the voice by folds")
    parser.add_argument("--out", type=Path, required=True, help="the run of the package")
    given = parser.parse_args()
    print(assemble(given.face, given.faces, given.voice, given.folds, given.out))


if __name__ == "__main__":
    main()
