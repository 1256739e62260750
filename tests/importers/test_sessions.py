"""Corpora of sessions, tasks and games, by files made up after their specification."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from copies import brought_in, files, text, warned

from mien import importers
from mien.data.manifest import Manifest
from mien.errors import DataError
from mien.importers.voxceleb2 import broken
from mien.tasks import NAMED
from mien.types import Problem


def msp(session: int, sex: str = "F", take: int = 1) -> str:
    return f"MSP-IMPROV-S{take:02d}H-{sex}{session:02d}-P-FM{take:02d}"


def test_msp_improv_leaves_one_session_out(tmp_path: Path) -> None:
    names = [msp(session, sex) for session in range(1, 7) for sex in "FM"]
    files(tmp_path, *(f"frames/{n}/1.jpg" for n in names), *(f"wav/{n}.wav" for n in names))
    lines = [f"/away/frames/{n} /away/wav/{n}.wav {i % 4}" for i, n in enumerate(names)]
    text(tmp_path / "all.txt", *lines)
    report, rows = brought_in("msp-improv", tmp_path / "all.txt")
    row = rows[f"frames/{msp(3, 'M')}"]
    assert (row.speaker, row.source, row.fold, row.split) == ("M03", "03", 2, None)
    assert row.labels == {"emotion": "happiness"}  # the 6th, so number 1 of A, H, N, S
    assert row.audio == f"wav/{msp(3, 'M')}.wav"
    assert Manifest.read(report.manifest).tasks["emotion"] == NAMED["msp_improv"]
    assert "12 of 7,787" in report.text
    expected = importers.named("msp-improv").expected
    assert expected is not None
    assert sum(expected.of_fold(fold) or 0 for fold in range(6)) == 7787


def test_lists_of_msp_improv_have_to_be_the_protocols(tmp_path: Path) -> None:
    names = [msp(1), msp(2)]
    files(tmp_path, *(f"{name}.wav" for name in names))
    for fold in (1, 2):
        text(tmp_path / f"tr{fold}.txt", f"{names[2 - fold]}.wav 0")
        text(tmp_path / f"te{fold}.txt", f"{names[fold - 1]}.wav 0")
    good = {"{}": "tr{}.txt,te{}.txt"}
    _, rows = brought_in("msp-improv", tmp_path, fold=good, first_label=0)
    assert [row.fold for row in rows.values()] == [1, 0]
    swapped = {"1": "tr2.txt,te2.txt", "2": "tr1.txt,te1.txt"}
    with pytest.raises(DataError, match="of the lists, and by its name in"):
        brought_in("msp-improv", tmp_path, tmp_path / "o.jsonl", fold=swapped, first_label=0)
    files(tmp_path, "stranger.wav")
    text(tmp_path / "x.txt", "stranger.wav 0")
    with pytest.raises(DataError, match="names nobody"):
        brought_in("msp-improv", tmp_path / "x.txt", first_label=0)


def iemocap(folder: Path, *lines: tuple[str, str]) -> Path:
    """Sentences of the first session, and their evaluations."""
    files(folder / "Session1/sentences/wav/x", *(f"{name}.wav" for name, _ in lines))
    told = (f"[6.2901 - 8.2357]\t{name}\t{emotion}\t[2.5000, 2.5000, 2.5000]"
            for name, emotion in lines)  # fmt: skip
    head = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"
    text(folder / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", head, "", *told,
         "C-E2:\tNeutral;\t()")  # fmt: skip
    return folder


def test_iemocap_has_four_classes(tmp_path: Path) -> None:
    codes = ("ang", "hap", "exc", "neu", "sad", "fru", "xxx")
    lines = [(f"Ses01F_impro01_{'FM'[i % 2]}{i:03d}", code) for i, code in enumerate(codes)]
    lines.append(("Ses01F_script02_1_M001", "neu"))
    source = iemocap(tmp_path, *lines)
    files(source / "Session1/sentences/wav/x", "Ses01F_impro01_F099.wav")
    report, rows = brought_in("iemocap", source)
    found = [row.labels["emotion"] for row in rows.values()]
    assert found == ["anger", "happiness", "sadness", "happiness", "neutral", "neutral"]
    assert rows["Ses01F_impro01_F002"].labels == {"emotion": "happiness"}
    male = rows["Ses01F_impro01_M003"]
    assert (male.speaker, male.fold, male.source) == ("Ses01M", 0, "Ses01F_impro01")
    assert male.groups == {"scene": "improvised", "gender": "male"}
    assert rows["Ses01F_script02_1_M001"].groups["scene"] == "scripted"
    assert "1 fru, 1 xxx" in report.text
    assert warned(report)["unlabelled"] == ["Ses01F_impro01_F099"]
    expected = importers.named("iemocap").expected
    assert expected is not None
    assert sum(expected.classes.values()) == expected.rows == 5531


def test_what_iemocap_does_not_have_is_refused(tmp_path: Path) -> None:
    name = "Ses01F_impro01_F000"
    with pytest.raises(DataError, match="no emotion 'joy'"):
        brought_in("iemocap", iemocap(tmp_path / "a", (name, "joy")))
    with pytest.raises(DataError, match=r"F000 is sad here, and ang before"):
        brought_in("iemocap", iemocap(tmp_path / "b", (name, "ang"), (name, "sad")))
    files(tmp_path / "c", f"{name}.wav")
    with pytest.raises(DataError, match="no evaluations"):
        brought_in("iemocap", tmp_path / "c")
    with pytest.raises(DataError, match="none has one of the four"):
        brought_in("iemocap", iemocap(tmp_path / "d", (name, "fru")))


def test_clips_of_a_task_belong_together(tmp_path: Path) -> None:
    names = ["aiim001_task_1_view_0_7.wav", "aiim001_task_1_view_1_8.wav", "aiim001_task_12_0.wav",
             "aiim002_task_1_0.wav"]  # fmt: skip
    files(tmp_path, *names)
    lines = [f"{name} {label}" for name, label in zip(names, "0043", strict=True)]
    text(tmp_path / "train.txt", *lines)
    for task in ("arousal", "valence"):
        report, found = brought_in(f"avcaffe-{task}", tmp_path / "train.txt",
                                   tmp_path / f"{task}.jsonl")  # fmt: skip
        rows = list(found.values())
        assert [row.source for row in rows] == [
            "aiim001_task_1", "aiim001_task_1", "aiim001_task_12", "aiim002_task_1"
        ]  # fmt: skip
        assert [row.speaker for row in rows] == ["aiim001"] * 3 + ["aiim002"]
        assert [row.labels[task] for row in rows] == ["0", "0", "4", "3"]
        assert Manifest.read(report.manifest).tasks[task].width == 5


def test_werewolf_xl_has_three_numbers_and_five_folds(tmp_path: Path) -> None:
    names = [f"{prefix:02d}_a" for prefix in (1, 6, 7, 18, 19, 30)]
    files(tmp_path, *(f"{name}.wav" for name in names))
    lines = [f"faces/{name} {name}.wav 0.5 -0.25 {n}" for n, name in enumerate(names)]
    text(tmp_path / "all.txt", *lines)
    report, found = brought_in("werewolf-xl", tmp_path / "all.txt")
    assert [row.fold for row in found.values()] == [0, 0, 1, 2, 3, 4]
    assert found["07_a"].labels == {"affect": [0.5, -0.25, 2.0]}
    assert found["07_a"].source == "07"
    spec = Manifest.read(report.manifest).tasks["affect"]
    assert (spec.problem, spec.labels) == (Problem.REGRESSION, ("first", "second", "third"))
    assert "not documented" in report.text
    named, _ = brought_in("werewolf-xl", tmp_path / "all.txt", labels="x,y,z", replace=True)
    assert Manifest.read(named.manifest).tasks["affect"].labels == ("x", "y", "z")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("f 01_a.wav 1 2", "two paths and three numbers"),
        ("f 01_a.wav 1 2 nan", "two paths and three numbers"),
        ("f 01_a.wav 1 2 three", "two paths and three numbers"),
        ("f 31_a.wav 1 2 3", "does not begin with 01 to 30"),
        ("f game.wav 1 2 3", "does not begin with 01 to 30"),
        ("f 01_a.wav 1 2 4", "has other values"),
    ],
)
def test_lines_of_werewolf_xl_that_are_none(line: str, said: str, tmp_path: Path) -> None:
    files(tmp_path, "01_a.wav", "31_a.wav", "game.wav")
    text(tmp_path / "all.txt", "f 01_a.wav 1 2 3", line)
    with pytest.raises(DataError, match=said):
        brought_in("werewolf-xl", tmp_path / "all.txt")


def boxes(*found: tuple[bytes, int]) -> bytes:
    return b"".join(struct.pack(">I4s", 8 + size, kind) + b"\0" * size for kind, size in found)


WHOLE = boxes((b"ftyp", 8), (b"mdat", 100), (b"moov", 20))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (WHOLE, None),
        (boxes((b"ftyp", 8), (b"moov", 20)) + struct.pack(">I4s", 0, b"mdat") + b"x" * 9, None),
        (boxes((b"ftyp", 8), (b"moov", 9)) + struct.pack(">I4sQ", 1, b"mdat", 20) + b"xxxx", None),
        (b"", "an empty file"),
        (WHOLE[:-1], "cut off"),
        (WHOLE[:60], "cut off"),
        (WHOLE[:130], "cut off"),
        (boxes((b"ftyp", 8), (b"mdat", 100)), "without its index"),
        (b"<html>not found</html>", "no MP4"),
        (struct.pack(">I4s", 2, b"ftyp") + b"x" * 9, "no MP4"),
    ],
)
def test_files_that_are_not_whole(content: bytes, why: str | None, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    found = broken(tmp_path / "x.mp4")
    assert (found is None) is (why is None)
    assert why is None or why in str(found)


def test_voxceleb2_is_a_list_to_learn_from(tmp_path: Path) -> None:
    names = [f"dev/{kind}/id0001{n}/vid-{n}/00001.{end}" for n in range(3)
             for kind, end in (("mp4", "mp4"), ("aac", "m4a"))]  # fmt: skip
    files(tmp_path, *names, "dev/mp4/id00019/v/00001.mp4", "dev/readme.mp4")
    for name in names:
        (tmp_path / name).write_bytes(WHOLE)
    (tmp_path / names[1]).write_bytes(WHOLE[:70])
    report, rows = brought_in("voxceleb2", tmp_path)
    assert sorted(rows) == [f"id0001{n}/vid-{n}/00001" for n in range(3)]
    first, second = rows["id00010/vid-0/00001"], rows["id00011/vid-1/00001"]
    assert (first.video, first.audio) == (names[0], None)
    assert (second.video, second.audio) == (names[2], names[3])
    assert (second.speaker, second.source, second.labels) == ("id00011", "id00011/vid-1", {})
    assert warned(report)["unexpected"] == ["dev/readme.mp4"]
    assert sorted(f for w in report.warnings if w.kind == "broken" for f in w.found) == [
        names[1], "dev/mp4/id00019/v/00001.mp4"
    ]  # fmt: skip
    _, rows = brought_in("voxceleb2", tmp_path, tmp_path / "a.jsonl", modality="audio")
    assert rows["id00010/vid-0/00001"].audio == names[0]  # its film has the sound
    assert rows["id00011/vid-1/00001"].audio == names[3]
