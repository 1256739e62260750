"""Texts that are the same are read once, and answered alike to the bit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien import config, registry, tasks
from mien.data.batch import RowDataset
from mien.data.manifest import Manifest, infer_tasks
from mien.parts.model import FrontEnd, Model
from mien.run import assemble, infer
from mien.run.infer import Predictions
from mien.run.repeats import Repeats
from mien.types import Specs

TEXTS = ["calm", "glad and loud, with a smile that stays", "calm", "oh", "calm", "oh", "schön"]


def _built(folder: Path, texts: Sequence[str], system: str) -> tuple[Model, RowDataset, Specs]:
    path = folder / "frames.jsonl"
    rows = [
        {"id": f"f{n}", "text": text, "speaker": f"p{n % 2}", "start": n / 10, "end": (n + 1) / 10,
         "labels": {"emotion": ["sad", "glad"][n % 2]}}
        for n, text in enumerate(texts)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = Manifest.read(path)
    specs = infer_tasks(manifest, tasks.NAMED)
    settings = config.resolve(system, preset="tiny")
    stage = next(iter(registry.system(system).load().STAGES.values()))
    dataset = assemble.dataset(manifest, manifest.rows, settings, stage, specs)
    return assemble.build(stage, settings, specs).eval(), dataset, specs


class Counted:
    """How many samples a model has read."""

    def __init__(self, model: Model) -> None:
        self.read = 0
        model.register_forward_hook(self._note)

    def _note(self, module: Any, given: Any, output: Any) -> None:
        self.read += len(given[0])


def _every(model: Model, rows: RowDataset, specs: Specs, size: int) -> Predictions:
    """All samples one after another, whatever they say."""
    found = Predictions(tasks={name: infer.Answers() for name in specs}, groups=rows.groups())
    with torch.inference_mode():
        for batch in infer.batches(rows, specs, size, model.front_end):
            infer.collect(found, batch, model(batch), specs)
    return found


@pytest.mark.parametrize("system", ["textualized", "toy-text"])
def test_each_text_is_read_once_and_its_answer_is_exactly_its_own(
    system: str, tmp_path: Path
) -> None:
    model, rows, specs = _built(tmp_path, TEXTS, system)
    counted = Counted(model)
    once = infer.predict(model, rows, specs, batch_size=1)
    assert counted.read == len(set(TEXTS)) == 4
    every = _every(model, rows, specs, 1)
    for a, b in zip(once.tasks["emotion"].scores, every.tasks["emotion"].scores, strict=True):
        np.testing.assert_array_equal(a, b)  # one by one there is no padding: the same to the bit
    assert once.ids == every.ids
    assert once.groups == every.groups
    assert once.present == every.present
    for a, b in zip(once.tasks["emotion"].targets, every.tasks["emotion"].targets, strict=True):
        np.testing.assert_array_equal(a, b)


def test_copies_are_alike_to_the_bit_whatever_batch_they_are_in(tmp_path: Path) -> None:
    model, rows, specs = _built(tmp_path, TEXTS, "textualized")
    for size in (1, 2, 3, 16):
        found = infer.predict(model, rows, specs, batch_size=size).tasks["emotion"].scores
        for other in (2, 4):
            np.testing.assert_array_equal(found[0], found[other])
        every = _every(model, rows, specs, size).tasks["emotion"].scores
        np.testing.assert_allclose(np.stack(found), np.stack(every), atol=1e-6)


def test_texts_that_all_differ_are_read_as_ever(tmp_path: Path) -> None:
    model, rows, _ = _built(tmp_path, sorted(set(TEXTS)), "textualized")
    assert Repeats.of(rows, model.front_end) is None


def test_what_is_drawn_for_each_sample_is_read_for_each(tmp_path: Path) -> None:
    model, rows, _ = _built(tmp_path, TEXTS, "textualized")

    class Lucky(FrontEnd):
        def draw(self, inputs: Any, luck: Any) -> Any:
            return {}

    assert Repeats.of(rows, model.front_end) is not None
    assert Repeats.of(rows, Lucky()) is None
    assert Repeats.of([1, 1, 1], model.front_end) is None
