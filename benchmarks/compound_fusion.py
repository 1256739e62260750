"""Does fusion over time help? LFAN, CAN, JMT and MT against each modality alone.

Two corpora. **Synthetic**: the people of `mien data synthetic`, with nothing drawn: action units
and the course of the voice, 12.5 times a second, each with noise as large as what it says. A face
alone, or a voice alone, tells four pairs of eight emotions apart; both tell all eight. **RAVDESS**:
vectors of a voice net every 0.32 s, and the 35 facial values of the clip at each of them; eight
emotions, six folds of four actors. The vectors that a fold is tested on come from a voice net that
never met its actors: ``--voices`` is a family of six runs, trained with ``--folds`` on sound alone
(``mien train claip-emo --preset laptop --folds model.modalities=[audio]``), and a net that was
tested on other actors than its fold's is refused. Vectors of the actors that a fold trains on come
from the same net, which knows them: fusion learns to trust the voice a little too much, alike in
all six models.

Models are of the preset ``pocket``: same sizes, same epochs, nothing chosen on anything. A clip is
decided by the mean of its frames' logits. Intervals are bootstrapped over people.

    python benchmarks/compound_fusion.py --out runs/fusion --speech ravdess_speech \
        --facial ravdess_au_mfcc.parquet --voices runs/voice-folds

Without ``--speech`` only the synthetic corpus. What is finished is kept. ``--smoke`` runs it all
once on a few made-up clips, too little to learn from.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

import mien
from mien import tasks
from mien.data import sound, takes, uttered
from mien.data.manifest import Manifest, Row
from mien.data.synthetic import EMOTION, Recipe
from mien.parts.audio import OfficialFbank
from mien.run import answers, decided, folder
from mien.run.slices import Pooled
from mien.run.train import train
from mien.tasks.classification import RAVDESS
from mien.tasks.paired import Pair
from mien.types import TaskSpec

Values = NDArray[np.float32]

MODELS: Mapping[str, Sequence[str]] = {
    "visual alone": ("fusion=lfan", "modalities=[visual]"),
    "audio alone": ("fusion=lfan", "modalities=[audio]"),
    "lfan": ("fusion=lfan", "modalities=[visual, audio]"),
    "can": ("fusion=can", "modalities=[visual, audio]"),
    "jmt": ("fusion=jmt", "modalities=[visual, audio]"),
    "mt": ("fusion=mt", "modalities=[visual, audio]"),
}
ALONE = ("visual alone", "audio alone")
WAY, SCORE = "logits", "uar"
EVERY, NOISE = 2, 1.0  # frames of a made-up face from one to the next; noise over deviation
RATE = 16000
LONGEST = 6  # seconds of a clip
TOKEN = 0.16  # seconds from one vector of the voice net to the next
JOINED = 2  # vectors that are averaged to one


@dataclass(frozen=True)
class Clip:
    """One clip: shapes visual (T, V) and audio (T, A)."""

    id: str
    speaker: str
    label: str
    visual: Values
    audio: Values


# -- corpora ---------------------------------------------------------------------------------------


def synthetic(speakers: int, each: int, seed: int = 0) -> Iterator[tuple[Clip, bool]]:
    """What faces and voices of made-up people do, with noise in every frame; and who is tested."""
    random, recipe = np.random.default_rng(seed), Recipe(speakers=speakers, films=each, seed=seed)
    taken = recipe.takes()
    shots = [takes.staged(take) for take in taken]
    faces = _noisy([shot.acting.units[::EVERY] for shot in shots], random)
    voices = _noisy([_voiced(shot.uttering, len(shot.acting.units)) for shot in shots], random)
    for take, visual, audio in zip(taken, faces, voices, strict=True):
        who = f"s{take.speaker:02d}"
        yield (
            Clip(take.id, who, str(take.emotion), visual, audio),
            recipe.part(take.speaker) == "test",
        )


def _voiced(voice: uttered.Uttering, frames: int) -> NDArray[np.float64]:
    """How somebody speaks (T, 7), at the frames of the face."""
    tracks = (np.log(voice.pitch), voice.level, voice.breath, voice.tense, voice.jitter,
              voice.shimmer, voice.hiss)  # fmt: skip
    held = [uttered.at_frames(track, takes.FPS, frames) for track in tracks]
    return np.stack(held, 1)[::EVERY]


def _noisy(tracks: Sequence[NDArray[np.float64]], random: np.random.Generator) -> list[Values]:
    """Each value with noise as large as the values themselves are."""
    spread = NOISE * np.concatenate(tracks).std(0)
    return [(t + spread * random.normal(size=t.shape)).astype(np.float32) for t in tracks]


def ravdess(speech: Path, facial: Path, voices: Sequence[Path]) -> list[list[Clip]]:
    """All clips for each voice net: its vectors over time, facial values that hold all along."""
    table = pq.read_table(facial, columns=["key", "au"]).to_pydict()
    values = dict(zip(table["key"], table["au"], strict=True))
    networks = [mien.load(voice).model for voice in voices]
    bank = OfficialFbank(
        rate=RATE, source_rate=RATE, seconds=LONGEST, frames=100 * LONGEST, short="end",
        pad="silence",
    ).eval()  # fmt: skip
    made: list[list[Clip]] = [[] for _ in voices]
    for path in sorted(speech.glob("Actor_*/*.flac")):
        name = path.stem.partition("-")[2]
        au = np.asarray(values[name], np.float32)
        label = RAVDESS.labels[int(name.split("-")[1]) - 1]
        wave = torch.from_numpy(sound.waveform(path, RATE, end=LONGEST)[0])
        mel = bank(wave[None], torch.ones(1, len(wave), dtype=torch.bool))
        for clips, network in zip(made, networks, strict=True):
            heard = _vectors(network, mel, len(wave) / RATE)
            clips.append(Clip(name, name[-2:], label, np.tile(au, (len(heard), 1)), heard))
    return made


@torch.inference_mode()
def _vectors(network: Any, mel: torch.Tensor, seconds: float) -> Values:
    """A clip's vectors (T, D), only those that are of its sound."""
    tokens, _ = network.encoders["audio"](mel, None)  # (1, L, D)
    count = max(JOINED, int(seconds / TOKEN) // JOINED * JOINED)
    found: Values = tokens[0, :count].unflatten(0, (-1, JOINED)).mean(1).numpy()
    return found


def fold_of(speaker: str) -> int:
    """Four actors each, as `mien data import ravdess` has them."""
    return (int(speaker) - 1) // 4


def check(voice: Path, fold: int) -> None:
    """Refuse a voice net that was not tested on just this fold's actors."""
    found, _ = answers.read(voice / folder.PREDICTIONS, folder.read_labels(voice))
    actors = {int(name[-2:]) for name in found.ids if name[:2] == "01"}
    if actors != set(range(4 * fold + 1, 4 * fold + 5)):
        raise SystemExit(f"{voice} was tested on actors {sorted(actors)}, not on those of {fold}")


def write(
    place: Path, clips: Sequence[Clip], task: TaskSpec, tested: set[str], rate: float
) -> Path:
    """A manifest with its vectors, in which these people are tested."""
    place.mkdir(parents=True, exist_ok=True)
    arrays = {f"{c.id}/visual": np.ascontiguousarray(c.visual) for c in clips}
    arrays |= {f"{c.id}/audio": np.ascontiguousarray(c.audio) for c in clips}
    save_file(arrays, place / "vectors.safetensors")
    rows = [
        Row(
            id=clip.id,
            speaker=clip.speaker,
            split="test" if clip.speaker in tested else "train",
            fps=rate,
            features={m: f"vectors.safetensors::{clip.id}/{m}" for m in ("visual", "audio")},
            labels={task.name: clip.label},
        )
        for clip in clips
    ]
    manifest = place / "rows.jsonl"
    Manifest(rows, manifest, None, {task.name: task}, None).write(manifest)
    return manifest


# -- trainings -------------------------------------------------------------------------------------


def learn(place: Path, data: Path, epochs: int) -> dict[str, Path]:
    """Every model on one fold; what is finished is kept."""
    made = {}
    for name, words in MODELS.items():
        made[name] = place / name.replace(" ", "-")
        more = [f"train.epochs={epochs}", "batch_size=64", "train.select=last", *words]
        train("compound", preset="pocket", data=data, out=made[name], overrides=more, quiet=True)
    return made


def compared(runs: Mapping[str, Sequence[Path]], task: str) -> dict[str, Any]:
    """Scores of the clips of all folds together, and differences to each modality alone."""
    found = {}
    for name, members in runs.items():
        specs = folder.read_labels(members[0])
        whole, _ = answers.joined(members, specs)
        clips = decided.by_clip(specs[task], whole.tasks[task])[WAY]
        found[name] = (Pooled.of(whole, clips), specs[task])
    rows: dict[str, Any] = {}
    for name, (pooled, spec) in found.items():
        drawn = pooled.drawn(spec, (SCORE, "weighted_f1"))["groups"]
        rows[name] = {key: drawn[key].to_dict() for key in (SCORE, "weighted_f1")}
        rows[name]["against"] = {
            other: _difference(pooled, found[other][0], spec)
            for other in ALONE
            if name not in ALONE
        }
    return rows


def _difference(one: Pooled, other: Pooled, spec: TaskSpec) -> dict[str, Any]:
    assert one.clips.tolist() == other.clips.tolist()
    pair = Pair(
        tasks.statistics(spec), one.targets, one.scores, other.scores, groups=one.groups.tolist()
    )
    return {**pair.difference()[SCORE].to_dict(), "p": pair.exchange()[SCORE].p}


def table(rows: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    lines = ["| model | UAR | weighted F1 | minus visual | minus audio |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        apart = [_told(row["against"].get(other), "+") for other in ALONE]
        cells = [name, _told(row[SCORE]), _told(row["weighted_f1"]), *apart]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _told(found: Mapping[str, Any] | None, sign: str = "") -> str:
    if found is None:
        return ""
    low, value, high = (format(found[key], f"{sign}.3f") for key in ("low", "value", "high"))
    return f"{value} ({low} to {high})"


def main() -> None:
    """Make, train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--speech", type=Path, help="RAVDESS speech, Actor_NN/*.flac at 16 kHz")
    parser.add_argument("--facial", type=Path, help="Parquet with key and au")
    parser.add_argument("--voices", type=Path, help="six runs, fold-0 to fold-5")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    epochs = 1 if given.smoke else given.epochs
    made = list(synthetic(8, 8) if given.smoke else synthetic(40, 16))
    tested = {clip.speaker for clip, test in made if test}
    place = given.out / "synthetic"
    data = write(place, [clip for clip, _ in made], EMOTION, tested, takes.FPS / EVERY)
    found = {"synthetic": compared(_folds([learn(place, data, epochs)]), "emotion")}
    print(f"synthetic, {epochs} epochs\n\n{table(found['synthetic'])}\n", flush=True)
    if given.speech is not None:
        places = [given.out / f"ravdess-{fold}" for fold in range(6)]
        if not all((place / "rows.jsonl").is_file() for place in places):
            voices = [given.voices / f"fold-{fold}" for fold in range(6)]
            for fold, voice in enumerate(voices):
                check(voice, fold)
            for fold, clips in enumerate(ravdess(given.speech, given.facial, voices)):
                held = {clip.speaker for clip in clips if fold_of(clip.speaker) == fold}
                write(places[fold], clips, RAVDESS, held, 1 / (TOKEN * JOINED))
        runs = [learn(place, place / "rows.jsonl", epochs) for place in places]
        found["RAVDESS"] = compared(_folds(runs), "emotion")
        print(f"RAVDESS, {epochs} epochs\n\n{table(found['RAVDESS'])}\n")
    print(f"{time.process_time() - began:.0f} s of one core")
    (given.out / "found.json").write_text(json.dumps(found, indent=1))


def _folds(runs: Sequence[Mapping[str, Path]]) -> dict[str, list[Path]]:
    """Runs of all folds by model."""
    return {name: [fold[name] for fold in runs] for name in MODELS}


if __name__ == "__main__":
    main()
