"""The page of a masked pre-training: pictures, errors and retrieval, whoever the run is from."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import kept_runs
import masked
import numpy as np
import pytest
from pages import Read

from mien.errors import RunError
from mien.report import runs, stills
from mien.report.runs import LIMIT, report
from mien.run.pretraining import Side

EVIL = '<script>alert(1)</script>"\' onload=alert(1) x="</style></title><img src=x>'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-training on clips with hostile ids."""
    home = tmp_path_factory.mktemp("pre")
    return masked.pretrained(masked.clips(home / "clips", named=lambda i: f"{EVIL}{i}"), home / "r")


def made(run: Path, data: Path, out: Path) -> tuple[Read, dict[str, Any]]:
    """A report, its page taken apart: nothing in it runs or is fetched."""
    found = report([run], out / "page.html", data=data)
    html = found.path.read_text(encoding="utf-8")
    assert len(html.encode()) <= LIMIT
    page = Read(html)
    assert not page.slips
    assert not page.all("script")
    for tag, attributes in page.elements:
        assert not {"style", "onclick", "onload", "onerror"} & attributes.keys()
        if "src" in attributes:
            assert tag == "img"
            assert attributes["src"].startswith("data:image/jpeg;base64,")
            assert attributes["alt"]
    assert json.loads(found.path.with_suffix(".json").read_text()) == found.summary
    json.dumps(found.summary, allow_nan=False)
    return page, found.summary["runs"][0]


def clips_of(run: Path) -> Path:
    return run.parent / "clips" / "clips.jsonl"


def pictures(page: Read) -> dict[str, list[np.ndarray]]:
    """Decoded, by what they are said to show."""
    found: dict[str, list[np.ndarray]] = {}
    for one in page.all("img"):
        raw = np.frombuffer(base64.b64decode(one["src"].partition(",")[2]), np.uint8)
        pixels = cv2.imdecode(raw, cv2.IMREAD_COLOR)
        assert pixels is not None
        assert pixels.shape[:2] == (int(one["height"]), int(one["width"]))
        found.setdefault(one["alt"], []).append(pixels)
    return found


def test_a_page_shows_clips_errors_and_retrieval(run: Path, tmp_path: Path) -> None:
    page, told = made(run, clips_of(run), tmp_path)
    asked = told["pretraining"]
    shown = pictures(page)
    wanted = {f"{n}, {row}: {kind}" for n, kind in (("video", "frames"), ("audio", "spectrogram"))
              for row in ("original", "visible", "rebuilt")}  # fmt: skip
    assert shown.keys() == wanted
    assert len(shown["audio, original: spectrogram"]) == len(asked["clips"]) == 4
    cells = [text for tag, text in page.texts if tag in ("td", "th")]
    for own in asked["rebuilt"].values():
        assert f"{own['error']:.3f}" in cells
    for level in asked["retrieval"]["levels"]:
        one = level["audio_to_video"]["recall_5"]
        assert f"{one['value']:.3f}" in cells
        assert f"{one['low']:.3f} to {one['high']:.3f}" in cells
    for text in ("Rebuilt", "Retrieval", "guessing", "held-out part", "contrast of each hidden"):
        assert text in page.text
    assert "a self-supervised stage" not in page.text
    assert "<script>alert(1)</script>" in page.text  # a clip's id, as a text
    losses = {"video: loss", "audio: loss", *(f"contrast_{n}: loss" for n in (1, 2, 3))}
    assert losses <= {text for tag, text in page.texts if tag == "bdi"}


def test_the_same_run_and_clips_give_the_same_page(run: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made(run, clips_of(run), tmp_path / name)
    one, two = ((tmp_path / name / "page.html").read_bytes() for name in ("one", "two"))
    assert one == two


def test_every_term_of_a_loss_is_drawn_where_there_are_no_scores(tmp_path: Path) -> None:
    terms = {f"level_{i}/loss": 1.0 + i for i in range(9)}
    lines = [line for line in kept_runs.log(more=terms) if "epoch" in line]
    scored = kept_runs.run(tmp_path / "scored", lines=lines)
    bare = [{k: v for k, v in line.items() if not k.startswith("held_out/")} for line in lines]
    alone = kept_runs.run(tmp_path / "alone", specs={}, lines=bare)
    for place, count in ((alone, 9), (scored, 5)):
        page = Read(report([place]).path.read_text(encoding="utf-8"))
        drawn = {text for tag, text in page.texts if tag == "bdi"}
        assert sum(f"level_{i}: loss" in drawn for i in range(9)) == count
        assert ("classify: more losses" in page.text) == (place == alone)


def test_without_clips_the_page_has_curves_and_says_how_to_get_more(run: Path) -> None:
    found = report([run])
    page = Read(found.path.read_text(encoding="utf-8"))
    assert "pretraining" not in found.summary["runs"][0]
    assert "mien report --data MANIFEST" in page.text
    assert not page.all("img")


def test_sound_alone_shows_no_faces(run: Path, tmp_path: Path) -> None:
    voices = masked.clips(tmp_path / "voices", count=5, video=False)
    page, told = made(run, voices, tmp_path)
    assert told["pretraining"]["retrieval"] is None
    assert all(name.startswith("audio") for name in pictures(page))
    assert "video, " not in page.text
    assert "fewer than two clips have both" in page.text
    assert "Every second frame" not in page.text


def test_a_run_with_tasks_has_the_page_that_it_had(run: Path, tmp_path: Path) -> None:
    scored = kept_runs.run(tmp_path / "scored")
    before = report([scored]).path.read_bytes()
    with pytest.raises(RunError, match="none of these runs rebuilds"):
        report([scored], data=clips_of(run))
    assert report([scored]).path.read_bytes() == before
    both = report([scored, run], tmp_path / "both.html", data=clips_of(run)).summary["runs"]
    assert ["pretraining" in one for one in both] == [False, True]


def test_large_pictures_are_fewer_so_that_the_page_stays_small(run: Path, tmp_path: Path) -> None:
    summary = report([run], tmp_path / "page.html", data=clips_of(run)).summary
    random = np.random.default_rng(0)
    film = random.random((3, 16, 160, 160), dtype=np.float32)
    loud = Side(*(random.random((1, 256, 128), dtype=np.float32) for _ in range(3)))
    clips = [clip for clip in summary["runs"][0]["pretraining"]["clips"] if "video" in clip]
    shown = {clip["id"]: {"video": Side(film, film, film), "audio": loud} for clip in clips}
    html = runs.page(summary, [shown])
    assert len(html.encode()) <= LIMIT
    assert 6 <= html.count("<img") < 6 * len(clips)


def test_a_film_is_frames_in_their_order_and_grey_where_nothing_is_seen() -> None:
    video = np.zeros((3, 16, 8, 8), np.float32)
    video[0] = np.linspace(0, 1, 16)[:, None, None]
    video[:, 0, :4] = np.nan
    found = stills.film(video)
    assert found.shape == (96, 8 * 96 + 7 * 2, 3)
    assert (found[:48, :96] == 128).all()
    reds = found[90, 48 :: 96 + 2, 0].tolist()
    assert reds == [round(255 * i / 15) for i in range(0, 16, 2)]
    wide = np.zeros((3, 16, 300, 300), np.float32)
    assert stills.film(wide).shape == (300, 602, 3)


def test_a_spectrogram_has_time_to_the_right_and_pitch_upwards() -> None:
    sound = np.zeros((1, 100, 100), np.float32)
    sound[0, 60:, 80:] = 1
    sound[0, :10, :10] = np.nan
    found = stills.spectrogram(sound, stills.scale_of(sound))
    assert found.shape == (100, 100, 3)
    bright = found.astype(int).sum(2) > found[50, 50].astype(int).sum() + 100
    assert bright[:20, 60:].all()
    assert not bright[:20, :60].any()
    assert (found[90:, :10] == 128).all()
