"""RAVDESS speech and, as a ninth class, sounds in which nobody speaks, as one manifest.

    mien data import ravdess RAVDESS --modality sound
    mien data prepare RAVDESS/ravdess.jsonl
    python recipes/pocket/voices.py RAVDESS/ravdess.prepared.jsonl

What nobody says is made up: noises of five colours, hum, chords and melodies of plucked and blown
notes, taps, near silence, and the tones of machines, which beep, slide and wail. Each belongs to
one of the folds, as the actors do.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mien.parts.acoustics import coloured, hum

NOBODY = "nobody"
RATE, SECONDS = 16_000, 4.0
KINDS = ("noise", "hum", "music", "taps", "silence", "tones")
SOUNDS, MANIFEST = "nobody.safetensors", "voices.jsonl"
FOLDS = 6


def write(prepared: Path, *, clips: int = 288, seed: int = 0) -> Path:
    """Write the made-up sounds and the joint manifest beside a prepared one; gives the manifest."""
    place = prepared.parent
    sounds = made_up(clips, seed)
    save_file(sounds, place / SOUNDS)
    lines = prepared.read_text(encoding="utf-8").splitlines()
    for number, name in enumerate(sounds):
        row = {
            "id": name,
            "speaker": f"{NOBODY}-{number // len(KINDS) % (4 * FOLDS)}",
            "fold": number // len(KINDS) % FOLDS,  # some of each kind in every fold
            "features": {"audio": f"{SOUNDS}::{name}"},
            "labels": {"emotion": NOBODY},
        }
        lines.append(json.dumps(row))
    (place / MANIFEST).write_text("\n".join(lines) + "\n", encoding="utf-8")
    labels = "neutral, calm, happy, sad, angry, fearful, disgust, surprised, " + NOBODY
    (place / MANIFEST).with_suffix(".tasks.yaml").write_text(
        "licence: CC-BY-NC-SA-4.0\ntasks:\n  emotion:\n    problem: one_of_n\n"
        f"    labels: [{labels}]\n"
    )
    return place / MANIFEST


def made_up(clips: int, seed: int) -> dict[str, Tensor]:
    """Sounds (L) by name, the kinds in turn."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for number in range(clips):
        kind = KINDS[number % len(KINDS)]
        wave = _sound(kind, int(RATE * SECONDS), draw)
        level = 10 ** (_between(-45, -12, draw) / 20) if kind != "silence" else 1e-4
        found[f"{kind}-{seed}-{number}"] = level * wave / wave.abs().amax().clamp(min=1e-6)
    return found


def _between(low: float, high: float, draw: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=draw))


def _sound(kind: str, length: int, draw: torch.Generator) -> Tensor:
    """One sound (L) of a kind, at any level."""
    torch.manual_seed(int(torch.randint(2**31, (), generator=draw)))  # for what draws by itself
    if kind == "hum":
        return hum(1, length, RATE, torch.device("cpu"))[0] + 0.05 * torch.randn(length)
    if kind == "music":
        return _music(length, draw)
    if kind == "taps":
        return _taps(length, draw)
    if kind == "tones":
        return _tones(length, draw)
    noise = coloured(torch.tensor([_between(-1, 2, draw)]), length, RATE)[0]
    slow = torch.sin(torch.linspace(0, _between(0, 20, draw), length)) * _between(0, 0.9, draw)
    return noise * (1 + slow)


def _music(length: int, draw: torch.Generator) -> Tensor:
    """Notes of a scale, several at a time, plucked or held."""
    time = torch.arange(length) / RATE
    wave, root = torch.zeros(length), _between(80, 400, draw)
    scale = (0, 2, 4, 5, 7, 9, 11, 12, 16, 19)
    for _ in range(int(_between(3, 16, draw))):
        step = scale[int(_between(0, len(scale), draw))]
        pitch = root * 2 ** (step / 12)
        begin, decay = _between(0, SECONDS, draw), _between(0.2, 4, draw)
        since = (time - begin).clamp(min=0)
        loudness = (1 - torch.exp(-since * 40)) * torch.exp(-since / decay) * (time >= begin)
        for overtone in range(1, int(_between(2, 10, draw))):
            if overtone * pitch < RATE / 2:
                wave = wave + loudness * torch.sin(2 * math.pi * overtone * pitch * time) / overtone
    return wave + 1e-3 * torch.randn(length)


def _taps(length: int, draw: torch.Generator) -> Tensor:
    """Short bursts of noise, as of a keyboard or steps."""
    wave = 0.01 * torch.randn(length)
    for _ in range(int(_between(4, 30, draw))):
        begin = int(_between(0, length - 1, draw))
        burst = torch.randn(min(800, length - begin))
        fading = torch.exp(-torch.arange(len(burst)) / _between(20, 200, draw))
        wave[begin : begin + len(burst)] += burst * fading
    return wave


def _tones(length: int, draw: torch.Generator) -> Tensor:
    """One or two tones of a machine: of any shape, held, sliding or wailing, on and off or not."""
    time, wave = torch.arange(length) / RATE, torch.zeros(length)
    for _ in range(1 + int(_between(0, 2, draw))):
        pitch = 100 * 2 ** _between(0, 5, draw)  # 100 to 3,200 Hz
        bend = _between(-1, 1, draw) * float(torch.rand((), generator=draw) < 0.5)  # octaves
        wail = _between(0, 0.4, draw) * float(torch.rand((), generator=draw) < 0.3)
        octaves = bend * time / SECONDS + wail * torch.sin(_between(1, 40, draw) * time)
        phase = 2 * math.pi * (pitch * 2**octaves).cumsum(0) / RATE
        tone = torch.sin(phase)
        shape = int(_between(0, 4, draw))
        if shape == 1:
            tone = tone.sign()
        elif shape == 2:
            tone = 2 / math.pi * torch.asin(tone)
        elif shape == 3:
            tone = phase / math.pi % 2 - 1
        if float(torch.rand((), generator=draw)) < 0.5:
            tone = tone * (time * _between(0.5, 8, draw) % 1 < _between(0.2, 0.8, draw))
        wave = wave + tone * _between(0.3, 1, draw)
    return wave + 10 ** _between(-4, -1.5, draw) * torch.randn(length)


def main() -> None:
    """Parse and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=Path, help="manifest of prepared RAVDESS speech")
    parser.add_argument("--clips", type=int, default=288, help="sounds in which nobody speaks")
    given = parser.parse_args()
    print(write(given.prepared, clips=given.clips))


if __name__ == "__main__":
    main()
