"""FER2013 as a manifest: pictures out of its two Parquet files, without those that leak.

    python recipes/pocket/faces.py TRAIN.parquet VALIDATION.parquet --out faces

A training picture that is equal, pixel by pixel, to one of the validation part is left out, and so
is every second of two that are equal to each other. The validation part becomes ``test``; the group
``seen`` says which of its pictures were in the training part as published.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import save_file

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
PICTURES, MANIFEST, TASKS = "faces.safetensors", "faces.jsonl", "faces.tasks.yaml"
TESTED = "test.npz"
"""The tested pictures (N, H, W) in the order of their rows, for other programs."""

Picture = NDArray[np.uint8]


def write(train: Path, validation: Path, out: Path, *, most: int | None = None) -> Path:
    """Write pictures, manifest and task; gives the manifest.

    Args:
        train: Parquet with the columns ``id``, ``label`` and ``jpg``.
        validation: another one.
        out: folder.
        most: pictures of each part, for a short run.
    """
    tested = list(_pictures(validation, most))
    trained = list(_pictures(train, most))
    published = {_digest(picture) for _, _, picture in trained}
    taken = {_digest(picture) for _, _, picture in tested}
    kept: list[tuple[str, str, Picture]] = []
    for item in trained:
        if (digest := _digest(item[2])) not in taken:
            taken.add(digest)
            kept.append(item)
    out.mkdir(parents=True, exist_ok=True)
    # (L, H, W, 3): one frame, its grey in each of the colours, as a recording of it would have.
    pictures = {
        name: np.repeat(picture[None, :, :, None], 3, 3) for name, _, picture in (*kept, *tested)
    }
    save_file(pictures, out / PICTURES)
    grey = np.asarray([picture for _, _, picture in tested], np.uint8)
    np.savez_compressed(out / TESTED, allow_pickle=False, pictures=grey)
    rows = [_row(*item[:2], "train", {}) for item in kept]
    rows += [
        _row(name, label, "test", {"seen": str(_digest(picture) in published).lower()})
        for name, label, picture in tested
    ]
    (out / MANIFEST).write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = ", ".join(LABELS)
    (out / TASKS).write_text(
        "licence: unknown (FER2013, challenge data; the pictures are not passed on)\n"
        f"tasks:\n  emotion:\n    problem: one_of_n\n    labels: [{names}]\n"
    )
    return out / MANIFEST


def _pictures(path: Path, most: int | None) -> Iterator[tuple[str, str, Picture]]:
    table = pq.read_table(path, columns=["id", "label", "jpg"])
    for number, row in enumerate(table.slice(0, most).to_pylist()):
        picture = cv2.imdecode(np.frombuffer(row["jpg"], np.uint8), cv2.IMREAD_GRAYSCALE)
        name = f"{row['id']}-{number}"  # some ids stand twice
        yield name, str(row["label"]), np.asarray(picture, np.uint8)


def _digest(picture: Picture) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()


def _row(name: str, label: str, part: str, groups: dict[str, str]) -> dict[str, object]:
    row: dict[str, object] = {
        "id": name,
        "split": part,
        "features": {"video": f"{PICTURES}::{name}"},
        "labels": {"emotion": label},
    }
    return row | ({"groups": groups} if groups else {})


def main() -> None:
    """Parse and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("--out", type=Path, default=Path("faces"))
    parser.add_argument("--most", type=int, help="pictures of each part, for a short run")
    given = parser.parse_args()
    print(write(given.train, given.validation, given.out, most=given.most))


if __name__ == "__main__":
    main()
