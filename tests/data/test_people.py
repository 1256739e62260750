"""Who a row means."""

from __future__ import annotations

import pytest

from mien.data.people import Presence, choose, overlap, shared
from mien.errors import DataError

ANN = Presence(id="face-1", seconds=4.0, area=4000.0, first=(10.0, 10.0, 40.0, 40.0))
BOB = Presence(id="face-2", seconds=1.0, area=9000.0, first=(100.0, 10.0, 90.0, 100.0))
EVE = Presence(id="face-3", seconds=9.0, area=500.0, first=(300.0, 10.0, 20.0, 20.0))
ALL = [ANN, BOB, EVE]


def test_without_a_name_it_is_who_fills_most_of_the_picture() -> None:
    assert choose(ALL) == ["face-2"]
    assert choose(ALL, who="all") == ["face-1", "face-2", "face-3"]
    assert choose(ALL, who="named") == []
    assert choose([]) == choose([], who="all") == []


def test_who_is_named_is_meant_whoever_else_there_is() -> None:
    for who in ("largest", "named", "all"):
        assert choose(ALL, person="face-3", who=who) == ["face-3"]
    with pytest.raises(DataError, match="face-2"):
        choose(ALL, person="face-22")
    with pytest.raises(DataError, match="nobody is seen"):
        choose([], person="face-1")


def test_a_box_means_the_face_that_lies_in_it() -> None:
    assert choose(ALL, box=(12.0, 12.0, 40.0, 40.0)) == ["face-1"]
    assert choose(ALL, box=(95.0, 20.0, 90.0, 90.0), who="named") == ["face-2"]
    with pytest.raises(DataError, match="face-1 at"):
        choose(ALL, box=(200.0, 200.0, 30.0, 30.0))
    with pytest.raises(DataError, match="nobody"):
        choose([], box=(0.0, 0.0, 3.0, 3.0))


def test_overlaps() -> None:
    assert overlap((0, 0, 2, 2), (1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert shared((0, 0, 4, 4), (0, 0, 1, 1)) == 1.0
    assert overlap((0, 0, 1, 1), (1, 1, 1, 1)) == shared((0, 0, 1, 1), (5, 5, 1, 1)) == 0.0
