"""A folder for each class, and perhaps one for each part above them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.data.findings import Report
from mien.data.media import SOUNDS
from mien.data.rows import Row, Split
from mien.errors import DataError
from mien.importers import walk
from mien.importers.corpus import Found, Wish
from mien.importers.parts import WORDS
from mien.importers.speakers import Speakers

_SHAPE = "FOLDER/CLASS/.../clip.mp4, or FOLDER/train/CLASS/.../clip.mp4"


@dataclass(slots=True)
class _Clip:
    """What lies under one name in one folder: a film, a sound, a picture or several pictures."""

    video: Path | None = None
    audio: Path | None = None
    frames: bool = False

    @property
    def path(self) -> Path:
        found = self.video or self.audio
        assert found is not None
        return found


def read(wish: Wish) -> Found:
    """Rows of all media below the folders of classes."""
    options, report = wish.options, Report()
    tree = walk.walk(wish.source, (*walk.MEDIA, *walk.PICTURES), wish.progress)
    tree.note(report)
    if not tree.files:
        raise DataError(
            "there is no film, sound or picture here", where=str(wish.source), fix=_SHAPE
        )
    split = _is_split(tree)
    clips, notes = _clips(tree, 1 + split, options.fps, report)
    if not clips:
        raise DataError("all files lie in no folder of a class", where=str(wish.source), fix=_SHAPE)
    speakers, task = Speakers.of(options.speaker), options.task or "emotion"
    called = walk.names([clip.path for clip in clips], tree.root)
    rows = []
    for clip in clips:
        parts = clip.path.relative_to(tree.root).parts
        rows.append(
            Row(
                id=called[clip.path],
                video=wish.place.relative(clip.video) if clip.video is not None else None,
                audio=wish.place.relative(clip.audio) if clip.audio is not None else None,
                fps=options.fps if clip.frames else None,
                speaker=speakers.name(clip.path.relative_to(tree.root).as_posix()),
                split=_part(parts[0]) if split else None,
                labels={task: options.rename.get(parts[split], parts[split])},
            )
        )
    speakers.note(report)
    return Found(rows=rows, tasks={}, report=report, notes=notes)


def _is_split(tree: walk.Tree) -> bool:
    """Whether the uppermost folders are parts, not classes.

    Raises:
        DataError: some are, some are not.
    """
    above = {path.relative_to(tree.root).parts[:-1] for path in tree.files}
    tops = sorted({folders[0] for folders in above if folders})
    parts = [top for top in tops if top.lower() in WORDS]
    if parts and len(parts) < len(tops):
        other = next(top for top in tops if top not in parts)
        raise DataError(
            f"folder {parts[0]!r} is called like a part, folder {other!r} is not",
            where=str(tree.root),
            fix="let all uppermost folders be classes, or all of them parts: train, val, test",
        )
    # A folder `test` of clips without folders of classes is a class that is called so.
    return bool(parts) and all(len(folders) > 1 for folders in above if folders)


def _part(word: str) -> Split:
    return WORDS[word.lower()]


def _clips(
    tree: walk.Tree, depth: int, fps: float | None, report: Report
) -> tuple[list[_Clip], list[str]]:
    """Clips by their folder and name: a film and a sound that are called alike are one clip."""
    named: dict[tuple[Path, str], list[Path]] = {}
    odd, folders = list[str](), list[Path]()
    for path in tree.files:
        if len(path.relative_to(tree.root).parts) <= depth:
            odd.append(path.relative_to(tree.root).as_posix())
        elif fps is not None and path.suffix.lower() in walk.PICTURES:
            folders.append(path.parent)
        else:
            named.setdefault((path.parent, path.stem), []).append(path)
    if odd:
        report.warn("unexpected", "media in no folder of a class; left out", *odd)
    clips = list(_frames(folders, tree.root, depth))
    clips += [_clip(paths, tree.root, report) for paths in named.values()]
    return sorted(clips, key=lambda clip: str(clip.path)), list(_said(clips, fps))


def _frames(folders: Sequence[Path], root: Path, depth: int) -> Iterator[_Clip]:
    """Every folder of pictures as one clip.

    Raises:
        DataError: a folder of pictures is that of a class.
    """
    for folder in dict.fromkeys(folders):
        if len(folder.relative_to(root).parts) <= depth:
            raise DataError(
                "pictures lie in the folder of a class itself",
                where=str(folder),
                fix="leave --fps out, and each is a clip; or give each clip a folder of its own",
            )
        yield _Clip(video=folder, frames=True)


def _clip(paths: Sequence[Path], root: Path, report: Report) -> _Clip:
    kinds: Mapping[str, list[Path]] = {"audio": [], "video": [], "picture": []}
    for path in sorted(paths, key=lambda path: _RANK[path.suffix.lower()]):
        ending = path.suffix.lower()
        kind = "audio" if ending in SOUNDS else "video"
        kinds["picture" if ending in walk.PICTURES else kind].append(path)
    shown = [*kinds["video"], *kinds["picture"]]
    for other in (*shown[1:], *kinds["audio"][1:]):
        name = other.relative_to(root).as_posix()
        report.warn("format", "called like another clip; left out", name)
    return _Clip(next(iter(shown), None), next(iter(kinds["audio"]), None))


_RANK = {ending: rank for rank, ending in enumerate((*walk.MEDIA, *walk.PICTURES))}


def _said(clips: Sequence[_Clip], fps: float | None) -> Iterator[str]:
    endings = Counter(clip.path.suffix.lower() for clip in clips if not clip.frames)
    pictures = sum(endings[ending] for ending in walk.PICTURES)
    if pictures and fps is None:
        yield f"{pictures:,} pictures are a row each; with --fps a folder of them is one clip"
