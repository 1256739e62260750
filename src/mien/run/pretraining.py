"""What a masked pre-training learned, asked of clips: what it rebuilds, what finds its other half.

Shapes: B clips of a batch, C channels, D width of a feature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.data.manifest import Manifest, Row
from mien.errors import DataError, RunError
from mien.parts import masking, patches, pretext
from mien.parts.pretext import PatchTarget, Rebuilding
from mien.run import infer, score
from mien.run.batches import Collate
from mien.run.load import Run, load
from mien.tasks.retrieval import chance, retrieval
from mien.types import Batch, Output

MOST = 1000
"""Clips that are asked at most: each half is looked for among all of them."""
_BATCH = 16

Json = dict[str, Any]
Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Side:
    """One modality of a clip: (3, T, H, W) colours in 0..1, or a spectrogram (1, time, bands).

    Args:
        original: what there was.
        visible: the same, NaN where it was hidden.
        rebuilt: the same, with what the network made where it was hidden.
    """

    original: Values
    visible: Values
    rebuilt: Values


@dataclass(slots=True)
class Asked:
    """What came of it.

    Args:
        numbers: plain JSON values.
        clips: the sides of a few clips, by clip and modality.
    """

    numbers: Json
    clips: dict[str, dict[str, Side]] = field(default_factory=dict)


def rebuilds(run: Run) -> bool:
    """Whether a run's network is a masked autoencoder that can be looked at."""
    network = run.model
    if not isinstance(network, Rebuilding) or not network.targets:
        return False
    return all(isinstance(target, PatchTarget) for target in network.targets.values())


def ask(place: Path, data: str | Path | Manifest, *, shown: int = 4) -> Asked | None:
    """Let a run rebuild clips, and look for the voice of each face and for the face of each voice.

    Of the manifest that it was trained on, it is asked about what was held out; of another one,
    about its test part; and about everything where there is neither. Which patches are hidden
    follows from the clip's id alone.

    Args:
        place: a finished run.
        data: manifest.
        shown: clips whose pictures are kept.

    Returns:
        None where the run is no masked autoencoder.
    """
    run = load(place)
    if not rebuilds(run):
        return None
    manifest = data if isinstance(data, Manifest) else run.read(data)
    rows, part, notes = _rows(run, manifest)
    asked = rows if len(rows) <= MOST else [rows[i * len(rows) // MOST] for i in range(MOST)]
    dataset = run.dataset(manifest, asked)
    few = min(shown, len(asked))
    wanted = {asked[i * len(asked) // few].id for i in range(few)}
    taken = _Taken(run, wanted)
    for batch in infer.batches(dataset, {}, _BATCH, run.front_end, Collate(dataset, {})):
        taken.take(batch)
    numbers = taken.numbers() | {"part": part, "rows": len(rows), "asked": len(asked)}
    numbers["notes"] = notes
    return Asked(numbers, taken.clips)


def _rows(run: Run, manifest: Manifest) -> tuple[list[Row], str, list[str]]:
    """The rows that are asked about, which part of the manifest they are, and what to beware of."""
    own = manifest.fingerprint() == run.card.get("data")
    selection = run.card.get("selection")
    if own and isinstance(selection, dict) and selection.get("part") == "held_out":
        ids = selection.get("ids")
        chosen = {name for name in ids if isinstance(name, str)} if isinstance(ids, list) else set()
        if held := [row for row in manifest.rows if row.id in chosen]:
            return held, "held_out", []
    fold = run.card.get("fold")
    left = score.left_out(manifest, run.settings, fold if isinstance(fold, int) else None, own)
    if left:
        return left, "test", []
    if not manifest.rows:
        raise DataError("there is no row to ask about", where=str(manifest.path))
    return list(manifest.rows), "all", [score.SEEN] if own else []


class _Taken:
    """Gathers errors, features and pictures batch by batch."""

    def __init__(self, run: Run, wanted: set[str]) -> None:
        network = run.model
        assert isinstance(network, Rebuilding)
        self.run, self.wanted = run, wanted
        self.targets: Mapping[str, PatchTarget] = network.targets
        self.levels: Sequence[int] = network.levels
        self.by_clip: dict[str, dict[str, dict[str, float]]] = {}
        self.hidden: dict[str, float] = {}
        self.features: dict[str, list[Tensor]] = {}
        self.clips: dict[str, dict[str, Side]] = {}

    @torch.inference_mode()
    def take(self, batch: Batch) -> None:
        """One batch through the network."""
        batch = batch.to(infer.device_of(self.run.whole))
        inputs, drawn, mask = self.run.whole.prepared(batch)
        output = self.run.model(**inputs, **drawn, mask=mask, present=batch.present)
        there = {n: output.aux[f"{n}_present"] for n in self.targets if n in inputs}
        for name, own in there.items():
            self._rebuilt(name, batch, inputs[name], drawn[f"{name}_hidden"], output, own)
        both = list(there) if len(there) == len(self.targets) == 2 else []
        if both:
            self._keep(output, both, there[both[0]] & there[both[1]])

    def _rebuilt(
        self, name: str, batch: Batch, x: Tensor, mask: Tensor, output: Output, there: Tensor
    ) -> None:
        """Errors of each clip that has the modality, and the pictures of those that are wanted."""
        target, made = self.targets[name], output.aux[name].float()
        _, hidden = masking.parted(mask)
        wanted = target(x, hidden)
        error = pretext.patch_error(made, wanted)
        if not bool(torch.isfinite(error[there]).all()):
            raise RunError("what it rebuilds is no number", where=str(self.run.path))
        flat = pretext.patch_error(torch.zeros_like(made), wanted)
        self.hidden[name] = float(mask.float().mean())
        for row in torch.nonzero(there)[:, 0].tolist():
            own = self.by_clip.setdefault(batch.ids[row], {})
            own[name] = {"error": float(error[row]), "flat": float(flat[row])}
        rows = [r for r, clip in enumerate(batch.ids) if clip in self.wanted and bool(there[r])]
        if rows:
            x, made, hidden = x[rows], made[rows], hidden[rows]
            whole = target.shown(x)
            unseen = torch.full_like(patches.cut(whole, target.size, hidden), math.nan)
            seen = patches.put(whole, target.size, hidden, unseen)
            found = [one.cpu().numpy() for one in (whole, seen, target.rebuilt(x, made, hidden))]
            for place, row in enumerate(rows):
                side = Side(*(one[place] for one in found))
                self.clips.setdefault(batch.ids[row], {})[name] = side

    def _keep(self, output: Output, both: Sequence[str], there: Tensor) -> None:
        for level in self.levels:
            for name in both:
                vectors = output.features[f"{name}_{level}"][there].double().cpu()
                normal = torch.nn.functional.normalize(vectors, dim=1)
                self.features.setdefault(f"{name}_{level}", []).append(normal)

    # -- all of it -----------------------------------------------------------------------------

    def numbers(self) -> Json:
        """What was rebuilt how badly, and how often halves found each other."""
        means: Json = {}
        for name, target in self.targets.items():
            own = [clip[name] for clip in self.by_clip.values() if name in clip]
            if own:
                means[name] = {
                    "clips": len(own),
                    "hidden": self.hidden[name],
                    "patch": list(target.size),
                    "frame_difference": target.frame_difference,
                    **{key: float(np.mean([one[key] for one in own])) for key in own[0]},
                }
        clips = [{"id": name, **self.by_clip[name]} for name in self.clips]
        return {"rebuilt": means, "clips": clips, "retrieval": self._retrieval()}

    def _retrieval(self) -> Json | None:
        """Of clips that have both modalities, by level and direction; None without two of them."""
        if not self.features:
            return None
        kept = {name: torch.cat(parts) for name, parts in self.features.items()}
        count = len(next(iter(kept.values())))
        if count < 2:
            return None
        one, two = sorted(self.targets)
        found = []
        for level in self.levels:
            near = (kept[f"{one}_{level}"] @ kept[f"{two}_{level}"].T).numpy()
            ways = {f"{one}_to_{two}": near, f"{two}_to_{one}": near.T}
            told = {
                way: {name: value.to_dict() for name, value in retrieval(own).items()}
                for way, own in ways.items()
            }
            found.append({"level": level, **told})
        return {"clips": count, "chance": chance(count), "levels": found}
