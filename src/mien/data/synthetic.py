"""Made-up corpora: vectors in a moment, or films of drawn faces that speak.

What either modality tells is known, because it was put in: alone each confuses pairs of emotions,
both together confuse none. Speakers are disjoint between the parts.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mien.data import takes
from mien.data.acted import ACTION_UNITS
from mien.data.acted import EMOTIONS as ACTED
from mien.data.manifest import Label, Manifest, Row, Split, Track
from mien.data.takes import Take
from mien.errors import ConfigError, DataError
from mien.types import Problem, TaskSpec

LICENCE = "Apache-2.0 (made up: nobody was recorded)"
EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=tuple(ACTED))
"""The eight emotions of films."""

VERSION = 1
"""Rises with every change of what a take looks or sounds like."""

# -- vectors ---------------------------------------------------------------------------------------

EMOTIONS = {"happy": (1, 1), "angry": (-1, 1), "calm": (1, -1), "sad": (-1, -1)}
_VIDEO, _AUDIO = 16, 24


def features(out: str | Path, *, speakers: int = 24, clips: int = 16, seed: int = 0) -> Path:
    """Write ``corpus.jsonl`` with vectors; a quarter of the speakers are the test part.

    Four emotions on two axes. ``video`` carries pleasantness and hardly any arousal, ``audio``
    arousal and hardly any pleasantness, as faces and voices tend to. Every speaker adds an offset
    of their own, so that a model must generalise.

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


# -- films -----------------------------------------------------------------------------------------


def clips(
    out: str | Path,
    *,
    speakers: int = 24,
    clips: int = 16,
    seed: int = 0,
    seconds: float = 2.0,
) -> Path:
    """Make films of one emotion each, one after the other, and their manifest.

    ``mien data synthetic`` does the same with several processes.

    Args:
        out: folder for it all. Films that are there already are kept.
        speakers: how many people; the last quarter is held out as ``test``.
        clips: films of each, spread evenly over the emotions.
        seed: same seed, same corpus.
        seconds: length of each.

    Returns:
        ``corpus.jsonl``.
    """
    planned = plan_clips(speakers, clips, seed, seconds)
    for take in begin(out, planned):
        takes.film(Path(out), take)
    return write_clips(out, planned)


def plan_clips(speakers: int, clips: int, seed: int, seconds: float) -> list[Take]:
    """The takes of such a corpus.

    Raises:
        ConfigError: numbers that make no corpus.
    """
    if speakers < 1 or clips < 1 or seed < 0:
        raise ConfigError(
            f"there is no corpus of {speakers} speakers with {clips} clips each and seed {seed}"
        )
    if not 0.5 <= seconds <= 60:
        raise ConfigError(f"a clip lasts half a second to a minute, not {seconds:g} s")
    names = list(ACTED)
    return [
        Take(
            id=f"s{speaker:02d}-c{number:02d}",
            seed=seed,
            speaker=speaker,
            number=number,
            emotion=names[number % len(names)],
            seconds=seconds,
        )
        for speaker in range(speakers)
        for number in range(clips)
    ]


def begin(out: str | Path, planned: Sequence[Take]) -> list[Take]:
    """Make the folders, and say which films are still to be made.

    Raises:
        DataError: the folder holds films that were made in another way.
    """
    place = Path(out)
    for name in ("clips", "tracks"):
        (place / name).mkdir(parents=True, exist_ok=True)
    first = planned[0]
    made = {"version": VERSION, "seed": first.seed, "seconds": first.seconds}
    note = place / "made.json"
    if note.exists():
        before = json.loads(note.read_text(encoding="utf-8"))
        if before != made:
            raise DataError(
                f"there are films that were made otherwise: {_said(before)}, not {_said(made)}",
                where=str(place),
                fix="give another folder, or the same settings",
            )
    note.write_text(json.dumps(made) + "\n", encoding="utf-8")
    return [take for take in planned if not (place / "clips" / f"{take.id}.mp4").exists()]


def _said(made: object) -> str:
    if not isinstance(made, dict):
        return repr(made)
    return ", ".join(f"{name} {value}" for name, value in made.items())


def write_clips(out: str | Path, planned: Sequence[Take]) -> Path:
    """Write ``corpus.jsonl``, with the emotion of each film, and ``frames.jsonl``, frame by frame.

    Returns:
        ``corpus.jsonl``.
    """
    place, people = Path(out), 1 + max(take.speaker for take in planned)
    rows = [_row(take, people) for take in planned]
    corpus = place / "corpus.jsonl"
    Manifest(rows, corpus, tasks={"emotion": EMOTION}, licence=LICENCE).write(corpus)
    frames = place / "frames.jsonl"
    Manifest([_tracked(row) for row in rows], frames, licence=LICENCE).write(frames)
    return corpus


def _row(take: Take, people: int) -> Row:
    scene, how = takes.place(take)
    part: Split = "test" if take.speaker >= people - people // 4 else "train"
    return Row(
        id=take.id,
        video=f"clips/{take.id}.mp4",
        speaker=f"s{take.speaker:02d}",
        split=part,
        fold=take.speaker % min(4, people),
        labels={"emotion": take.emotion},
        groups={
            "light": "side" if abs(scene.x) > 0.5 else "front",
            "level": "dim" if scene.level < 0.85 else "bright",
            "occlusion": how.occlusion,
        },
    )


def _tracked(row: Row) -> Row:
    """The same film with the truth of each frame."""
    columns: dict[str, str | tuple[str, ...]] = {
        "action_units": ACTION_UNITS,
        "affect": ("valence", "arousal"),
        "expression": "expression",
    }
    labels: dict[str, Label] = {
        task: Track(f"tracks/{row.id}.csv", names, takes.FPS) for task, names in columns.items()
    }
    return dataclasses.replace(row, labels=labels)
