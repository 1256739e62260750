"""Small corpora for the toy systems: one writer each, with all that a manifest may lack."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from mien.data.crops import CropRecipe
from mien.data.writer import Writer, encode

_PARTS = ["train", "train", "train", "test"]


def _write(
    folder: Path, rows: Iterable[dict[str, Any]], tasks: list[dict[str, Any]] | None
) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if tasks:
        (folder / "rows.tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    return path


def _save(folder: Path, name: str, array: np.ndarray) -> str:
    np.save(folder / f"{name}.npy", array)
    return f"{name}.npy"


def clips(folder: Path, seed: int = 0) -> Path:
    """Three classes; sequences ``a`` of several lengths, vectors ``b``; some rows lack one."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(48):
        label = i % 3
        a = random.normal(size=(2 + i % 5, 6)).astype(np.float32) + label
        b = random.normal(size=4).astype(np.float32) - label
        features: dict[str, Any] = {"a": _save(folder, f"a{i}", a), "b": b.tolist()}
        if i % 7 == 3:
            del features["a"]
        elif i % 7 == 5:
            del features["b"]
        name = "xyz"[label]
        rows.append(
            {
                "id": f"clip{i}",
                "speaker": f"p{i // 4}",
                "split": _PARTS[(i // 4) % 4],
                "labels": {"emotion": {"x": 0.5, name: 0.5} if i % 11 == 10 and label else name},
                "features": features,
            }
        )
    return _write(folder, rows, None)


def frames(folder: Path, seed: int = 0) -> Path:
    """Two action units and valence-arousal for each frame; -1 and -5 mark invalid ones."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(32):
        length = 5 + i % 6
        face = random.normal(size=(length, 5)).astype(np.float32)
        units = (face[:, :2] > 0).astype(np.float32)
        affect = np.tanh(face[:, 2:4])
        units[random.random(length) < 0.2] = -1
        affect[random.random(length) < 0.2] = -5
        if i == 5:
            units[:], affect[:] = -1, -5  # a clip without any valid frame is harmless
        rows.append(
            {
                "id": f"video{i}",
                "speaker": f"p{i // 2}",
                "split": _PARTS[(i // 2) % 4],
                "fps": 5,
                "features": {"face": _save(folder, f"face{i}", face)},
                "labels": {
                    "au": {"path": _save(folder, f"au{i}", units), "fps": 5},
                    "affect": {"path": _save(folder, f"va{i}", affect), "fps": 5},
                },
            }
        )
    return _write(
        folder,
        rows,
        [
            {
                "name": "au",
                "problem": "many_of_n",
                "resolution": "frame",
                "labels": ["AU1", "AU2"],
                "invalid": [-1],
            },
            {
                "name": "affect",
                "problem": "regression",
                "resolution": "frame",
                "labels": ["valence", "arousal"],
                "ranges": [[-1, 1], [-1, 1]],
                "invalid": [-5],
            },
        ],
    )


def moments(folder: Path, seed: int = 0) -> Path:
    """Three classes of clips in features over time; some rows lack one, some have gaps in one."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(32):
        label, length = i % 3, 4 + i % 9
        visual = random.normal(size=(length, 5)) + label
        audio = random.normal(size=(length + i % 2, 4)) - label
        seen = (random.random(length) < 0.7).astype(np.uint8)
        seen[i % length] = 1
        name = f"visual{i}.safetensors"
        save_file({"x": visual.astype(np.float32), "x.seen": seen}, folder / name)
        features: dict[str, Any] = {
            "visual": f"{name}::x",
            "audio": _save(folder, f"audio{i}", audio.astype(np.float32)),
            "text": random.normal(size=(length, 3)).round(3).tolist(),
        }
        for k, lacking in enumerate(("visual", "audio", "text")):
            if i % 8 == 2 * k + 1:
                del features[lacking]
        rows.append(
            {
                "id": f"m{i}",
                "speaker": f"p{i // 2}",
                "split": _PARTS[(i // 2) % 4],
                "fps": 5,
                "text": "nothing that anybody reads here",
                "features": features,
                "labels": {"emotion": "xyz"[label]},
            }
        )
    return _write(folder, rows, None)


def dialogues(folder: Path, seed: int = 0) -> Path:
    """Dialogues of several lengths; one utterance without a label, one without features."""
    random = np.random.default_rng(seed)
    rows = []
    for talk in range(20):
        for turn in range(2 + talk % 4):
            label = int(random.integers(3))
            words = random.normal(size=6) + label
            row: dict[str, Any] = {
                "id": f"d{talk}u{turn}",
                "dialogue": f"d{talk}",
                "turn": turn,
                "speaker": f"d{talk}-{turn % 2}",
                "split": _PARTS[talk % 4],
                "features": {"words": words.round(3).tolist()},
                "labels": {"emotion": ["joy", "fear", "none"][label]},
            }
            if talk == 4 and turn == 0:
                row["labels"] = {"emotion": None}
            if talk == 5 and turn == 1:
                row["features"] = {}
            rows.append(row)
    task = {
        "name": "emotion",
        "problem": "one_of_n",
        "resolution": "utterance",
        "labels": ["joy", "fear", "none"],
    }
    return _write(folder, rows, [task])


def conversations(folder: Path, seed: int = 0) -> Path:
    """Words, and a vector of each modality an utterance; some lack one, and one all of them."""
    random = np.random.default_rng(seed)
    rows = []
    for talk in range(20):
        for turn in range(2 + talk % 4):
            label = int(random.integers(3))
            sizes = {"text": 6, "audio": 4, "visual": 5}
            features = {
                name: (random.normal(size=size) + label).round(3).tolist()
                for name, size in sizes.items()
            }
            if (talk + turn) % 5 == 2:
                del features[["text", "audio", "visual"][talk % 3]]
            if talk == 5 and turn == 1:
                features = {}
            words = ["a b", "c d it", "the voice is e"][label]
            rows.append(
                {
                    "id": f"d{talk}u{turn}",
                    "dialogue": f"d{talk}",
                    "turn": turn,
                    "speaker": f"d{talk}-{turn % 2}",
                    "split": _PARTS[talk % 4],
                    "text": words + " f" * (turn % 3),
                    "features": features,
                    "labels": {"emotion": None if talk == turn == 2 else "xyz"[label]},
                }
            )
    return _write(folder, rows, None)


def sayings(folder: Path, seed: int = 0) -> Path:
    """The words of conversations, and nothing else of them."""
    path = conversations(folder, seed)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return _write(folder, [{k: v for k, v in row.items() if k != "features"} for row in rows], None)


def voices(folder: Path, seed: int = 0) -> Path:
    """Those recordings that have a sound, and nothing but it."""
    path = recordings(folder, seed)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    heard = [row for row in rows if "audio" in row["features"]]
    return _write(
        folder, [r | {"features": {"audio": r["features"]["audio"]}} for r in heard], None
    )


def texts(folder: Path, seed: int = 0) -> Path:
    """Sentences that say what they are, with letters of several bytes among them."""
    random = np.random.default_rng(seed)
    words = {"glad": ["hurra", "schön", "yes"], "sad": ["oh", "weh", "no…"]}
    rows = []
    for i in range(32):
        label = list(words)[i % 2]
        chosen = random.choice(words[label], size=1 + i % 3)
        rows.append(
            {
                "id": f"t{i}",
                "speaker": f"p{i // 4}",
                "split": _PARTS[(i // 4) % 4],
                "text": " ".join(chosen) + f" {i}",
                "labels": {"emotion": label},
            }
        )
    return _write(folder, rows, None)


def recordings(folder: Path, seed: int = 0) -> Path:
    """Frames and waveforms as arrays, for towers: dark and low, or bright and high."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(16):
        label = i % 2
        length = 6 + i % 3
        video = random.integers(0, 120, size=(length, 32, 32, 3)) + 100 * label
        time = np.arange(8000 + 500 * (i % 3)) / 16000
        audio = 0.3 * np.sin(2 * np.pi * (200 + 600 * label) * time)
        audio = audio + 0.01 * random.normal(size=time.size)
        features = {
            "video": _save(folder, f"video{i}", video.astype(np.uint8)),
            "audio": _save(folder, f"audio{i}", audio.astype(np.float32)),
        }
        if i % 8 == 3:
            del features["audio"]
        elif i % 8 == 4:
            del features["video"]
        rows.append(
            {
                "id": f"r{i}",
                "speaker": f"p{i // 2}",
                "split": _PARTS[(i // 2) % 4],
                "features": features,
                "labels": {"emotion": ["calm", "glad"][label]},
            }
        )
    return _write(folder, rows, None)


def prepared(folder: Path, seed: int = 0) -> Path:
    """Shards of two clips each, for towers: dark and low, or bright and high; with gaps."""
    return _write(folder, _shards(folder, seed), None)


def described(folder: Path, seed: int = 0) -> Path:
    """The same, most of them with embeddings of descriptions; single ones are absent: zeros."""
    random = np.random.default_rng([seed, 1])
    rows = _shards(folder, seed)
    for i, row in enumerate(rows):
        text = random.normal(size=(3, 8)).round(3)
        text[i % 4 : i % 4 + 1] = 0
        if i % 5:
            row["features"]["text"] = text.tolist()
    return _write(folder, rows, None)


def opinions(folder: Path, seed: int = 0) -> Path:
    """Scores, classes and several classes of clips; sequences of words, vectors of the rest."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(32):
        score = float(random.uniform(-3, 3))
        text = random.normal(size=(2 + i % 4, 6)) * 0.4 + score
        features: dict[str, Any] = {
            "text": _save(folder, f"text{i}", text.astype(np.float32)),
            "audio": (random.normal(size=4) + 0.5 * score).round(3).tolist(),
            "visual": random.normal(size=(3, 5)).round(3).tolist(),
        }
        for name in ("text", "audio", "visual")[i % 5 : i % 5 + 1]:
            del features[name]
        present = [word for word, there in (("joy", score > 0), ("fear", score < -1)) if there]
        rows.append(
            {
                "id": f"o{i}",
                "speaker": f"p{i // 2}",
                "split": _PARTS[(i // 2) % 4],
                "features": features,
                "labels": {
                    "sentiment": None if i == 6 else round(score, 3),
                    "emotion": ["anger", "neutral", "joy"][int((score + 3) / 2.01)],
                    "felt": present,
                },
            }
        )
    return _write(folder, rows, None)


def _shards(folder: Path, seed: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(8):
        path = folder / f"{i}.shard"
        with Writer(path, fps=25, rate=16000, size=32, spans=[(0.0, 2.0)]) as shard:
            for k in range(50):
                pixels = random.integers(0, 120, size=(32, 32, 3)) + 100 * (k >= 25)
                if (i + k) % 6:
                    picture = shard.picture(encode(pixels.astype(np.uint8), 95))
                    shard.seen("face-1", k, picture, (2.0, 3.0, 20.0, 24.0), 0.9, k % 5 == 0)
            shard.looked(0, 50)
            time = np.arange(32000) / 16000
            sound = 0.3 * np.sin(2 * np.pi * (200 + 600 * (time >= 1)) * time)
            shard.heard(0, sound.astype(np.float32), np.ones(32000, np.bool_))
            shard.finish({"recipe": _recipe()})
        for half, label in enumerate(("calm", "glad")):
            features = {"video": f"{path.name}::face-1", "audio": f"{path.name}::audio"}
            if i in (3, 4):
                del features["audio" if i == 3 else "video"]
            rows.append(
                {
                    "id": f"s{i}-{half}",
                    "speaker": f"p{i}",
                    "source": f"film{i}",
                    "split": _PARTS[i % 4],
                    "start": float(half),
                    "end": half + 1.0,
                    "features": features,
                    "labels": {"emotion": label},
                }
            )
    return rows


def watched(folder: Path, seed: int = 0) -> Path:
    """Shards of one face each, dark or bright by turns, with the expression of every frame."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(8):
        path, count = folder / f"{i}.shard", 14 + i
        bright = (np.arange(count) + 3 * i) // 5 % 2
        with Writer(path, fps=25, rate=16000, size=32, spans=[(0.0, None)]) as shard:
            for k in range(count):
                pixels = random.integers(0, 120, size=(32, 32, 3)) + 100 * bright[k]
                if (i + k) % 6:
                    picture = shard.picture(encode(pixels.astype(np.uint8), 95))
                    shard.seen("face-1", k, picture, (2.0, 3.0, 20.0, 24.0), 0.9, k % 5 == 0)
            shard.looked(0, count)
            shard.finish({"recipe": _recipe()})
        labels = np.where(random.random(count) < 0.1, -1, bright)
        rows.append(
            {
                "id": f"w{i}",
                "speaker": f"p{i}",
                "split": _PARTS[i % 4],
                "features": {"video": f"{path.name}::face-1"},
                "labels": {"expression": {"path": _save(folder, f"x{i}", labels), "fps": 25}},
            }
        )
    task = {
        "name": "expression",
        "problem": "one_of_n",
        "resolution": "frame",
        "labels": ["calm", "glad"],
        "invalid": [-1],
    }
    return _write(folder, rows, [task])


def _recipe() -> dict[str, Any]:
    crop = CropRecipe(size=32).to_dict()
    return {"fps": 25.0, "rate": 16000, "crop": crop, "detector": "yunet-00000000", "every": 5}
