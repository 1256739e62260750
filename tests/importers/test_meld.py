"""MELD as its authors give it: tables, clips that are missing or cut off, times, odd bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from copies import brought_in, warned

from mien.data.check import check
from mien.data.manifest import Manifest
from mien.errors import DataError

HEAD = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
    "StartTime,EndTime"
)
WHOLE = b"\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov"
FOLDERS = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}


def table(folder: Path, part: str, *lines: str, encoding: str = "utf-8") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{part}_sent_emo.csv"
    path.write_bytes("".join(f"{line}\r\n" for line in (HEAD, *lines)).encode(encoding))
    return path


def line(dialogue: int, turn: int, who: str, said: str = "Well.", emotion: str = "joy") -> str:
    return (
        f'1,"{said}",{who},{emotion},positive,{dialogue},{turn},8,21,"00:16:16,059","00:16:21,73"'
    )


def copy(folder: Path) -> Path:
    table(folder, "train", line(0, 2, "Chandler"), line(0, 0, "Joey", emotion="anger"))
    table(folder, "dev", line(0, 0, "Ann", "It\x92s caf\xe9 time\x85"), encoding="latin-1")
    table(folder, "test", line(0, 0, "Bob", "It\x92s \x93so\x94\xa0late"))
    for part, name, data in (
        ("train", "dia0_utt0", WHOLE),
        ("train", "dia0_utt2", WHOLE[:-3]),
        ("train", "dia7_utt7", WHOLE),
        ("test", "dia0_utt0", WHOLE),
        ("test", "final_videos_testdia0_utt0", WHOLE),
    ):
        clip = folder / f"{part}/{FOLDERS[part]}/{name}.mp4"
        clip.parent.mkdir(parents=True, exist_ok=True)
        clip.write_bytes(data)
    return folder


def test_rows_of_tables_and_clips(tmp_path: Path) -> None:
    report, rows = brought_in("meld", copy(tmp_path))
    assert list(rows) == ["train_dia0_utt0", "train_dia0_utt2", "dev_dia0_utt0", "test_dia0_utt0"]
    first = rows["train_dia0_utt0"]
    assert first.video == "train/train_splits/dia0_utt0.mp4"
    assert (first.dialogue, first.turn, first.speaker) == ("train_dia0", 0, "Joey")
    assert (first.split, first.labels) == ("train", {"emotion": "anger", "polarity": "positive"})
    assert first.groups == {"season": "8", "episode": "21", "begins": 976.059, "ends": 981.73}
    assert (first.start, first.end) == (None, None)  # the times are those of the episode
    found = warned(report)
    assert found["missing"] == ["train_dia0_utt2", "dev_dia0_utt0"]
    assert found["broken"] == ["train/dia0_utt2.mp4"]
    assert found["unexpected"] == ["dia7_utt7.mp4"]
    assert rows["train_dia0_utt2"].video is None
    assert "dialogues with gaps in Utterance_ID: train 1; turns are in its order" in report.notes
    assert Manifest.read(tmp_path / "meld.jsonl").tasks["emotion"].labels[1] == "surprise"


def test_bytes_of_another_code_page_are_the_marks_that_were_meant(tmp_path: Path) -> None:
    _, rows = brought_in("meld", copy(tmp_path))
    assert rows["dev_dia0_utt0"].text == "It\u2019s café time\u2026"
    assert rows["test_dia0_utt0"].text == "It\u2019s \u201cso\u201d late"


def test_parts_with_the_same_speakers_are_kept_by_name(tmp_path: Path) -> None:
    table(tmp_path, "train", line(0, 0, "Joey"))
    table(tmp_path, "test", line(0, 0, "Joey"))
    report, rows = brought_in("meld", tmp_path)
    assert {row.split for row in rows.values()} == {None}
    assert warned(report)["absent part"] == ["val"]
    _, rows = brought_in("meld", tmp_path, keep_leaks=True)
    assert [row.split for row in rows.values()] == ["train", "test"]


def test_tables_and_clips_may_lie_apart(tmp_path: Path) -> None:
    copy(tmp_path / "clips")
    table(tmp_path / "tables", "test", line(0, 0, "Bob"))
    report, rows = brought_in("meld", tmp_path / "tables", media=str(tmp_path / "clips"))
    (row,) = rows.values()
    assert row.video == "../clips/test/output_repeated_splits_test/dia0_utt0.mp4"
    assert report.root == tmp_path


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((line(0, 0, "A"), line(0, 0, "B")), "two utterances 0"),
        ((line(0, 0, "A", emotion="envy"),), "no emotion 'envy'"),
        (("1,2",), "2 cells, the header 11"),
        ((line(0, 0, "A").replace(",0,0,", ",x,0,"),), "no number of a dialogue"),
    ],
)
def test_a_table_that_does_not_fit_is_an_error(
    lines: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    table(tmp_path, "train", *lines)
    with pytest.raises(DataError, match=said):
        brought_in("meld", tmp_path)


def test_a_folder_without_tables_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no train_sent_emo"):
        brought_in("meld", tmp_path)
    (tmp_path / "dev_sent_emo.csv").write_text("Utterance,Speaker\n")
    with pytest.raises(DataError, match="no column 'Emotion'"):
        brought_in("meld", tmp_path)


@pytest.mark.shared
def test_the_tables_themselves(shared: Path, tmp_path: Path) -> None:
    report, rows = brought_in("meld", shared / "data/meld_text", tmp_path / "meld.jsonl")
    assert {f.kind for f in report.warnings} == {"times", "speaker leak"}
    assert report.counts["rows"] == {"found": 13_708, "expected": 13_708}
    assert len({row.dialogue for row in rows.values()}) == 1432
    gaps = "dialogues with gaps in Utterance_ID: train 72, val 2, test 2; turns are in its order"
    assert gaps in report.notes
    assert not any("\x80" <= c <= "\x9f" for row in rows.values() for c in row.text or "")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "column", "words", "count"),
    [
        (
            "meld_dev_features",
            {
                "id": "{dialogue}-{utterance}",
                "turn": "utterance",
                "text": "transcript",
                "features.text": "text",
                "features.audio": "audio_wav2vec2",
                "features.mel": "audio_mel",
                "labels.emotion": "emotion",
            },
            {},
            1108,
        ),
        (
            "mosi_bclstm",
            {
                "source": "video",
                "video": "",
                "text": "transcript",
                "features.text": "text",
                "features.audio": "audio",
                "features.visual": "vision",
                "labels.polarity": "positive",
            },
            {"labels": "negative,positive"},
            2199,
        ),
    ],
)
def test_tables_of_vectors_are_one_command_each(
    name: str,
    column: dict[str, str],
    words: dict[str, Any],
    count: int,
    shared: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / f"{name}.parquet"
    _, rows = brought_in("table", shared / f"data/{name}.parquet", out, column=column, **words)
    assert len(rows) == count
    row = next(iter(rows.values()))
    assert row.text
    assert set(row.features) == {key[9:] for key in column if key.startswith("features.")}
    assert check(Manifest.read(out).only(list(rows.values())[:20])).ok
