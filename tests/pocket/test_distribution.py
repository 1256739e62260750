"""mien-pocket as it is shipped: small, whole, licensed, and able to say that it does not know."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import mien
from mien.data import media, sound
from mien.parts import hub, towers
from mien.run.load import Run

POCKET = Path(__file__).parents[2] / "pocket"
MOST_BYTES, MOST_PARAMETERS = 10_000_000, 4_000_000
CARRIED = POCKET / "src" / "mien_pocket" / "run"


@pytest.fixture(scope="module")
def run() -> Run:
    return mien.load(CARRIED)


def _waves() -> dict[str, np.ndarray]:
    draw, time = np.random.default_rng(0), np.arange(64000) / 16000
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220, 277.2, 329.6))
    return {
        "silence": np.zeros(64000),
        "noise": 0.05 * draw.normal(size=64000),
        "chord": 0.1 * chord * np.exp(-time),
    }


def test_it_is_what_is_installed() -> None:
    assert hub.pocket().resolve() == CARRIED.resolve()


def test_it_is_small_and_kept_in_half_precision() -> None:
    files = [file for file in CARRIED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < MOST_BYTES
    kept = [file for file in files if file.suffix == ".safetensors" and "towers" in file.parts]
    assert len(kept) == 2
    for file in kept:
        with safe_open(file, framework="pt") as tensors:
            slices = [tensors.get_tensor(name) for name in tensors.keys()]  # noqa: SIM118
        assert {t.dtype for t in slices if t.is_floating_point()} == {torch.float16}
        assert sum(t.numel() for t in slices) < MOST_PARAMETERS


def test_its_towers_are_those_that_are_counted_by_name(run: Run) -> None:
    for name, values in towers.POCKET.items():
        config = json.loads((hub.local_folder(name) or Path()).joinpath("config.json").read_text())
        assert {key: config[key] for key in values} == json.loads(json.dumps(dict(values)))
    assert run.card["licence"] == "CC-BY-NC-SA-4.0"


@pytest.mark.parametrize("kind", ["silence", "noise", "chord"])
def test_where_nobody_speaks_it_says_nothing(run: Run, kind: str) -> None:
    (timeline,) = run.predict([{"audio": _waves()[kind].astype(np.float32)}])
    assert not any(window.scores for track in timeline.tracks for window in track.windows)


@pytest.mark.shared
def test_where_somebody_speaks_it_answers(run: Run, shared: Path) -> None:
    clip = shared / "data" / "clips" / "ravdess_01-01-01-01-01-01-01.mp4"
    facts = media.probe(clip)
    assert facts.audio is not None
    wave, _ = sound.waveform(clip, 16000)
    (timeline,) = run.predict([{"audio": wave}])
    ((window,),) = [track.windows for track in timeline.tracks]
    assert sum(window.scores["emotion"].values()) == pytest.approx(1)


def test_it_answers_without_the_large_libraries() -> None:
    script = (
        "import sys, numpy, mien\n"
        "run = mien.load('pocket', merge=True)\n"
        "run.predict([{'video': numpy.zeros((8, 96, 96, 3), numpy.uint8)}])\n"
        "large = {'transformers', 'peft', 'accelerate', 'sklearn', 'scipy', 'huggingface_hub'}\n"
        "print(sorted(large & set(sys.modules)))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert said.stdout.strip() == "[]", said.stdout
