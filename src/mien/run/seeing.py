"""How a run's clips were looked at: recorded when it is trained, and matched when it watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data import features, prepared
from mien.data.batch import RowDataset
from mien.data.crops import CropRecipe
from mien.data.faces import Detector
from mien.data.rows import Row
from mien.errors import DataError, RunError
from mien.run.load import Run
from mien.run.windows import View

FRAMES, SOUND, TEXT, VECTORS = "frames", "sound", "text", "vectors"
_WATCHED = {"video": FRAMES, "audio": SOUND}


def record(rows: RowDataset) -> dict[str, Any]:
    """What a run's card says of its inputs: their kinds, and what they were prepared by.

    Raises:
        DataError: vectors of frames were made by several runs.
    """
    kinds: dict[str, str] = {}
    recipes: list[dict[str, Any]] = []
    vectors: dict[str, Any] = {}
    for index, members in enumerate(rows.items):
        if kinds.keys() != rows.modalities.keys():
            for name, array in rows[index].inputs.items():
                kinds.setdefault(name, _kind(array))
        for recipe in (r for row in members for r in _recipes(row, rows)):
            if recipe not in recipes:
                recipes.append(recipe)
        for made in (o for row in members for o in _origins(row, rows)):
            if vectors and vectors["by"] != made["by"]:
                raise DataError(
                    f"vectors of frames were made by {vectors['run']!r} and by {made['run']!r}, "
                    "and are not to be compared",
                    fix="mien data features with one --run for all",
                )
            vectors = vectors or made
    found = {"inputs": dict(sorted(kinds.items())), "recipes": recipes}
    return found | ({"vectors": vectors} if vectors else {})


def _kind(array: NDArray[np.generic]) -> str:
    if array.ndim == 4 and array.shape[3] == 3:
        return FRAMES
    if array.dtype.kind == "f" and (array.ndim == 1 or array.shape[1:] == (1,)):
        return SOUND
    return TEXT if array.ndim == 1 else VECTORS


def _recipes(row: Row, rows: RowDataset) -> list[dict[str, Any]]:
    names = [name for name in rows.modalities.values() if name in row.features]
    found = [prepared.recipe(row, name, rows.place) for name in names]
    return [recipe for recipe in found if recipe is not None]


def _origins(row: Row, rows: RowDataset) -> list[dict[str, Any]]:
    """Which run made each vector, and of what."""
    names = [name for name in rows.modalities.values() if name in row.features]
    found = [
        features.origin(row.features[name], row.place or rows.place, row=row.id) for name in names
    ]
    kept = ("by", "run", "fps", "recipe")
    return [{key: made.get(key) for key in kept} for made in found if made.get("by")]


def check(run: Run) -> None:
    """Refuse a run that learned from something else than pictures and sound."""
    kinds: Mapping[str, str] = run.card.get("inputs", {})
    for name, wanted in _WATCHED.items():
        kind = kinds.get(name, wanted)
        if kind != wanted:
            raise RunError(
                f"this run reads {name!r} as {kind}, not as {wanted}: it cannot watch a file",
                where=str(run.path),
                fix="mien predict MANIFEST with such features, or train on prepared media: "
                "mien data prepare",
            )


def view_of(run: Run, recipes: Sequence[Mapping[str, Any]] | None = None) -> View:
    """How this run's clips were looked at, or mien's own way where they came as arrays.

    Args:
        run: what will be asked.
        recipes: how clips were prepared; None: as the run's card says.
    """
    rate = int(getattr(run.settings.model, "audio_source_rate", View().rate))
    wanted = getattr(run.settings.model, "modalities", None) or run.stage.modalities
    modalities = frozenset(wanted) & frozenset(_WATCHED)
    recipes = recipes or run.card.get("recipes") or []
    if not recipes:
        return View(modalities=modalities, rate=rate)
    taught = recipes[0]
    return View(
        modalities=modalities,
        rate=rate,
        fps=float(taught["fps"]),
        every=int(taught.get("every", View().every)),
        crop=CropRecipe.from_dict(taught["crop"]),
    )


def mismatches(run: Run, view: View, detector: Detector | None) -> list[str]:
    """In which ways a file is looked at otherwise than the run's clips were, a sentence each."""
    recipes = run.card.get("recipes") or []
    notes = []
    if "video" in view.modalities and not recipes:
        notes.append(
            "How the run's clips were cut is not recorded: if their faces were framed otherwise, "
            "its answers are worse than its scores."
        )
    detectors = sorted({str(recipe["detector"]) for recipe in recipes if recipe.get("detector")})
    if detector is not None and detectors and detector.name not in detectors:
        notes.append(
            f"The run learned from faces found by {' and '.join(detectors)}, these were found by "
            f"{detector.name}: its answers may be worse than its scores."
        )
    if len(recipes) > 1:
        notes.append(f"The run learned from clips prepared in {len(recipes)} ways.")
    return notes
