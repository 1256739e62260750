"""Confusion as a table, and values against values: what stands where."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from mien.report import matrices
from mien.tasks import curves


def body(rows: list[list[int]]) -> dict[str, Any]:
    labels = [f"class {i}" for i in range(len(rows))]
    return {"confusion": {"labels": labels, "rows_are_targets": rows}}


def test_a_cell_holds_the_share_of_its_row_and_the_count() -> None:
    html = matrices.confusion(body([[30, 10], [0, 0]]), 80, counts=True)
    assert '<td class="s7 hit">75<small>30</small></td>' in html
    assert '<td class="s2">25<small>10</small></td>' in html
    assert '<td></td><td class="hit"></td><td class="sum">0</td>' in html  # a class that is absent
    assert html.count('scope="row"') == 2


def test_many_classes_hold_one_number_a_cell_and_counts_apart() -> None:
    rows = np.eye(43, dtype=int) * 7
    rows[0, 1] = 1
    html = matrices.confusion(body(rows.tolist()), 80, counts=True)
    shares, counts = html.split("<details>")
    assert re.search(r'<td class="s8 hit">88</td><td class="s1">12</td>', shares)
    assert re.search(r'<td class="s8 hit">7</td><td class="s1">1</td>', counts)
    alone = matrices.confusion(body(rows.tolist()), 80, counts=False)
    assert "<details>" not in alone
    assert len(html.encode()) < 200_000


def test_too_many_classes_are_not_drawn() -> None:
    html = matrices.confusion(body(np.eye(90, dtype=int).tolist()), 80, counts=True)
    assert html == "<p>90 classes are too many to draw; the JSON file has the counts.</p>"


@pytest.mark.parametrize("size", [1, 500])
def test_values_are_drawn_where_they_lie(size: int) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, size)
    found = curves.joint(truth, truth / 2)
    assert found is not None
    html = matrices.joint("<v>", found.to_dict(), {"ccc": 0.5})
    assert "<v>" not in html
    assert html.count("<figure>") == 2
    drawn = sum(len(re.findall("M", d)) for d in re.findall(r'class="f\d" d="([^"]+)"', html))
    assert drawn == np.count_nonzero(found.counts)
