"""Made-up corpora: vectors in a moment, or films of drawn faces that speak.

What either modality tells is known, because it was put in: alone each confuses pairs of emotions,
both together confuse none. Speakers are disjoint between the parts.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from mien.data import takes, talks
from mien.data.acted import ACTION_UNITS
from mien.data.acted import EMOTIONS as ACTED
from mien.data.manifest import Label, Manifest, Row, Split, Track
from mien.data.takes import Planted, Take
from mien.errors import ConfigError, DataError, did_you_mean
from mien.types import Problem, TaskSpec

LICENCE = "Apache-2.0"
EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=tuple(ACTED))
"""The eight emotions of films."""

PLAIN = TaskSpec(
    name="emotion", problem=Problem.ONE_OF_N, labels=("happy", "afraid", "angry", "sad")
)
"""Four of them that a face alone tells apart, and a voice alone."""

VERSION = 1
"""Rises with every change of what a take looks or sounds like."""

# -- vectors ---------------------------------------------------------------------------------------

EMOTIONS = {"happy": (1, 1), "angry": (-1, 1), "calm": (1, -1), "sad": (-1, -1)}
_VIDEO, _AUDIO, _RATE = 16, 24, 10
_CLEAR = 2.0  # how far a moment stands out, in deviations of the noise


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


def moments(
    out: str | Path, *, speakers: int = 24, clips: int = 12, seed: int = 0, seconds: float = 6.0
) -> Path:
    """Write ``corpus.jsonl`` with vectors over time, in which one of four emotions is planted.

    Ten vectors a second of ``video`` and of ``audio``; either tells all four emotions. One shows
    for 2 to 2.5 s, in one modality alone or in both (`groups.carried_by`: face, voice, both), from
    `groups.moment_start` to `groups.moment_end`; all else is noise, and an offset of the speaker.

    Args:
        out: folder for the manifest and the vectors.
        speakers: how many people; the last quarter is held out as ``test``.
        clips: clips of each; of twelve, each emotion has each carrier once.
        seed: another corpus of people; what an emotion looks and sounds like stays.
        seconds: length of a clip.
    """
    place = Path(out)
    (place / "vectors").mkdir(parents=True, exist_ok=True)
    recipe = Recipe(kind="planted", speakers=speakers, films=clips, seed=seed, seconds=seconds)
    widths = {"video": _VIDEO, "audio": _AUDIO}
    fixed = np.random.default_rng(0)
    shape = len(PLAIN.labels)
    shows = {m: fixed.normal(0, _CLEAR, (shape, width)) for m, width in widths.items()}
    lines = []
    for take in recipe.takes():
        assert take.planted is not None
        features = {}
        for number, (modality, width) in enumerate(widths.items()):
            random = np.random.default_rng([seed, 6, take.speaker, take.number, number])
            offset = np.random.default_rng([seed, 7, take.speaker, number]).normal(0, 0.5, width)
            vectors = offset + random.normal(size=(round(seconds * _RATE), width))
            if take.planted.carried_by in ("both", ("face", "voice")[number]):
                first, last = (round(t * _RATE) for t in (take.planted.start, take.planted.end))
                vectors[first:last] += shows[modality][PLAIN.labels.index(str(take.emotion))]
            features[modality] = f"vectors/{take.id}-{modality}.npy"
            np.save(place / features[modality], vectors.astype(np.float32))
        row = {
            "id": take.id,
            "speaker": f"s{take.speaker:02d}",
            "split": recipe.part(take.speaker),
            "fps": _RATE,
            "labels": {"emotion": take.emotion},
            "groups": _where(take.planted),
            "features": features,
        }
        lines.append(json.dumps(row) + "\n")
    path = place / "corpus.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    return path


# -- films -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A corpus of films.

    Args:
        kind: ``clips`` show one emotion each; ``dialogues`` are talks of two, a film a turn;
            ``long`` films go through several emotions; ``planted`` ones show one of four for a
            moment, in the face alone, in the voice alone, or in both.
        speakers: how many people; a quarter of them is the test part.
        films: clips or long films of each person, or dialogues of each pair.
        seed: same recipe, same films.
        seconds: length of each clip or long film; turns last as long as their words.

    Raises:
        ConfigError: numbers that make no corpus.
    """

    kind: Kind = "clips"
    speakers: int = 24
    films: int = 16
    seed: int = 0
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            hint = did_you_mean(str(self.kind), get_args(Kind))
            raise ConfigError(f"there is no corpus of {self.kind!r}", fix=hint)
        for name in ("speakers", "films"):
            if getattr(self, name) < 1:
                raise ConfigError(f"a corpus needs {name}", where=f"{name}={getattr(self, name)}")
        if self.seed < 0:
            raise ConfigError("seeds count from 0", where=f"seed={self.seed}")
        if not 0.5 <= self.seconds <= 600:
            raise ConfigError(
                f"a film lasts half a second to ten minutes, not {self.seconds:g} s",
                where="seconds",
            )
        if self.kind == "dialogues" and self.speakers % 2:
            raise ConfigError("it takes two to talk", where="speakers", fix="an even number")

    @classmethod
    def of(cls, kind: Kind, **given: Any) -> Recipe:
        """A recipe with what suits its kind where nothing (None) is said."""
        usual = _USUAL.get(kind, {}) | {
            key: value for key, value in given.items() if value is not None
        }
        return cls(kind=kind, **usual)

    def takes(self) -> list[Take]:
        """All films, in the order of the manifest."""
        if self.kind == "dialogues":
            return [turn.take for turn in talks.turns(self.speakers, self.films, self.seed)]
        if self.kind == "planted":
            return [self._planted(s, n) for s in range(self.speakers) for n in range(self.films)]
        names = list(ACTED)
        single = self.kind == "clips"
        return [
            Take(
                id=f"s{speaker:02d}-{'c' if single else 'l'}{number:02d}",
                seed=self.seed,
                speaker=speaker,
                number=number,
                emotion=names[number % len(names)] if single else None,
                seconds=self.seconds,
            )
            for speaker in range(self.speakers)
            for number in range(self.films)
        ]

    def _planted(self, speaker: int, number: int) -> Take:
        """A film whose moment and carrier are known; carriers and emotions are as frequent."""
        random = np.random.default_rng([self.seed, 5, speaker, number])
        lasts = min(random.uniform(2.0, 2.5), self.seconds / 2)
        start = random.uniform(0.1, self.seconds - lasts - 0.1)
        return Take(
            id=f"s{speaker:02d}-p{number:02d}",
            seed=self.seed,
            speaker=speaker,
            number=number,
            emotion=PLAIN.labels[number % len(PLAIN.labels)],
            seconds=self.seconds,
            planted=Planted(
                carried_by=_CARRIERS[number // len(PLAIN.labels) % len(_CARRIERS)],
                start=round(start, 2),
                end=round(start + lasts, 2),
            ),
        )

    def part(self, speaker: int) -> Split:
        """On which side of the split somebody is: the last quarter is the test part.

        Those who talk with each other are on the same side.
        """
        together = 2 if self.kind == "dialogues" else 1
        units, unit = self.speakers // together, speaker // together
        return "test" if unit >= units - max(1, units // 4) and units > 1 else "train"


Kind = Literal["clips", "dialogues", "long", "planted"]
_CARRIERS: tuple[Literal["face", "voice", "both"], ...] = ("face", "voice", "both")
_USUAL: dict[str, dict[str, Any]] = {
    "dialogues": {"speakers": 16, "films": 4},
    "long": {"speakers": 12, "films": 2, "seconds": 60.0},
    "planted": {"speakers": 16, "films": 12, "seconds": 6.0},
}


def clips(out: str | Path, *, speakers: int = 24, clips: int = 16, seed: int = 0) -> Path:
    """Make clips of one emotion each, one after the other, and their manifest.

    `mien.run.synthesise.synthesise`, and ``mien data synthetic``, take several processes for it.

    Args:
        out: folder for it all. Films that are there already are kept.
        speakers: how many people; the last quarter is held out as ``test``.
        clips: clips of each, spread evenly over the emotions.
        seed: same seed, same corpus.

    Returns:
        The manifest, ``corpus.jsonl``.
    """
    recipe = Recipe(speakers=speakers, films=clips, seed=seed)
    for take in begin(out, recipe):
        takes.film(Path(out), take)
    return finish(out, recipe)


def begin(out: str | Path, recipe: Recipe) -> list[Take]:
    """Make the folders, and say which films are still to be made.

    Raises:
        DataError: the folder holds films that were made in another way.
    """
    place = Path(out)
    try:
        for name in ("clips", "tracks"):
            (place / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"it cannot be written: {error}", where=str(place)) from error
    # More people or more films may follow: those that are there stay what they are.
    made: dict[str, Any] = {"version": VERSION, "kind": recipe.kind, "seed": recipe.seed}
    if recipe.kind != "dialogues":
        made["seconds"] = recipe.seconds
    note = place / "made.json"
    if note.exists():
        before = _read(note)
        if before != made:
            raise DataError(
                f"there are films that were made otherwise: {_said(before)}; not {_said(made)}",
                where=str(place),
                fix="give another folder, or the same settings",
            )
    note.write_text(json.dumps(made) + "\n", encoding="utf-8")
    return [take for take in recipe.takes() if not (place / "clips" / f"{take.id}.mp4").exists()]


def _read(note: Path) -> dict[str, Any]:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _said(made: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in made.items()) or "in ways unknown"


def finish(out: str | Path, recipe: Recipe) -> Path:
    """Write the manifests of films that are all there.

    ``corpus.jsonl`` says the emotion of each film, and what is said in turns of a dialogue;
    ``frames.jsonl`` the truth of each frame. Long films have the latter only, under the first name.

    Returns:
        ``corpus.jsonl``.
    """
    place = Path(out)
    corpus, frames = place / "corpus.jsonl", place / "frames.jsonl"
    rows = [_row(take, recipe) for take in recipe.takes()]
    if recipe.kind == "dialogues":
        spoken = talks.turns(recipe.speakers, recipe.films, recipe.seed)
        rows = [
            dataclasses.replace(
                row, text=" ".join(turn.take.words), dialogue=turn.dialogue, turn=turn.number
            )
            for row, turn in zip(rows, spoken, strict=True)
        ]
    tracked = [_tracked(row) for row in rows]
    if recipe.kind == "long":
        Manifest(tracked, corpus, licence=LICENCE).write(corpus)
        return corpus
    Manifest(tracked, frames, licence=LICENCE).write(frames)
    task = PLAIN if recipe.kind == "planted" else EMOTION
    return Manifest(rows, corpus, tasks={"emotion": task}, licence=LICENCE).write(corpus).path


def _row(take: Take, recipe: Recipe) -> Row:
    scene, how = takes.place(take)
    return Row(
        id=take.id,
        video=f"clips/{take.id}.mp4",
        speaker=f"s{take.speaker:02d}",
        split=recipe.part(take.speaker),
        labels={} if take.emotion is None else {"emotion": take.emotion},
        groups={
            "light": "side" if abs(scene.x) > 0.5 else "front",
            "level": "dim" if scene.level < 0.85 else "bright",
            "occlusion": how.occlusion,
            **_where(take.planted),
        },
    )


def _where(planted: Planted | None) -> dict[str, str | float]:
    """Where the emotion was planted, if it was."""
    if planted is None:
        return {}
    return {
        "carried_by": planted.carried_by,
        "moment_start": planted.start,
        "moment_end": planted.end,
    }


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
