"""Four bits: asked for where they cannot be had, they are refused with what to do."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from small_readers import classifier

from mien.errors import ConfigError, MissingExtra, TowerError
from mien.parts import towers
from mien.systems.textualized import Config

NAME = "meta-llama/Meta-Llama-3-8B"


def _installed(monkeypatch: pytest.MonkeyPatch, *, library: bool, gpu: bool) -> None:
    found = util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        if name == "bitsandbytes":
            return found("json") if library else None
        return found(name, package)

    monkeypatch.setattr(util, "find_spec", find)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, library=False, gpu=True)
    with pytest.raises(MissingExtra, match=r"mien\[quant\]"):
        towers.texts(NAME, quantised=True)


def test_a_gpu_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, library=True, gpu=False)
    with pytest.raises(TowerError, match="need a GPU"):
        towers.texts(NAME, quantised=True)


def test_a_run_must_be_able_to_find_it_again(tmp_path: Path) -> None:
    classifier(tmp_path, "llama")
    for name in (str(tmp_path), {"model_type": "llama"}, "somebody/without-a-commit"):
        with pytest.raises(ConfigError, match="recorded by their commit"):
            towers.texts(name, quantised=True)


def test_its_parameters_are_counted_without_any_means() -> None:
    with towers.blueprint():
        tower = towers.texts(NAME, quantised=True)
    assert tower.kind == "text-nf4"
    assert tower.dim == 4096


def test_all_of_it_is_not_trained() -> None:
    with pytest.raises(ValidationError, match="tune=adapters"):
        Config(quantised=True)
    assert Config(quantised=True, tune="adapters").quantised
