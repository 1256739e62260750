"""Media files below a folder: sorted, without what is hidden or leads out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mien.data import stills
from mien.data.findings import Report
from mien.data.media import FILMS, SOUNDS
from mien.errors import DataError

MEDIA = (*SOUNDS, *FILMS)
"""What is heard, and what is seen and heard; of one recording the first is the best to have."""
PICTURES = stills.SUFFIXES


@dataclass(slots=True, kw_only=True)
class Tree:
    """What lies below a folder.

    Args:
        root: the folder, links resolved.
        files: of the wanted endings, sorted by path.
        others: how many files end otherwise.
        links: what leads out of the folder, or to another folder; not followed.
        unread: folders that cannot be opened, and names that no text can hold.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    others: int = 0
    links: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def note(self, report: Report) -> None:
        """Say what was passed over."""
        if self.links:
            report.warn(
                "link", "links that lead out, or to a folder, are not followed", *self.links
            )
        if self.unread:
            report.warn("unread", "this cannot be read, or has no name in UTF-8", *self.unread)


def walk(
    folder: Path,
    endings: Iterable[str] = MEDIA,
    progress: Callable[[int], None] | None = None,
) -> Tree:
    """All files below a folder that end like media.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        what = "this is a file, not a folder" if folder.exists() else "there is no such folder"
        raise DataError(what, where=str(folder), fix="name the folder that your copy lies in")
    tree, wanted, seen = Tree(root=folder.resolve()), frozenset(endings), 0

    def refused(error: OSError) -> None:
        tree.unread.append(ascii(error.filename)[1:-1])

    for place, folders, names in os.walk(tree.root, onerror=refused):
        here = Path(place)
        linked = [name for name in folders if (here / name).is_symlink()]
        tree.links += [_shown(here / name, tree.root) for name in linked]
        # What is named with a dot, or was packed by a Mac beside it, is nobody's clip.
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "__MACOSX")
        for name in sorted(names):
            if name[0] != ".":
                _look(here / name, tree, wanted)
        seen += len(names)
        if progress is not None:
            progress(seen)
    return tree


def names(paths: Iterable[Path], root: Path) -> dict[Path, str]:
    """What each file is called: its path below the root, without the ending if that is enough."""
    full = {path: path.relative_to(root).as_posix() for path in paths}
    short = {
        path: name[: -len(path.suffix)] if path.suffix.lower() in (*MEDIA, *PICTURES) else name
        for path, name in full.items()
    }
    often = Counter(short.values())
    return {path: name if often[name] == 1 else full[path] for path, name in short.items()}


def _look(path: Path, tree: Tree, wanted: frozenset[str]) -> None:
    if path.suffix.lower() not in wanted:
        tree.others += 1
    elif not _is_text(str(path)):
        tree.unread.append(_shown(path, tree.root))
    elif path.is_symlink() and not path.resolve().is_relative_to(tree.root):
        tree.links.append(_shown(path, tree.root))
    elif path.is_file():  # not a pipe, not a link into the void
        tree.files.append(path)
    else:
        tree.unread.append(_shown(path, tree.root))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix()
    return name if _is_text(name) else ascii(name)[1:-1]
