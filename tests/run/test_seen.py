"""Of prepared clips only what a front end chooses is decoded, and that changes no answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import torch

from mien import config, registry
from mien.data.batch import RowDataset, collate
from mien.data.manifest import Manifest, infer_tasks
from mien.data.shards import Shard
from mien.errors import ConfigError, DataError
from mien.parts.model import Model
from mien.run import assemble, infer, seeing
from mien.run.batches import Seen
from mien.types import Resolution, Specs


class Scene:
    """Rows of prepared clips and a model that reads them."""

    def __init__(self, folder: Path) -> None:
        self.manifest = Manifest.read(corpora.prepared(folder))
        self.specs: Specs = infer_tasks(self.manifest, {})
        settings = config.resolve("claip-emo", preset="tiny", overrides=["frames=4", "stride=2"])
        stage = registry.system("claip-emo").load().STAGES["classify"]
        self.rows: RowDataset = assemble.dataset(
            self.manifest, self.manifest.rows, settings, stage, self.specs
        )
        torch.manual_seed(0)
        self.model: Model = assemble.build(stage, settings, self.specs).eval()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("seen"))


def test_a_prepared_clip_has_the_frames_of_its_row_and_a_mask(scene: Scene) -> None:
    for index, row in enumerate(scene.manifest.rows):
        sample = scene.rows[index]
        if "video" not in row.features:
            assert sample.inputs.keys() == {"audio"}
            continue
        assert sample.inputs["video"].shape == (25, 32, 32, 3)
        start = round(25 * (row.start or 0))
        there = [(int(row.id[1]) + k) % 6 != 0 for k in range(start, start + 25)]
        assert sample.mask["video"].tolist() == there
        assert (sample.inputs["video"][~np.array(there)] == 0).all()
        bright = sample.inputs["video"][np.array(there)].mean()
        assert (bright > 110) == (row.labels["emotion"] == "glad")
        assert sample.times is not None
        assert sample.times.tolist() == pytest.approx((np.arange(25) / 25).tolist())
        if "audio" in row.features:
            assert len(sample.inputs["audio"]) == 16000


def test_choosing_before_reading_answers_the_same(scene: Scene) -> None:
    whole = [scene.rows[i] for i in range(len(scene.rows))]
    seen = [Seen(scene.rows, scene.model.front_end)[i] for i in range(len(scene.rows))]
    with torch.inference_mode():
        for one, other in zip(whole, seen, strict=True):
            assert one.chosen == frozenset()
            assert other.chosen == frozenset(other.inputs) & {"video"}
            a, b = (scene.model(collate([sample], {})).logits["emotion"] for sample in (one, other))
            assert torch.equal(a, b)


def test_only_what_is_chosen_is_decoded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    real = Shard.decode

    def counted(self: Shard, blobs: Any) -> Any:
        decoded.append(len(blobs))
        return real(self, blobs)

    monkeypatch.setattr(Shard, "decode", counted)
    sample = Seen(scene.rows, scene.model.front_end)[0]
    assert decoded == [len(sample.inputs["video"])] == [4]


def test_a_draw_of_training_repeats_itself_and_others_differ(scene: Scene) -> None:
    seen = Seen(scene.rows, scene.model.front_end)
    state = torch.get_rng_state()
    draws = [seen[0, seed].inputs["video"] for seed in range(12)]
    again = [seen[0, seed].inputs["video"] for seed in range(12)]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(np.array_equal(a, b) for a, b in zip(draws, again, strict=True))
    assert len({draw.tobytes() for draw in draws}) > 1


def test_where_every_frame_has_a_label_nothing_is_left_out(scene: Scene) -> None:
    by_frame = {
        name: replace(spec, resolution=Resolution.FRAME) for name, spec in scene.specs.items()
    }
    rows = RowDataset(
        [replace(row, labels={}) for row in scene.manifest.rows],
        scene.manifest,
        scene.rows.modalities,
        by_frame,
        scene.rows.unit,
    )
    sample = Seen(rows, scene.model.front_end)[0]
    assert len(sample.inputs["video"]) == 25
    assert not sample.chosen


def test_prepared_clips_and_arrays_do_not_share_a_batch(scene: Scene) -> None:
    seen = Seen(scene.rows, scene.model.front_end)[0]
    array = replace(scene.rows[1], chosen=frozenset())
    with pytest.raises(DataError, match="prepared for some clips"):
        collate([seen, array], {})


def test_a_damaged_shard_names_row_and_file(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    path = tmp_path / "0.shard"
    content = bytearray(path.read_bytes())
    for place in range(100, 20_000, 50):
        content[place] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged") as caught:
        list(infer.batches(scene.rows, scene.specs, 4, scene.model.front_end))
    assert "0.shard" in str(caught.value)
    assert "mien data prepare" in str(caught.value)


def test_sound_of_another_rate_than_the_model_s_is_refused(scene: Scene) -> None:
    settings = config.resolve("claip-emo", preset="tiny", overrides=["audio_source_rate=48000"])
    stage = registry.system("claip-emo").load().STAGES["classify"]
    with pytest.raises(ConfigError, match="16000") as caught:
        assemble.dataset(scene.manifest, scene.manifest.rows, settings, stage, scene.specs)
    assert "--rate 48000" in str(caught.value)


def test_the_record_says_what_the_inputs_were(scene: Scene) -> None:
    found = seeing.record(scene.rows)
    assert found["inputs"] == {"audio": "sound", "video": "frames"}
    (recipe,) = found["recipes"]
    assert recipe["detector"] == "yunet-00000000"


# -- sound of the same moments ---------------------------------------------------------------------


def _hicmae(folder: Path, *words: str) -> tuple[RowDataset, Model, Specs]:
    manifest = Manifest.read(corpora.prepared(folder))
    specs = infer_tasks(manifest, {})
    settings = config.resolve("hicmae", preset="tiny", overrides=words)
    stage = registry.system("hicmae").load().STAGES["finetune"]
    torch.manual_seed(0)
    model = assemble.build(stage, settings, specs).eval()
    return assemble.dataset(manifest, manifest.rows, settings, stage, specs), model, specs


def test_the_sound_of_the_chosen_frames_is_read_with_them(tmp_path: Path) -> None:
    rows, model, _ = _hicmae(tmp_path)
    seen = Seen(rows, model.front_end)
    window = 4 * 2 * 16000 // 25  # four frames, every second one of 25 a second
    for index in range(len(rows)):
        whole, evaluated, drawn = rows[index], seen[index], seen[index, 5]
        assert evaluated.chosen == drawn.chosen == frozenset(whole.inputs)
        if "audio" not in whole.inputs:
            continue
        for sample, views in ((evaluated, 2), (drawn, 1)):
            there = sample.mask["audio"].reshape(views, -1)
            assert (there.sum(1) <= window + 2 * 16000 // 25).all()  # two gaps lengthen it
            for view, heard in enumerate(sample.inputs["audio"].reshape(views, -1)):
                taken = heard[there[view]]
                parts = np.lib.stride_tricks.sliding_window_view(whole.inputs["audio"], len(taken))
                assert (parts == taken).all(1).any()


def test_every_reading_has_luck_of_its_own(tmp_path: Path) -> None:
    rows, model, _ = _hicmae(tmp_path)
    seen = Seen(rows, model.front_end)
    assert seen[0].luck == seen[0].luck != seen[1].luck
    assert seen[0, 5].luck == seen[1, 5].luck != seen[0, 6].luck
    batch = collate([seen[0, 5], seen[1, 6]], {})
    assert list(batch.luck) == [seen[0, 5].luck, seen[1, 6].luck]
    assert list(collate([replace(seen[0, 5], luck=None), seen[1, 6]], {}).luck) == []


def test_prepared_clips_and_their_arrays_are_answered_alike(tmp_path: Path) -> None:
    rows, model, _ = _hicmae(tmp_path, "views=1")
    index = 2  # seen at its last moment too, so that an array is as long as the recording
    assert rows[index].mask["video"][-1]
    with torch.inference_mode():
        chosen = model(collate([Seen(rows, model.front_end)[index]], {}))
        arrays = model(collate([rows[index]], {}))
    torch.testing.assert_close(
        chosen.logits["emotion"], arrays.logits["emotion"], atol=1e-5, rtol=0
    )
