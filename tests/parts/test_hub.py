"""Files of pretrained models: found, fetched, converted."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file
from small_towers import cached, vision_full

from mien.errors import TowerError
from mien.parts import hub, towers

B16 = "openai/clip-vit-base-patch16"


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    vision_full().save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


def test_a_missing_tower_says_what_fetches_it(empty_cache: Path) -> None:
    with pytest.raises(TowerError) as error:
        towers.clip_vision(B16)
    command = f"hf download {B16} config.json model.safetensors --revision 57c216476eef"
    assert command in str(error.value)
    with pytest.raises(TowerError, match=r"no folder '\./nowhere/at/all'"):
        towers.clip_vision("./nowhere/at/all")


def test_a_cached_tower_is_found_at_the_pinned_commit(clip_folder: Path, empty_cache: Path) -> None:
    pinned = towers.KNOWN[B16].revision
    cached(empty_cache, B16, clip_folder, pinned)
    assert towers.clip_vision(B16).source.revision == pinned
    with pytest.raises(TowerError, match="is not in the cache"):
        towers.clip_vision(B16, "0" * 40)


def test_a_name_without_a_pin_remembers_the_commit_it_was(
    clip_folder: Path, empty_cache: Path
) -> None:
    cached(empty_cache, "someone/clip", clip_folder, "abc123")
    assert towers.clip_vision("someone/clip").source.revision == "abc123"


def test_the_hub_is_asked_for_safetensors_then_for_pickles(
    clip_folder: Path, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    state = load_file(clip_folder / "model.safetensors")
    (clip_folder / "model.safetensors").unlink()
    asked: list[tuple[str, str | None]] = []

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        if "pytorch_model.bin" in allow_patterns:
            torch.save(state, clip_folder / "pytorch_model.bin")
        return str(clip_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    tower = towers.clip_vision(B16)
    assert asked == [(B16, towers.KNOWN[B16].revision)] * 2
    assert torch.equal(tower.base.post_layernorm.bias, state["vision_model.post_layernorm.bias"])


def test_a_repository_with_nothing_but_pickles_is_converted_once(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    expected = towers.load_tower("clip-vision", clip_folder).sha256
    state = load_file(clip_folder / "model.safetensors")
    torch.save(state, clip_folder / "pytorch_model.bin")
    (clip_folder / "model.safetensors").unlink()
    assert towers.load_tower("clip-vision", clip_folder).sha256 == expected
    monkeypatch.setattr(torch, "load", None)  # the second time reads safetensors
    assert towers.load_tower("clip-vision", clip_folder).sha256 == expected
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1


def test_a_pickle_with_code_is_refused(
    clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    (clip_folder / "model.safetensors").unlink()
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (trap.touch, ())

    (clip_folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Trap()}))
    with pytest.raises(TowerError, match="more than tensors"):
        towers.load_tower("clip-vision", clip_folder)
    assert not trap.exists()


@pytest.mark.parametrize("text", ["[1]", "3", '"a"', "[" * 100_000, "{", "\x00"])
def test_a_configuration_that_is_no_object_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(TowerError, match=r"config\.json"):
        hub.read_config(tmp_path)
