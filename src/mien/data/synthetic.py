"""A made-up corpus of feature vectors: small, honest about being made up, and useful for a look.

Four emotions on two axes. ``video`` carries pleasantness and hardly any arousal, ``audio`` arousal
and hardly any pleasantness, as faces and voices tend to: either alone confuses two pairs, both
together do not. Every speaker adds an offset of their own, so that a model must generalise.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

EMOTIONS = {"happy": (1, 1), "angry": (-1, 1), "calm": (1, -1), "sad": (-1, -1)}
_VIDEO, _AUDIO = 16, 24


def features(out: str | Path, *, speakers: int = 24, clips: int = 16, seed: int = 0) -> Path:
    """Write ``corpus.jsonl``; a quarter of the speakers are the test part.

    Args:
        out: folder for the manifest.
        speakers: how many people; the last quarter is held out as ``test``.
        clips: clips a speaker, spread evenly over the emotions.
        seed: same seed, same corpus.
    """
    random = np.random.default_rng(seed)
    directions = random.normal(size=(2, _VIDEO + _AUDIO)) / 4
    lines = []
    for speaker in range(speakers):
        offset = random.normal(scale=0.5, size=_VIDEO + _AUDIO)
        part = "test" if speaker >= speakers - speakers // 4 else "train"
        for clip in range(clips):
            name = list(EMOTIONS)[clip % len(EMOTIONS)]
            pleasant, aroused = EMOTIONS[name]
            # The weak cue is there in each modality, too faint to go by.
            video = pleasant * directions[0, :_VIDEO] + 0.1 * aroused * directions[1, :_VIDEO]
            audio = aroused * directions[1, _VIDEO:] + 0.1 * pleasant * directions[0, _VIDEO:]
            vector = 2.5 * np.concatenate([video, audio]) + offset
            vector += random.normal(scale=0.5, size=vector.size)
            lines.append(
                {
                    "id": f"s{speaker:02d}-c{clip:02d}",
                    "speaker": f"s{speaker:02d}",
                    "split": part,
                    "labels": {"emotion": name},
                    "features": {
                        "video": np.round(vector[:_VIDEO], 4).tolist(),
                        "audio": np.round(vector[_VIDEO:], 4).tolist(),
                    },
                }
            )
    path = Path(out) / "corpus.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
