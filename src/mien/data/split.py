"""Parts and folds in which nobody is on both sides.

Rows that share a speaker, a source, a dialogue or their content belong to one group, and so does
whatever is linked by such rows in turn. Groups are never cut. Among all ways to deal them out one
is sought whose parts have the wanted size and the same labels as the whole.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.data import content, strata
from mien.data.places import Place
from mien.data.rows import Row
from mien.errors import DataError

Floats = NDArray[np.float64]
Counts = Floats

_WORK = 400_000  # how many group-label pairs a search may look at in its first steps
_RESTARTS = 64
_WORTH = 1e-4  # a move that mends less is not worth looking for: random cuts are that good


@dataclass(frozen=True, slots=True)
class Parts:
    """What is trained on, what selects the epoch, and what is reported."""

    train: list[Row]
    held_out: list[Row]
    test: list[Row]


def partition(
    rows: Sequence[Row],
    *,
    fold: int | None = None,
    held_out: float = 0.15,
    seed: int = 0,
    random_split: bool = False,
    folds: int | None = None,
    place: Place | None = None,
) -> Parts:
    """Cut rows into parts, as the manifest says or, where it does not, by groups.

    Args:
        rows: all rows.
        fold: rows of this fold are the test part, all others are trained on; ``split`` is not
            looked at.
        held_out: share of the training part that is held out; 0 holds out nothing. Without
            ``fold``, rows marked ``val`` are held out instead, if there are any.
        seed: of the cut.
        random_split: cut by row (by dialogue where there are any), not by group.
        folds: make this many folds, for rows that name none.
        place: where paths start for rows that were not read from a file.

    Returns:
        Rows in their order. Without ``fold`` and without any ``split`` there is no test part.
    """
    if fold is not None:
        test, rest = _of_fold(rows, fold, folds, random_split, place)
        held: list[Row] = []
    else:
        rest, held, test = _as_marked(rows)
    if not rest:
        raise DataError("no row is left to train on", fix='mark some rows "split": "train"')
    if not held and held_out:
        _, ids = hold_out(rest, held_out, seed, random_split=random_split, place=place)
        chosen = set(ids)
        held = [row for row in rest if row.id in chosen]
        rest = [row for row in rest if row.id not in chosen]
    return Parts(rest, held, test)


def _of_fold(
    rows: Sequence[Row], fold: int, folds: int | None, random_split: bool, place: Place | None
) -> tuple[list[Row], list[Row]]:
    number = {row.id: row.fold for row in rows}
    if folds is not None and all(held is None for held in number.values()):
        made = make_folds(rows, folds, seed=0, random_split=random_split, place=place)
        number = dict(made)
    known = sorted({held for held in number.values() if held is not None})
    if fold not in known:
        raise DataError(f"there is no fold {fold}", fix=f"one of: {known}" if known else None)
    test = [row for row in rows if number[row.id] == fold]
    return test, [row for row in rows if number[row.id] != fold]


def _as_marked(rows: Sequence[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    by_split = {
        name: [row for row in rows if row.split == name] for name in (None, "train", "val", "test")
    }
    unmarked = by_split[None]
    if len(unmarked) == len(rows):
        return list(rows), [], []
    if unmarked:
        names = ", ".join(repr(row.id) for row in unmarked[:5])
        raise DataError(
            f"{len(unmarked)} rows are in no split, such as {names}, while others are",
            fix="mark every row train, val or test, or none of them",
        )
    return by_split["train"], by_split["val"], by_split["test"]


# -- groups ----------------------------------------------------------------------------------------


def groups(
    rows: Sequence[Row],
    place: Place | None = None,
    *,
    keys: Sequence[str | None] | None = None,
) -> list[str]:
    """The group of each row; rows of one group must stay on one side of every cut.

    Args:
        rows: all rows.
        place: where paths start for rows that were not read from a file.
        keys: the content of each row, where it is known already.
    """
    keys = content.keys(rows, place) if keys is None else keys
    return _joined(
        [
            [
                ("speaker", row.speaker),
                ("source", row.source),
                ("dialogue", row.dialogue),
                ("", key),
            ]
            for row, key in zip(rows, keys, strict=True)
        ],
        rows,
    )


def _joined(links: Sequence[Sequence[tuple[str, str | None]]], rows: Sequence[Row]) -> list[str]:
    """Union-find: rows with a link in common get the same name, that of their first row's link."""
    above = list(range(len(rows)))

    def top(index: int) -> int:
        while above[index] != index:
            above[index] = above[above[index]]
            index = above[index]
        return index

    first: dict[Hashable, int] = {}
    for index, named in enumerate(links):
        for link in named:
            if link[1] is not None:
                one, two = top(first.setdefault(link, index)), top(index)
                above[max(one, two)] = min(one, two)
    tops = [top(index) for index in range(len(rows))]
    return [_name(rows[index], links[index]) for index in tops]


def _name(row: Row, links: Sequence[tuple[str, str | None]]) -> str:
    kind, value = next(((k, v) for k, v in links if k and v is not None), ("row", row.id))
    return f"{kind} {value}"


def _units(rows: Sequence[Row], random_split: bool, place: Place | None) -> list[str]:
    if not random_split:
        return groups(rows, place)
    # A dialogue is one sample: it is not cut even where speakers are.
    return [f"dialogue {row.dialogue}" if row.dialogue else f"row {row.id}" for row in rows]


# -- cuts ------------------------------------------------------------------------------------------


def hold_out(
    rows: Sequence[Row],
    share: float,
    seed: int,
    *,
    random_split: bool = False,
    place: Place | None = None,
) -> tuple[list[str], list[str]]:
    """Hold out whole groups, about ``share`` of the rows, with labels like those of all rows.

    The same rows and seed give the same cut, in whatever order the rows come.

    Args:
        rows: what to cut.
        share: of the rows to hold out, between 0 and 1.
        seed: of the search.
        random_split: cut by row (by dialogue), not by group.
        place: where paths start for rows that were not read from a file.

    Returns:
        Ids that stay and ids that are held out, in the order of the rows; at least one group each.

    Raises:
        DataError: all rows belong to one group.
    """
    if not 0 < share < 1:
        raise DataError(f"the held-out share lies between 0 and 1, not {share}")
    owners = _units(rows, random_split, place)
    names, counts = _counts(rows, owners)
    if len(names) < 2:
        raise _too_few(names, 2, random_split)
    random = np.random.default_rng(seed)
    tries = max(2, min(_RESTARTS, _WORK // counts.size))
    found = [_chosen(counts, share, random) for _ in range(tries)]
    best = min(found, key=lambda chosen: float(_misfit(counts, chosen[None], share)[0]))
    held = {name for name, inside in zip(names, best, strict=True) if inside}
    sides: tuple[list[str], list[str]] = ([], [])
    for row, owner in zip(rows, owners, strict=True):
        sides[owner in held].append(row.id)
    return sides


def _chosen(counts: Counts, share: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Which groups to hold out, (G): a random start, then one group after the other moved.

    Args:
        counts: (G, 1 + K) rows of each group, and how many of them have each label.
        share: of all rows.
        random: where to start.
    """
    order = random.permutation(len(counts))
    sizes = counts[order, 0].cumsum()
    inside = np.zeros(len(counts), dtype=bool)
    inside[order[: max(1, int((sizes <= share * sizes[-1]).sum()))]] = True
    misfit = float(_misfit(counts, inside[None], share)[0])
    for _ in range(len(counts)):
        after = _after_moves(counts, inside, share)
        move = int(after.argmin())
        if not after[move] < misfit - _WORTH:
            break
        inside[move] = ~inside[move]
        misfit = float(after[move])
    return inside


def _after_moves(counts: Counts, inside: NDArray[np.bool_], share: float) -> Floats:
    """The misfit after each group's move to the other side, (G)."""
    sign = np.where(inside, -1.0, 1.0)[:, None]
    held = counts[inside].sum(0) + sign * counts  # (G, 1 + K)
    number = inside.sum() + sign[:, 0]
    allowed = (number >= 1) & (number < len(counts))
    return np.where(allowed, _misfit_of(held, counts.sum(0), share), np.inf)


def _misfit(counts: Counts, inside: NDArray[np.bool_], share: float) -> Floats:
    return _misfit_of(inside.astype(np.float64) @ counts, counts.sum(0), share)


def _misfit_of(held: Counts, total: Counts, share: float) -> Floats:
    """How far held-out counts (N, 1 + K) are from their share of the total, (N).

    Size: the difference of shares. Labels: the mean difference of how often each occurs. A label
    that one side lacks is worse than any difference: it is never trained on, or never looked at.
    """
    rows = held[:, :1].clip(1)
    often, wanted = held[:, 1:] / rows, total[1:] / total[0]
    size: Floats = np.abs(held[:, 0] / total[0] - share)
    if not len(wanted):
        return size
    lacking = ((held[:, 1:] <= 0) | (held[:, 1:] >= total[1:])) & (total[1:] > 1)
    label: Floats = np.abs(often - wanted).sum(1) / 2 + lacking.sum(1)
    return 2 * size + label


def make_folds(
    rows: Sequence[Row],
    k: int,
    seed: int = 0,
    *,
    random_split: bool = False,
    place: Place | None = None,
) -> dict[str, int]:
    """Deal groups into ``k`` folds of like size and like labels.

    Returns:
        The fold of each row by id. It does not depend on the order of the rows.

    Raises:
        DataError: fewer groups than folds.
    """
    if k < 2:
        raise DataError(f"there are at least 2 folds, not {k}")
    owners = _units(rows, random_split, place)
    names, counts = _counts(rows, owners)
    if len(names) < k:
        raise _too_few(names, k, random_split)
    total = counts.sum(0)
    # Every column adds up to 1 over all groups. Size weighs as much as all labels together.
    shares = counts / np.where(total > 0, total, 1)
    shares[:, 1:] /= max(1.0, np.sqrt(shares.shape[1] - 1))
    random = np.random.default_rng(seed)
    tries = max(2, min(_RESTARTS, _WORK // (counts.size * k)))
    found = [_dealt(shares, k, random) for _ in range(tries)]
    best = min(found, key=lambda dealt: _unevenness(shares, dealt, k))
    fold = dict(zip(names, best.tolist(), strict=True))
    return {row.id: fold[owner] for row, owner in zip(rows, owners, strict=True)}


def _dealt(shares: Floats, k: int, random: np.random.Generator) -> NDArray[np.int64]:
    """The fold of each group, (G): large groups first, each to where it fits best."""
    order = random.permutation(len(shares))
    order = order[np.argsort(-shares[order, 0], kind="stable")]
    filled = np.zeros((k, shares.shape[1]))
    dealt = np.zeros(len(shares), dtype=np.int64)
    for group in order:
        # A fold without a group fits best of all, so none stays empty.
        dealt[group] = int((filled @ shares[group]).argmin())
        filled[dealt[group]] += shares[group]
    return dealt


def _unevenness(shares: Floats, dealt: NDArray[np.int64], k: int) -> float:
    filled = np.stack([shares[dealt == fold].sum(0) for fold in range(k)])
    return float(np.square(filled - filled.mean(0)).sum())


def _too_few(names: Sequence[str], wanted: int, random_split: bool) -> DataError:
    only = f" ({names[0]})" if len(names) == 1 else ""
    return DataError(
        f"the rows form {len(names)} group{'s' * (len(names) != 1)}{only}, "
        f"{wanted} are needed to cut them without a leak",
        fix=None if random_split else "data.random_split=true cuts by clip, and the card says so",
    )


# -- what to balance -------------------------------------------------------------------------------


def _counts(rows: Sequence[Row], owners: Sequence[str]) -> tuple[list[str], Counts]:
    """Groups in the order of their smallest id, and their counts (G, 1 + K): rows, then labels."""
    first: dict[str, str] = {}
    for row, owner in zip(rows, owners, strict=True):
        first[owner] = min(first.get(owner, row.id), row.id)
    names = sorted(first, key=lambda name: first[name])
    number = {name: index for index, name in enumerate(names)}
    where = np.array([number[owner] for owner in owners], dtype=np.int64)
    each = np.concatenate([np.ones((len(rows), 1)), strata.table(rows)], 1)
    counts = np.zeros((len(names), each.shape[1]))
    np.add.at(counts, where, each)
    return names, counts
