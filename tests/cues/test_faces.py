"""Faces as others measured them: both kinds of tables, vectors, and answers of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import mien
from mien.cues.faces import LAYOUTS, of_timeline, of_vectors, read_faces
from mien.cues.facs import PUBLISHED
from mien.types import Timeline, Track, Window

NEWER = """\
frame,face_id,timestamp,confidence,success,pose_Tx,AU01_r,AU12_r,AU01_c,AU12_c,AU28_c
1,0,0.000,0.98,1,3.5,0.50,5.40,0.00,1.00,1.00
1,1,0.000,0.40,1,3.5,2.50,2.00,1.00,0.00,0.00
2,0,0.040,0.20,0,0,0.00,0.00,0.00,0.00,0.00
3,0,0.080,0.95,1,3.5,1.00,nan,1.00,0.00,0.00
"""
OLDER = """\
frame, timestamp, confidence, success, AU01_r, AU12_r, AU01_c, AU12_c, AU28_c
1, 0, 0.98, 1, 0.5, 5.4, 0, 1, 1
2, 0.04, 0.2, 0, 0, 0, 0, 0, 0
3, 0.08, 0.95, 1, 1.0, 0.0, 1, 0, 0
"""
PYFEAT = """\
,frame,FaceRectX,FaceScore,AU01,AU12,AU43,anger,happiness,neutral,input,approx_time
0,0,10.0,0.999,0.25,0.75,0.125,0.1,0.7,0.2,a.mp4,00:00
1,0,90.0,0.5,0.9,0.1,0.1,0.9,0.1,0.0,a.mp4,00:00
2,5,nan,nan,nan,nan,nan,nan,nan,nan,a.mp4,00:00
3,10,10.0,0.99,,0.5,0.0,0.2,0.2,0.6,a.mp4,00:00
"""


def written(folder: Path, text: str) -> Path:
    (folder / "a.csv").write_text(text, encoding="utf-8")
    return folder / "a.csv"


@pytest.mark.parametrize("text", [NEWER, OLDER, OLDER.replace("\n", "\r\n"), "\ufeff" + NEWER])
def test_openface_in_both_layouts(text: str, tmp_path: Path) -> None:
    first, lost, last = read_faces(written(tmp_path, text))
    assert (first.time, first.score) == (0.0, 0.98)
    assert first.units == {"AU1": 0.0, "AU12": 1.0, "AU28": 1.0}
    assert first.strengths == {"AU1": 0.1, "AU12": 1.0}  # 5.4 of 5
    assert not lost.present
    assert lost.time == 0.04
    assert last.units["AU1"] == 1.0


def test_pyfeat_needs_a_rate_and_takes_the_surest_face(tmp_path: Path) -> None:
    path = written(tmp_path, PYFEAT)
    with pytest.raises(mien.DataError, match="py-feat numbers frames") as error:
        list(read_faces(path))
    assert "fps" in str(error.value.fix)
    first, lost, last = read_faces(path, fps=25)
    assert [face.time for face in (first, lost, last)] == [0.0, 0.2, 0.4]
    assert first.units == {"AU1": 0.25, "AU12": 0.75, "AU43": 0.125}
    assert first.emotions == {"anger": 0.1, "happiness": 0.7, "neutral": 0.2}
    assert not lost.present
    assert "AU1" not in last.units  # an empty cell is no zero


def test_faces_of_a_part(tmp_path: Path) -> None:
    path = written(tmp_path, OLDER)
    assert [face.time for face in read_faces(path, start=0.04, end=0.08)] == [0.04]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "neither py-feat nor OpenFace"),
        ("", "neither py-feat nor OpenFace"),
        ("\0\0", "no table of faces"),
        (NEWER.replace("0.080", "later"), "could not convert"),
        (NEWER.replace("0.080", "0.030"), "not in order: 0.03 s comes after 0.04 s"),
        (NEWER.replace("AU28", "AU99"), "no action unit is called 'AU99'"),
    ],
)
def test_other_tables_are_told_apart(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(mien.DataError) as error:
        list(read_faces(written(tmp_path, text)))
    assert said in str(error.value)


def test_vectors_by_their_layout() -> None:
    assert {name: len(names) for name, names in LAYOUTS.items()} == {
        "openface": 35, "challenge": 12, "published": 27,
    }  # fmt: skip
    values = np.arange(35) / 35
    (face,) = of_vectors(values, "openface", start=2.0)
    assert face.time == 2.0
    assert len(face.strengths) == 17
    assert len(face.units) == 18
    assert face.strengths["AU45"] == pytest.approx(16 / 35 / 5)
    assert face.units["AU28"] == pytest.approx(33 / 35)
    assert face.units["AU45"] == pytest.approx(34 / 35)
    both = np.stack([np.zeros(27), np.full(27, 0.5)])
    two = list(of_vectors(both, "published", start=1, fps=10))
    assert [face.present for face in two] == [False, True]
    assert two[1].time == pytest.approx(1.1)
    assert set(two[1].units) == set(PUBLISHED)


@pytest.mark.parametrize(
    ("shape", "layout", "said"),
    [((34,), "openface", "35 values"), ((2, 12), "challenge", "rate"), ((3,), "open", "openface")],
)
def test_other_vectors_are_refused(shape: tuple[int, ...], layout: str, said: str) -> None:
    with pytest.raises(mien.DataError, match=said):
        of_vectors(np.ones(shape), layout)


def test_a_timeline_gives_faces_and_dimensions() -> None:
    seen = {"units": {"AU1": 0.2, "AU12": 0.9}, "emotion": {"happy": 0.75, "sad": 0.25},
            "affect": {"valence": 0.5, "arousal": -1.0}}  # fmt: skip
    windows = [
        Window(start=0, end=2, scores=seen, present={"video": True, "audio": False}),
        Window(start=2, end=4, scores={"emotion": {"happy": 0.5, "sad": 0.5}},
               present={"video": False, "audio": True}),
    ]  # fmt: skip
    voice = Track(id="voice", windows=[], kind="voice")
    line = Timeline(source="a", tracks=[voice, Track(id="face-1", windows=windows, kind="face")])
    faces, dimensions = of_timeline(line)
    assert [(face.time, face.present) for face in faces] == [(1.0, True), (3.0, False)]
    assert faces[0].units == seen["units"]
    assert faces[0].emotions == seen["emotion"]
    assert dimensions[0].values() == {"arousal": 0.0, "dominance": None, "valence": 0.75}
    assert of_timeline(line, "voice") == ((), ())
    with pytest.raises(mien.DataError, match="nobody is called 'face-2'"):
        of_timeline(line, "face-2")


@pytest.mark.shared
def test_values_of_ravdess_are_those_of_openface(shared: Path) -> None:
    """The order of the 35 values is a guess that the data bear out: a unit's strength and its
    presence agree far better than any other pairing does."""
    table = pq.read_table(shared / "data" / "ravdess_au_mfcc.parquet", columns=["au"])
    faces = [next(of_vectors(row, "openface")) for row in table["au"].to_pylist()]
    names = list(faces[0].strengths)
    strong = np.array([[face.strengths[n] for n in names] for face in faces])
    active = np.array([[face.units[n] for n in names] for face in faces])
    strong, active = ((a - a.mean(0)) / (a.std(0) + 1e-9) for a in (strong, active))
    agreement = strong.T @ active / len(faces)
    best = agreement.argmax(axis=0) == np.arange(len(names))
    assert best.sum() >= 14
