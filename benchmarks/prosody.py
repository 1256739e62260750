"""Our prosody against Praat's on real speech, and how fast it is.

Every clip is tracked by `mien.cues.pitch` and by Praat (``praat-parselmouth``: ``To Pitch (ac)``
and ``To Intensity`` with the same floor, ceiling and step), compared at our frames. Intervals are
95 %, by a bootstrap over speakers. Jitter, shimmer and harmonicity are compared stretch by stretch
with Praat's (local, from periodic points by cc; harmonicity cc), by rank, since they are defined
alike but measured otherwise.

    python benchmarks/prosody.py ../shared/data/ravdess_speech [--every 1] [--json]
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from mien.cues.pitch import CEILING, FLOOR, HOP, RATE, Frames, track
from mien.cues.prosody import Listener, Utterance
from mien.data.sound import waveform

Values = NDArray[np.float64]
parselmouth: Any = importlib.import_module("parselmouth")  # it has no types
CYCLES = (0.0, 0.0, 1e-4, 0.02, 1.3)  # Praat's own settings for jitter


def compared(samples: NDArray[np.float32], frames: Frames) -> dict[str, float]:
    """One clip: how far our frames and Praat's agree."""
    praat = parselmouth.Sound(samples.astype(np.float64), RATE)
    heard = praat.to_pitch_ac(time_step=HOP, pitch_floor=FLOOR, pitch_ceiling=CEILING)
    theirs = np.array([heard.get_value_at_time(t) for t in frames.times])
    ours = np.where(frames.pitch > 0, frames.pitch, np.nan).astype(np.float64)
    both = np.isfinite(theirs) & np.isfinite(ours)
    away = np.abs(ours[both] / theirs[both] - 1)
    loud = praat.to_intensity(minimum_pitch=FLOOR, time_step=HOP)
    level = np.array([loud.get_value(t) for t in frames.times])
    known = np.isfinite(level)
    # Praat counts from 2e-5: 94 dB are full scale. Below -100 dB under it, neither says anything.
    energy = np.corrcoef(frames.energy[known], np.maximum(level[known], -6.0))[0, 1]
    pitch = np.corrcoef(ours[both], theirs[both])[0, 1] if both.sum() > 2 else np.nan
    return {
        "pitch error": float(np.median(away)) if len(away) else np.nan,
        "gross errors": float((away > 0.2).mean()) if len(away) else np.nan,
        "voicing agreement": float((np.isfinite(theirs) == np.isfinite(ours)).mean()),
        "pitch correlation": float(pitch),
        "energy correlation": float(energy),
    }


def irregular(samples: NDArray[np.float32], heard: list[Utterance]) -> list[list[float]]:
    """Ours and Praat's jitter, shimmer and harmonicity of each stretch."""
    praat = parselmouth.Sound(samples.astype(np.float64), RATE)
    rows = []
    for utterance in heard:
        if "jitter" not in utterance.values:
            continue
        part = praat.extract_part(utterance.speech.start, utterance.speech.end)
        call = parselmouth.praat.call
        points = call(part, "To PointProcess (periodic, cc)", FLOOR, CEILING)
        theirs = (
            call(points, "Get jitter (local)", *CYCLES),
            call([part, points], "Get shimmer (local)", *CYCLES, 1.6),
            call(part.to_harmonicity_cc(), "Get mean", 0, 0),
        )
        names = ("jitter", "shimmer", "harmonicity")
        rows.append([*(utterance.values[name] for name in names), *map(float, theirs)])
    return rows


def interval(values: Values, groups: list[str], seed: int = 0) -> tuple[float, float, float]:
    """The median over clips, and its interval over speakers."""
    found = {name: values[[g == name for g in groups]] for name in sorted(set(groups))}
    members, rng = list(found.values()), np.random.default_rng(seed)
    drawn = [
        np.nanmedian(
            np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        )
        for _ in range(1000)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(np.nanmedian(values)), float(low), float(high)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take one clip of so many")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    clips, groups, rows = [], [], []
    seconds, tracking, listening = 0.0, 0.0, 0.0
    for file in sorted(given.folder.glob("*/*.flac"))[:: given.every]:
        samples, _ = waveform(file, RATE)
        began = time.process_time()
        frames = track(samples)
        tracked = time.process_time()
        listener = Listener()
        heard = listener.feed(samples) + listener.finish()
        listening += time.process_time() - tracked
        tracking += tracked - began
        seconds += len(samples) / RATE
        clips.append(compared(samples, frames))
        groups.append(file.parent.name)
        rows += irregular(samples, heard)
    report(clips, groups, np.array(rows), as_json=given.json, speed={
        "hours": seconds / 3600, "pitch, times real time": seconds / tracking,
        "all measures, times real time": seconds / listening,
    })  # fmt: skip


def report(
    clips: list[dict[str, float]],
    groups: list[str],
    rows: Values,
    *,
    speed: dict[str, float],
    as_json: bool,
) -> None:
    """Print what was measured."""
    found: dict[str, Any] = {"clips": len(clips), "speakers": len(set(groups)), **speed}
    for name in clips[0]:
        found[name] = interval(np.array([clip[name] for clip in clips]), groups)
    rows = rows[np.isfinite(rows).all(axis=1)]
    for i, name in enumerate(("jitter", "shimmer", "harmonicity")):
        found[f"{name}, rank correlation"] = float(spearmanr(rows[:, i], rows[:, i + 3])[0])
    found["stretches"] = len(rows)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        if isinstance(value, tuple):
            print(f"{name:32} {value[0]:.4f} [{value[1]:.4f}, {value[2]:.4f}]")
        else:
            print(f"{name:32} {value:.4g}")


if __name__ == "__main__":
    main()
