"""Which lists or tables there are, and which side of which cut each is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from mien.data.rows import SPLITS, Split
from mien.errors import ConfigError, DataError
from mien.importers.corpus import Wish

WORDS: dict[str, Split] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What people call the parts of a corpus."""


@dataclass(frozen=True, slots=True)
class Part:
    """A list: all there is, one side of a split, or one side of a fold (from 0)."""

    file: Path
    split: Split | None = None
    fold: int | None = None


def split_of(word: str) -> Split:
    """Which part a word means.

    Raises:
        ConfigError: none.
    """
    if word.lower() not in WORDS:
        raise ConfigError(f"there is no part {word!r}", fix=f"--split {'|'.join(SPLITS)}=FILE")
    return WORDS[word.lower()]


def parts(wish: Wish, known: tuple[str, str] | None = None) -> list[Part]:
    """The lists of a wish: what it names, else those that the corpus is known to have.

    Raises:
        ConfigError: parts and folds together, or a name that is none.
        DataError: a list is not there, or none was named.
    """
    options = wish.options
    if options.split and options.fold:
        raise ConfigError("--split and --fold are two ways to cut", fix="leave one out")
    if options.fold:
        return list(_folds(wish, options.fold))
    found = [Part(_file(name, wish), split_of(word)) for word, name in options.split.items()]
    if wish.source.is_file():
        found.insert(0, Part(wish.source, "train" if found else None))
    elif not found and known is not None:
        return list(_folds(wish, {"{}": known}))
    sides = [part.split for part in found]
    if len(set(sides)) < len(sides):
        raise ConfigError("two lists are the same part", fix="--split val=FILE --split test=FILE")
    if not found:
        raise _unnamed(wish)
    return found


def _folds(wish: Wish, given: dict[str, tuple[str, str]]) -> Iterator[Part]:
    """Two lists for each fold, numbered from 0; of a single fold, its two sides as a split."""
    named: dict[int, tuple[Path, Path]] = {}
    for word, (train, test) in given.items():
        if word == "{}":
            named |= dict(_numbered(wish, train, test))
        elif word.isascii() and word.isdigit():
            named[int(word)] = _file(train, wish), _file(test, wish)
        else:
            raise ConfigError(f"{word!r} is no fold", fix="--fold 1=TRAIN,TEST, or --fold '{}=...'")
    first = min(1, *named)
    for number, (train_file, test_file) in sorted(named.items()):
        fold = number - first if len(named) > 1 else None
        yield Part(train_file, "train", fold)
        yield Part(test_file, "test", fold)


def _numbered(wish: Wish, train: str, test: str) -> Iterator[tuple[int, tuple[Path, Path]]]:
    """The folds of a pattern from 0 or from 1, as far as there are lists."""
    for first in (0, 1):
        for number in count(first):
            pair = [_path(name.replace("{}", str(number)), wish) for name in (train, test)]
            if "{}" not in train or "{}" not in test or not all(path.is_file() for path in pair):
                break
            yield number, (pair[0], pair[1])
        if number > first:
            return
    names = f"{train.replace('{}', '1')} and {test.replace('{}', '1')}"
    raise DataError(
        f"there are no lists {names}",
        where=str(wish.source),
        fix="name the lists of each fold: --fold 1=TRAIN,TEST --fold 2=TRAIN,TEST",
    )


def _file(name: str, wish: Wish) -> Path:
    path = _path(name, wish)
    if not path.is_file():
        raise DataError("there is no such list", where=str(path))
    return path


def _path(name: str, wish: Wish) -> Path:
    """A list as it was named, from here or from the source."""
    folder = wish.source if wish.source.is_dir() else wish.source.parent
    return Path(name) if Path(name).is_file() else folder / name


def _unnamed(wish: Wish) -> DataError:
    found = sorted(
        path.name
        for path in wish.source.iterdir()
        if path.suffix.lower() in (".txt", ".csv", ".lst", ".list", ".tsv")
    )
    there = f"; here are {', '.join(found[:5])}" if found else ""
    return DataError(
        f"which lists?{there}",
        where=str(wish.source),
        fix="--fold 1=TRAIN,TEST --fold 2=TRAIN,TEST, or --split train=LIST --split test=LIST",
    )
