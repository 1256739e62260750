"""Pickles of conversations: layouts told by their structure, parts, speakers, orders of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copies import brought_in, warned
from foreign_pickles import IEMOCAP_PARTS, MELD_PARTS, conversations, kept

from mien.data import features
from mien.data.check import check
from mien.data.manifest import Manifest
from mien.errors import DataError
from mien.importers import orders
from mien.importers.layouts import FEATURES, LAYOUTS, Layout

BY_NAME = {layout.name: layout for layout in LAYOUTS}


def made(layout: Layout, **words: Any) -> tuple[Any, dict[str, Any]]:
    parts = MELD_PARTS if layout.meld else IEMOCAP_PARTS
    fields, held = conversations(layout.fields, parts, classes=7 if layout.meld else 6, **words)
    return tuple(fields), held


@pytest.mark.parametrize(
    ("form", "protocol"), [("list", 2), ("array", 4), ("plain", 3), ("list", 5), ("array", 0)]
)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_is_recognised(
    layout: Layout, form: str, protocol: int, tmp_path: Path
) -> None:
    fields, held = made(layout, form=form)
    path = kept(tmp_path / "x.pkl", fields, protocol)
    order = orders.MELD.order if layout.meld else orders.IEMOCAP.order
    report, rows = brought_in("conversations", path, keep_leaks=True)
    assert f"read as {layout.name}: {', '.join(layout.fields)}" in report.notes
    assert len(rows) == sum(map(len, held["emotion"].values()))
    manifest = Manifest.read(tmp_path / "x.jsonl")
    assert manifest.tasks["emotion"].labels == order
    for key, labels in held["emotion"].items():
        turns = [row for row in manifest.rows if row.dialogue == key]
        assert [row.turn for row in turns] == list(range(len(labels)))
        for turn, row in enumerate(turns):
            assert row.labels["emotion"] == order[labels[turn]]
            assert row.text == f"café {key} {turn}"  # read as UTF-8, as it was meant
            split = "test" if key in held["test"] else "train"
            assert row.split == ("val" if "val" in layout.fields and key in held["val"] else split)
            assert set(row.features) == set(FEATURES) & set(layout.fields)
            for name, ref in row.features.items():
                found = features.load(ref, manifest.place)
                assert np.allclose(found, held[name][key][turn])
            if "sentiment" in layout.fields:
                assert row.labels["polarity"] == orders.POLARITY[held["sentiment"][key][turn]]
    assert check(manifest.only([row for row in manifest.rows if row.split == "train"])).ok


def test_an_utterance_without_a_label(tmp_path: Path) -> None:
    fields, held = made(BY_NAME["SDT's IEMOCAP"])
    held["emotion"]["Ses05F_impro01"][0] = -1
    _, rows = brought_in("conversations", kept(tmp_path / "x.pkl", fields))
    assert rows["Ses05F_impro01_F000"].labels == {}


def test_who_speaks(tmp_path: Path) -> None:
    fields, _ = made(BY_NAME["SDT's IEMOCAP"])
    _, rows = brought_in("conversations", kept(tmp_path / "i.pkl", fields))
    assert {row.speaker for row in rows.values() if row.split == "test"} <= {"Ses05F", "Ses05M"}
    assert rows["Ses01F_impro01_F000"].speaker == "Ses01F"
    fields, held = made(BY_NAME["MMGCN's MELD"])
    _, rows = brought_in("conversations", kept(tmp_path / "m.pkl", fields))
    assert rows["a0_utt0"].speaker == f"speaker-{np.argmax(held['speakers']['a0'][0])}"


def test_melds_held_out_part_is_found_again_by_its_numbers(tmp_path: Path) -> None:
    keys = [number for number in range(1433) if number != 60]
    parts = ([n for n in keys if n < 1039], [n for n in keys if 1039 <= n < 1153], keys[1152:])
    layout = BY_NAME["conv-emotion's MELD"]
    fields, held = conversations(layout.fields, parts, long=1)
    held["ids"][1100] = [7]
    report, rows = brought_in("conversations", kept(tmp_path / "m.pkl", fields), keep_leaks=True)
    assert any("dialogues 1039 to 1152 are val" in note for note in report.notes)
    row = rows["dev_dia61_utt7"]  # as its tables call it
    assert (row.split, row.dialogue, row.turn) == ("val", "dev_dia61", 7)
    sizes = {
        split: len({row.dialogue for row in rows.values() if row.split == split})
        for split in ("train", "val", "test")
    }
    assert sizes == {"train": 1038, "val": 114, "test": 280}
    fields[layout.fields.index("train")] = parts[0]
    report, _ = brought_in("conversations", kept(tmp_path / "n.pkl", fields), keep_leaks=True)
    assert any("has no held-out part" in note for note in report.notes)
    assert len(warned(report)["in no part"]) == 114


def test_test_dialogues_in_train_are_reported(tmp_path: Path) -> None:
    fields, held = made(BY_NAME["COSMIC's IEMOCAP, EmoryNLP and DailyDialog"])
    held["train"].append(held["test"][0])
    held["train"].append("Ses01F_absent")
    fields[-2].append(held["val"][0])
    try:
        report, rows = brought_in("conversations", kept(tmp_path / "i.pkl", fields))
    finally:
        held["train"][-2:] = []
        fields[-2].pop()
    assert warned(report)["test in train"] == ["Ses05F_impro01"]
    assert warned(report)["test in val"] == ["Ses04M_impro07"]
    assert warned(report)["missing"] == ["Ses01F_absent"]
    assert {row.split for row in rows.values() if row.dialogue == "Ses05F_impro01"} == {"test"}


def test_an_order_is_named_where_nobody_can_know_it(tmp_path: Path) -> None:
    layout = BY_NAME["COSMIC's IEMOCAP, EmoryNLP and DailyDialog"]
    fields, _ = conversations(layout.fields, MELD_PARTS)
    path = kept(tmp_path / "other.pkl", tuple(fields))
    with pytest.raises(DataError, match="which emotion a number means"):
        brought_in("conversations", path)
    _, rows = brought_in("conversations", path, labels="a,b,c,d,e,f,g", keep_leaks=True)
    assert {row.labels["emotion"] for row in rows.values()} <= set("abcdefg")
    with pytest.raises(DataError, match="no class"):
        brought_in("conversations", path, labels="a,b", keep_leaks=True)


@pytest.mark.parametrize("right", [True, False])
def test_an_order_is_checked_against_a_whole_test_part(right: bool, tmp_path: Path) -> None:
    fields, held = made(BY_NAME["SDT's IEMOCAP"])
    counts = orders.IEMOCAP.test
    order = orders.IEMOCAP.order if right else orders.IEMOCAP.others["EmoBERTa"]
    numbers = [order.index(name) for name, count in counts.items() for _ in range(count)]
    for key, given in zip(held["test"], (numbers[:900], numbers[900:]), strict=True):
        held["emotion"][key] = given
        held["ids"][key] = [f"{key}_F{n}" for n in range(len(given))]
        held["speakers"][key] = ["M"] * len(given)
        held["sentence"][key] = ["x"] * len(given)
        for name in FEATURES:
            held[name][key] = np.ones((len(given), 3 if name == "visual" else 6))
    for name in FEATURES:
        wide = 3 if name == "visual" else 6
        for key in (*held["train"], *held["val"]):
            held[name][key] = np.ones((len(held["emotion"][key]), wide))
    path = kept(tmp_path / "i.pkl", fields)
    report, _ = brought_in("conversations", path)
    agrees = any("agrees with the counts" in note for note in report.notes)
    assert (agrees, "label order" in warned(report)) == (right, not right)
    if not right:
        report, _ = brought_in("conversations", path, labels=",".join(order))
        assert any("agrees with the counts" in note for note in report.notes)


@pytest.mark.parametrize(
    ("field", "change", "said"),
    [
        ("sentence", lambda held: held.pop(), "of sentence"),
        ("audio", lambda held: held.pop(), "of audio"),
        ("audio", lambda held: held.__setitem__(0, np.zeros((2, 2))), "not a vector an utterance"),
        ("audio", lambda held: held.__setitem__(-1, np.zeros(9)), "was to come"),
        ("emotion", lambda held: held.__setitem__(0, 0.5), "no class number"),
        ("emotion", lambda held: held.__setitem__(0, float("nan")), "no class number"),
        ("emotion", lambda held: held.__setitem__(0, 10**400), "number of 1,329 bits"),
        ("emotion", lambda held: held.__setitem__(0, 6), "no class 6"),
        ("speakers", lambda held: held.__setitem__(0, {"a": 1}), "a speaker is neither"),
    ],
)
def test_what_does_not_fit_is_an_error(field: str, change: Any, said: str, tmp_path: Path) -> None:
    fields, held = made(BY_NAME["SDT's IEMOCAP"])
    change(held[field]["Ses02M_script01_3"])
    with pytest.raises(DataError, match=said):
        brought_in("conversations", kept(tmp_path / "x.pkl", fields))
    assert [path.name for path in tmp_path.iterdir()] == ["x.pkl"]


@pytest.mark.parametrize("value", [{}, [], [{}] * 9, ({"a": [1]},) * 10, "x", [None] * 12, 3])
def test_another_structure_is_an_error(value: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pickle of conversations"):
        brought_in("conversations", kept(tmp_path / "x.pkl", value))
