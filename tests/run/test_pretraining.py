"""What a masked pre-training is asked: numbers against loops, masks by clip, rows of which part."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import corpora
import masked
import numpy as np
import pytest
import torch

from mien.data.manifest import Manifest
from mien.errors import RunError
from mien.parts import patches
from mien.run import checkpoint, folder, infer, pretraining, score
from mien.run.load import load
from mien.run.pretraining import ask
from mien.run.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-training on twelve clips, of which some people are held out."""
    home = tmp_path_factory.mktemp("pre")
    return masked.pretrained(masked.clips(home / "clips"), home / "run")


def data(run: Path) -> Path:
    return run.parent / "clips" / "clips.jsonl"


def asked(run: Path, data: Path | Manifest, shown: int = 4) -> pretraining.Asked:
    found = ask(run, data, shown=shown)
    assert found is not None
    return found


def alone(run: Path, name: str) -> dict[str, Any]:
    """One clip by itself: its input, masks drawn from its id, what was made of it."""
    loaded = load(run)
    manifest = loaded.read(data(run))
    rows = [row for row in manifest.rows if row.id == name]
    (batch,) = infer.batches(loaded.dataset(manifest, rows), {}, 1, loaded.front_end)
    inputs, drawn, mask = loaded.whole.prepared(batch)
    with torch.no_grad():
        output = loaded.model(**inputs, **drawn, mask=mask, present=batch.present)
    return {"inputs": inputs, "drawn": drawn, "output": output}


def patches_of(x: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """(1, C, ...) in patches (N, P, C), cut by loops."""
    steps = [range(0, extent, side) for extent, side in zip(x.shape[2:], size, strict=True)]
    corners: list[tuple[int, ...]] = [()]
    for step in steps:
        corners = [(*corner, at) for corner in corners for at in step]
    boxes = []
    for corner in corners:
        box = x[0]
        for axis, (at, side) in enumerate(zip(corner, size, strict=True), 1):
            box = box.narrow(axis, at, side)
        boxes.append(box)
    return torch.stack([box.flatten(1).T for box in boxes])


def error(x: torch.Tensor, hidden: torch.Tensor, made: torch.Tensor) -> tuple[float, float]:
    """Squared error of what was made, and of nothing, value by value."""
    films = x.ndim == 5
    scale = [
        torch.tensor(v).view(3, 1, 1, 1) for v in ((0.229, 0.224, 0.225), (0.485, 0.456, 0.406))
    ]
    own = patches_of(x * scale[0] + scale[1] if films else x, (2, 8, 8) if films else (16, 16))
    ours, nothing = [], []
    for place, wanted in zip(np.flatnonzero(hidden[0]), made[0], strict=True):
        values = own[place]
        target = (values - values.mean(0)) / (values.std(0) + 1e-6)
        if films:
            first, second = target[:64], target[64:]
            target = torch.cat([first, second - first])
        ours += [
            (a - b) ** 2 for a, b in zip(wanted.tolist(), target.flatten().tolist(), strict=True)
        ]
        nothing += [b**2 for b in target.flatten().tolist()]
    return math.fsum(ours) / len(ours), math.fsum(nothing) / len(nothing)


def test_errors_and_ranks_are_those_of_a_loop_over_clips(run: Path) -> None:
    found = asked(run, data(run), shown=99).numbers
    ids = json.loads((run / "card.json").read_text())["selection"]["ids"]
    assert (found["part"], found["rows"], found["notes"]) == ("held_out", len(ids), [])
    assert {clip["id"] for clip in found["clips"]} == set(ids)
    features: dict[str, list[torch.Tensor]] = {}
    for clip in found["clips"]:
        own = alone(run, clip["id"])
        for name in own["inputs"]:
            hidden, made = own["drawn"][f"{name}_hidden"], own["output"].aux[name]
            wanted = error(own["inputs"][name], hidden, made)
            assert clip[name] == pytest.approx(
                dict(zip(("error", "flat"), wanted, strict=True)), rel=1e-4
            )
        if len(own["inputs"]) == 2:
            for name, vector in own["output"].features.items():
                features.setdefault(name, []).append(vector[0])
    for name, mean in found["rebuilt"].items():
        each = [clip[name]["error"] for clip in found["clips"] if name in clip]
        assert mean["error"] == pytest.approx(sum(each) / len(each))
        assert mean["clips"] == len(each)
    told = found["retrieval"]
    assert told["clips"] == len(features["video_1"])
    assert [one["level"] for one in told["levels"]] == [1, 2, 3]
    for one in told["levels"]:
        for way in ("audio_to_video", "video_to_audio"):
            ask_with, asked_among = (features[f"{n}_{one['level']}"] for n in way.split("_to_"))
            ranks = []
            for i, vector in enumerate(ask_with):
                near = [float(torch.cosine_similarity(vector, x, 0)) for x in asked_among]
                ranks.append(1 + sum(n > near[i] for n in near))
            assert one[way]["recall_1"]["value"] == sum(r == 1 for r in ranks) / len(ranks)
            assert one[way]["median_rank"]["value"] == float(np.median(ranks))


def test_masks_follow_from_the_clip_whatever_lies_beside_it(run: Path) -> None:
    manifest = Manifest.read(data(run))
    whole = asked(run, manifest.only(manifest.rows[2:6]))
    again = asked(run, manifest.only([manifest.rows[i] for i in (9, 4, 3)]))
    both = whole.clips.keys() & again.clips.keys()
    assert both == {"c3", "c4"}
    for name in both:
        for modality, side in whole.clips[name].items():
            other = again.clips[name][modality]
            np.testing.assert_array_equal(np.isnan(side.visible), np.isnan(other.visible))
            np.testing.assert_allclose(side.rebuilt, other.rebuilt, atol=1e-5)
    assert any(
        (np.isnan(whole.clips["c3"]["audio"].visible) != np.isnan(side["audio"].visible)).any()
        for side in whole.clips.values()
    )


def test_pictures_show_what_was_there_and_what_was_hidden(run: Path) -> None:
    found = asked(run, data(run), shown=99)
    for name, sides in found.clips.items():
        drawn = alone(run, name)["drawn"]
        for modality, side in sides.items():
            hidden = np.isnan(side.visible)
            size = (2, 8, 8) if modality == "video" else (16, 16)
            cut = patches.cut(torch.from_numpy(hidden)[None], size).flatten(2)[0]
            assert torch.equal(cut.all(1), drawn[f"{modality}_hidden"][0])
            assert torch.equal(cut.any(1), cut.all(1))
            np.testing.assert_array_equal(side.visible[~hidden], side.original[~hidden])
            np.testing.assert_array_equal(side.rebuilt[~hidden], side.original[~hidden])
            assert not np.isnan(side.rebuilt).any()
        if "video" in sides:
            assert 0 <= sides["video"].original.min() <= sides["video"].original.max() <= 1


def test_which_rows_are_asked_follows_from_the_manifest(run: Path, tmp_path: Path) -> None:
    other = masked.clips(tmp_path / "other", count=3, seed=5)
    found = asked(run, other).numbers
    assert (found["part"], found["rows"], found["notes"]) == ("all", 3, [])
    marked = masked.clips(tmp_path / "marked", count=3, split="test")
    assert asked(run, marked).numbers["part"] == "test"
    last = tmp_path / "last"
    own = masked.pretrained(data(run), last, "train.select=last", "epochs=1")
    found = asked(own, data(run)).numbers
    assert (found["part"], found["rows"], found["notes"]) == ("all", 12, [score.SEEN])


def test_many_clips_are_asked_evenly(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "MOST", 3)
    manifest = Manifest.read(data(run))
    found = asked(run, manifest.only(manifest.rows[:7])).numbers
    assert (found["rows"], found["asked"]) == (7, 3)
    assert [clip["id"] for clip in found["clips"]] == ["c0", "c2", "c4"]


def test_sound_alone_is_rebuilt_alone(run: Path, tmp_path: Path) -> None:
    voices = masked.clips(tmp_path / "voices", count=8, video=False)
    own = masked.pretrained(voices, tmp_path / "run", "epochs=1")
    for place in (own, run):
        found = asked(place, voices)
        assert found.numbers["rebuilt"].keys() == {"audio"}
        assert found.numbers["retrieval"] is None
        assert all(sides.keys() == {"audio"} for sides in found.clips.values())


def test_what_rebuilds_nothing_is_not_asked(tmp_path: Path) -> None:
    rows = corpora.clips(tmp_path)
    train("toy-pretrain", stage="contrast", data=rows, out=tmp_path / "toy", overrides=["epochs=1"],
          quiet=True)  # fmt: skip
    assert ask(tmp_path / "toy", rows) is None


def test_weights_that_are_no_numbers_are_refused(run: Path, tmp_path: Path) -> None:
    for file in run.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = checkpoint.read_tensors(run / folder.MODEL)
    broken = {name: torch.full_like(tensor, math.nan) for name, tensor in tensors.items()}
    checkpoint.write_tensors(tmp_path / folder.MODEL, broken)
    with pytest.raises(RunError, match="no number"):
        ask(tmp_path, data(run))
