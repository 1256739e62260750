"""A share of the rows with as much of everybody as can be."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mien.data.rows import Row
from mien.data.subset import by_speaker

ROWS = [Row(id=f"{who}{n}", speaker=who) for who, most in zip("abcd", (9, 1, 4, 6), strict=True)
        for n in range(most)]  # fmt: skip


@given(st.integers(0, 25), st.integers(0, 5), st.randoms())
def test_everybody_has_the_same_share(number: int, seed: int, random: object) -> None:
    found = by_speaker(ROWS, number, seed)
    assert len(found) == min(number, len(ROWS))
    assert found == [row for row in ROWS if row in found]
    counts = Counter(row.speaker for row in found)
    have = Counter(row.speaker for row in ROWS)
    fullest = max(counts.values(), default=0)
    for who, most in have.items():  # nobody has fewer but for want of rows, or by the last round
        assert counts[who] >= min(most, fullest - 1)
    shuffled = list(reversed(ROWS))
    assert {row.id for row in by_speaker(shuffled, number, seed)} == {row.id for row in found}


def test_a_subset_grows_and_seeds_differ() -> None:
    small, large = by_speaker(ROWS, 5), by_speaker(ROWS, 11)
    assert {row.id for row in small} < {row.id for row in large}
    assert len({tuple(row.id for row in by_speaker(ROWS, 5, seed)) for seed in range(8)}) > 4


def test_without_speakers_sources_count() -> None:
    rows = [Row(id=f"{s}{n}", source=s) for s in "xy" for n in range(5)]
    assert Counter(row.source for row in by_speaker(rows, 4)) == {"x": 2, "y": 2}
