"""Cuts without a leak, of the wanted size, with the labels of the whole."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data import split
from mien.data.manifest import Inline, Manifest, Row
from mien.errors import DataError

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def actors(people: int = 24, clips: int = 60) -> list[Row]:
    """Like RAVDESS: every actor says as much in every emotion, but for neutral."""
    random = np.random.default_rng(0)
    return [
        Row(
            id=f"a{actor:02d}-{clip:02d}",
            speaker=f"{actor:02d}",
            labels={"emotion": EMOTIONS[(clip + 4) // 8]},
            features={"au": Inline(random.normal(size=4))},
        )
        for actor in range(people)
        for clip in range(clips)
    ]


def uneven(seed: int, speakers: int = 40) -> list[Row]:
    """Speakers who say little or much, each with emotions of their own."""
    random = np.random.default_rng(seed)
    rows = []
    for speaker in range(speakers):
        favourites = random.dirichlet(np.full(4, 0.5))
        for clip in range(int(random.integers(3, 40))):
            label = "abcd"[random.choice(4, p=favourites)]
            rows.append(Row(id=f"{speaker}-{clip}", speaker=f"s{speaker}", labels={"e": label}))
    return rows


def shares(rows: Sequence[Row], task: str = "e") -> np.ndarray:
    counts = Counter(row.labels[task] for row in rows)
    return np.array([counts[label] / len(rows) for label in "abcd"])


# -- groups ------------------------------------------------------------------------------------


def test_what_is_shared_joins_rows(tmp_path: Path) -> None:
    (tmp_path / "one.mp4").write_bytes(b"film" * 100_000)
    shutil.copy(tmp_path / "one.mp4", tmp_path / "copy.mp4")
    near = bytearray((tmp_path / "one.mp4").read_bytes())
    near[len(near) // 2] ^= 1  # both ends and the size are the same
    (tmp_path / "near.mp4").write_bytes(near)
    values = Inline([1, 2, 3])
    rows = [
        Row(id="speaker 1", speaker="ann"),
        Row(id="speaker 2", speaker="ann", source="film"),
        Row(id="source 2", speaker="bob", source="film"),
        Row(id="dialogue", speaker="bob", dialogue="d1"),
        Row(id="dialogue 2", dialogue="d1"),
        Row(id="file", video="one.mp4"),
        Row(id="copy", video="copy.mp4"),
        Row(id="near", video="near.mp4"),
        Row(id="values", features={"f": values}),
        Row(id="same values", features={"f": Inline([1, 2, 3])}),
        Row(id="one more", features={"f": values, "g": Inline([1, 4])}),
        Row(id="zeros", features={"f": Inline([0, 0])}),
        Row(id="zeros too", features={"f": Inline([0, 0])}),
        Row(id="text", text="yes"),
        Row(id="same text", text="yes"),
    ]
    place = Manifest(rows, tmp_path / "rows.jsonl").place
    found: dict[str, set[str]] = {}
    for row, name in zip(rows, split.groups(rows, place), strict=True):
        found.setdefault(name, set()).add(row.id)
    together = [group for group in found.values() if len(group) > 1]
    assert together == [
        {"speaker 1", "speaker 2", "source 2", "dialogue", "dialogue 2"},
        {"file", "copy"},
        {"values", "same values"},
    ]
    assert "speaker ann" in found


def test_parts_of_one_file_are_one_source_but_no_duplicates(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"sound")
    rows = [Row(id=str(i), audio="a.wav", start=i, end=i + 1) for i in range(3)]
    assert len(set(split.groups(rows, Manifest(rows, tmp_path / "r.csv").place))) == 1
    apart = [dataclasses.replace(row, source=row.id) for row in rows]
    assert len(set(split.groups(apart, Manifest(rows, tmp_path / "r.csv").place))) == 3


# -- folds -------------------------------------------------------------------------------------


def test_24_actors_make_6_folds_of_4() -> None:
    rows = actors()
    folds = split.make_folds(rows, 6, seed=0)
    people = [{row.speaker for row in rows if folds[row.id] == fold} for fold in range(6)]
    assert [len(fold) for fold in people] == [4] * 6
    assert len(set().union(*map(set, people))) == 24


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_alike(seed: int) -> None:
    rows = uneven(seed)
    folds = split.make_folds(rows, 5, seed=seed)
    parts = [[row for row in rows if folds[row.id] == fold] for fold in range(5)]
    speakers = [{row.speaker for row in part} for part in parts]
    assert sum(map(len, speakers)) == len(set().union(*map(set, speakers)))
    for part in parts:
        assert len(part) == pytest.approx(len(rows) / 5, rel=0.06)
        assert np.abs(shares(part) - shares(rows)).max() < 0.05


def test_folds_do_not_depend_on_the_order_of_rows_but_on_the_seed() -> None:
    rows = uneven(1)
    folds = split.make_folds(rows, 4, seed=3)
    assert split.make_folds(rows[::-1], 4, seed=3) == folds
    assert split.make_folds(rows, 4, seed=3) == folds
    assert split.make_folds(rows, 4, seed=4) != folds


def test_fewer_groups_than_folds_are_refused() -> None:
    rows = actors(people=3)
    with pytest.raises(DataError, match=r"3 groups, 4 are needed(.|\n)*random_split=true"):
        split.make_folds(rows, 4)
    folds = split.make_folds(rows, 4, random_split=True)
    assert sorted(Counter(folds.values()).values()) == [45] * 4
    with pytest.raises(DataError, match="at least 2 folds"):
        split.make_folds(rows, 1)


def test_every_fold_has_a_group_even_where_one_outweighs_all() -> None:
    rows = [Row(id=f"big{i}", speaker="big") for i in range(50)]
    rows += [Row(id=f"small{i}", speaker=f"s{i}") for i in range(3)]
    assert set(split.make_folds(rows, 4).values()) == {0, 1, 2, 3}


# -- holding out -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_held_out_part_is_like_the_rest(seed: int) -> None:
    rows = uneven(seed)
    stay, held = split.hold_out(rows, 0.2, seed)
    assert sorted(stay + held) == sorted(row.id for row in rows)
    inside = [row for row in rows if row.id in set(held)]
    rest = [row for row in rows if row.id in set(stay)]
    assert not {row.speaker for row in inside} & {row.speaker for row in rest}
    assert len(inside) / len(rows) == pytest.approx(0.2, abs=0.03)
    assert np.abs(shares(inside) - shares(rows)).max() < 0.05


def test_a_rare_class_is_on_both_sides() -> None:
    rows = [
        Row(id=f"{s}-{i}", speaker=f"s{s}", labels={"e": "a"}) for s in range(20) for i in range(9)
    ]
    rows += [Row(id=f"{s}-rare", speaker=f"s{s}", labels={"e": "b"}) for s in (3, 11)]
    for seed in range(10):
        _, held = split.hold_out(rows, 0.1, seed)
        assert sum(name.endswith("rare") for name in held) == 1


def test_numbers_soft_and_many_labels_are_balanced_too() -> None:
    random = np.random.default_rng(0)
    rows = []
    for speaker in range(30):
        mood, votes, keen = random.uniform(-1, 1), random.uniform(0, 9), random.random()
        for clip in range(10):
            labels: dict[str, Any] = {
                "v": float(mood + random.normal(scale=0.1)),
                "soft": {"a": votes, "b": 1.0},
                "many": ["x"] if random.random() < keen else [],
            }
            rows.append(Row(id=f"{speaker}-{clip}", speaker=f"{speaker}", labels=labels))

    def mean(part: Sequence[Row], task: str) -> float:
        return float(np.mean([_amount(row.labels[task]) for row in part]))

    for seed in range(8):
        _, held = split.hold_out(rows, 0.3, seed)
        inside = [row for row in rows if row.id in set(held)]
        for task in ("v", "soft", "many"):
            assert mean(inside, task) == pytest.approx(mean(rows, task), abs=0.12), (task, seed)


def _amount(label: Any) -> float:
    if isinstance(label, dict):
        return float(label["a"]) / 9
    return len(label) if isinstance(label, list) else float(label)


groups = st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc")), min_size=2, max_size=30)


@settings(max_examples=80, deadline=None)
@given(groups, st.floats(0.01, 0.99), st.integers(0, 3))
def test_no_cut_ever_leaks(made: list[tuple[int, str]], share: float, seed: int) -> None:
    rows = [
        Row(id=str(i), speaker=f"s{speaker}", labels={"e": label})
        for i, (speaker, label) in enumerate(made)
    ]
    if len({row.speaker for row in rows}) < 2:
        with pytest.raises(DataError, match=r"1 group \(speaker s\d\)"):
            split.hold_out(rows, share, seed)
        return
    stay, held = split.hold_out(rows, share, seed)
    sides = [{row.speaker for row in rows if row.id in set(ids)} for ids in (stay, held)]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert split.hold_out(rows, share, seed) == (stay, held)
    backwards = split.hold_out(rows[::-1], share, seed)
    assert set(backwards[1]) == set(held)


def test_seeds_cut_differently() -> None:
    rows = actors()
    cuts = {tuple(split.hold_out(rows, 0.15, seed)[1]) for seed in range(5)}
    assert len(cuts) > 1


def test_a_random_split_cuts_speakers_but_no_dialogue() -> None:
    rows = [
        Row(id=f"{talk}-{turn}", dialogue=f"d{talk}", turn=turn, speaker="ann")
        for talk in range(10)
        for turn in range(4)
    ]
    with pytest.raises(DataError, match="random_split=true"):
        split.hold_out(rows, 0.2, 0)
    _, held = split.hold_out(rows, 0.2, 0, random_split=True)
    assert Counter(name[0] for name in held) == dict.fromkeys({name[0] for name in held}, 4)
    assert len(held) == 8


def test_a_share_is_a_share() -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        split.hold_out(actors(2, 2), 1.0, 0)


# -- parts -------------------------------------------------------------------------------------


def ids(rows: Sequence[Row]) -> set[str]:
    return {row.id for row in rows}


def test_marked_rows_go_where_they_are_marked() -> None:
    rows = [
        dataclasses.replace(row, split=("train", "train", "val", "test")[int(row.speaker or 0) % 4])
        for row in actors(8, 4)
    ]
    parts = split.partition(rows)
    assert {row.split for row in parts.held_out} == {"val"}
    assert {row.split for row in parts.test} == {"test"}
    without = [row for row in rows if row.split != "val"]
    cut = split.partition(without, held_out=0.25)
    assert {row.split for row in cut.held_out} == {"train"}
    assert ids(cut.test) == ids(parts.test)
    assert ids(cut.train) | ids(cut.held_out) == ids(parts.train)
    assert not split.partition(without, held_out=0).held_out


def test_unmarked_rows_have_no_test_part() -> None:
    rows = actors(8, 4)
    parts = split.partition(rows, held_out=0.25, seed=1)
    assert not parts.test
    assert len(parts.held_out) == 8
    assert parts.train == [row for row in rows if row.id in ids(parts.train)], "in their order"


def test_a_fold_is_the_test_part() -> None:
    rows = actors(8, 4)
    parts = split.partition(rows, fold=1, folds=4, held_out=0.2)
    assert len({row.speaker for row in parts.test}) == 2
    sides = [{row.speaker for row in part} for part in (parts.train, parts.held_out, parts.test)]
    assert sum(map(len, sides)) == 8
    own = [dataclasses.replace(row, fold=int(row.speaker or 0) % 2) for row in rows]
    assert {row.fold for row in split.partition(own, fold=1).test} == {1}
    with pytest.raises(DataError, match="no fold 2"):
        split.partition(own, fold=2)
    with pytest.raises(DataError, match="no fold 0"):
        split.partition(rows, fold=0)


def test_half_marked_or_untrainable_rows_are_refused() -> None:
    rows = actors(2, 2)
    with pytest.raises(DataError, match="3 rows are in no split, such as 'a00-01'"):
        split.partition([dataclasses.replace(rows[0], split="train"), *rows[1:]])
    with pytest.raises(DataError, match="no row is left to train on"):
        split.partition([dataclasses.replace(row, split="test") for row in rows])
