"""VoxCeleb2: celebrities who speak, without labels, to learn from before anything is asked."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from mien.data.findings import Report
from mien.data.media import FILMS
from mien.data.rows import Row
from mien.errors import DataError
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.counts import Expected
from mien.importers.walk import walk

_BOXED = (".mp4", ".m4a", ".m4v", ".mov")
_CLIP = re.compile(r"(?:^|/)(?P<speaker>id[0-9]{5})/(?P<video>[^/]+)/(?P<number>[0-9]{5})$")


def read(wish: Wish) -> Found:
    """Rows of all clips, whole files only; a film and a sound of one name are one row."""
    tree, report = walk(wish.source, progress=wish.progress), Report()
    tree.note(report)
    clips: dict[str, dict[str, Path]] = {}
    odd: list[str] = []
    for path in tree.files:
        name = path.relative_to(tree.root).as_posix()
        match = _CLIP.search(name[: -len(path.suffix)])
        if match is None:
            odd.append(name)
        elif path.suffix.lower() in _BOXED and (why := broken(path)):
            report.warn("broken", f"{why}; left out", name)
        else:
            kind = "film" if path.suffix.lower() in FILMS else "sound"
            key = f"{match['speaker']}/{match['video']}/{match['number']}"
            if kind in clips.setdefault(key, {}):
                report.warn("twice", "a clip of this name is there twice; left out", name)
            clips[key].setdefault(kind, path)
    if odd:
        report.warn("unexpected", "media that are not called ID/VIDEO/NUMBER; left out", *odd)
    rows = [row for key in sorted(clips) if (row := _row(key, clips[key], wish)) is not None]
    if not rows:
        raise DataError(
            f"of {len(tree.files):,} media files none can be taken",
            where=str(wish.source),
            fix="a folder with id00012/VIDEO/00001.mp4 and so on",
        )
    return Found(rows=rows, tasks={}, report=report, notes=["it has no labels: mien pretrain"])


def broken(path: Path) -> str | None:
    """Why a file of boxes (MP4) is not whole, from the sizes of its boxes alone; None: it is.

    A copy has a million files, so nothing is decoded: `mien data prepare` finds what is wrong
    within. What this finds are the usual harms, empty files and downloads that were cut off.
    """
    size, at, kinds = path.stat().st_size, 0, set[bytes]()
    if not size:
        return "an empty file"
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(16)
            if len(head) < 8:
                return "a file that was cut off"
            length, kind = struct.unpack(">I4s", head[:8])
            if length == 1 and len(head) == 16:
                (length,) = struct.unpack(">Q", head[8:])
            elif length == 0:
                length = size - at  # to the end of the file
            if length < 8 or (not kinds and kind != b"ftyp"):
                return "no MP4 file"
            kinds.add(kind)
            at += length
    if at != size:
        return "a file that was cut off"
    return None if b"moov" in kinds else "a file without its index"


def _row(key: str, files: dict[str, Path], wish: Wish) -> Row | None:
    film, sound = files.get("film"), files.get("sound")
    wanted = wish.options.modality
    if wanted == "audio":
        film, sound = (None, sound) if sound is not None else (None, film)
    elif film is not None:
        sound = sound if wanted != "video" else None
    if (film is None and wanted in ("video", "audio-video")) or not (film or sound):
        return None
    speaker, video, _ = key.split("/")
    return Row(
        id=key,
        video=wish.place.relative(film) if film is not None else None,
        audio=wish.place.relative(sound) if sound is not None else None,
        speaker=speaker,
        source=f"{speaker}/{video}",
    )


CORPUS = Corpus(
    name="voxceleb2",
    title="VoxCeleb2",
    about="interviews of celebrities, without labels: over a million short clips to pre-train on",
    read=read,
    takes=("modality",),
    layout="id00012/VIDEO/00001.mp4 (and .m4a), in any folders, such as the corpus's own dev/mp4 "
    "and dev/aac. Layout not verified",
    verified="no real copy: names as commonly known",
    expected=Expected(
        rows=1_092_009,
        source="its dev part; 1,091,581 are whole in the list that HiCMAE was pre-trained with",
    ),
    folds="none: it is trained on as a whole",
    licence="VoxCeleb2's metadata: CC-BY-4.0; the films belong to their makers (as commonly known)",
    apply="its page at the University of Oxford says what is still to be had",
    cite="Chung, Nagrani and Zisserman, Interspeech 2018, https://arxiv.org/abs/1806.05622",
)
