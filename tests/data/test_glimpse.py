"""A few pictures and the sound of a clip, against films that say which frame they show."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import cv2
import films
import numpy as np
import pytest

from mien.data.glimpse import RATE, Glimpse, Source, View, look
from mien.errors import DataError


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds at 10 pictures a second, with a tone that grows."""
    folder = tmp_path_factory.mktemp("films")
    loud = np.linspace(0.05, 0.5, 3 * RATE)
    tone = loud * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)
    return films.film(folder / "film.mp4", seconds=3, fps=10, audio=tone)


def shown(glimpse: Glimpse) -> list[int]:
    """Which frames the pictures are."""
    return [films.number(decoded(jpeg)) for jpeg in glimpse.jpegs]


def decoded(jpeg: bytes) -> films.Pixels:
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def heard(glimpse: Glimpse) -> np.ndarray:
    assert glimpse.wav is not None
    with wave.open(io.BytesIO(glimpse.wav)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float) / 32767


def test_pictures_lie_in_the_middle_of_equal_stretches(film: Path) -> None:
    found = look(View(pictures=3), Source(video=film, audio=None))
    assert found.times == (0.5, 1.5, 2.5)
    assert shown(found) == [5, 15, 25]
    assert (found.wav, found.size, found.span) == (None, (64, 48), (0.0, 3.0))


def test_a_span_is_what_is_shown_and_heard(film: Path) -> None:
    source = Source(video=film, audio=None, start=1.0, end=2.0)
    found = look(View(pictures=2, sound=True), source)
    assert found.times == (1.25, 1.75)
    assert shown(found) == [12, 17]
    samples = heard(found)
    assert len(samples) == pytest.approx(RATE, abs=2)
    level = np.sqrt(np.square(samples).mean())
    assert level == pytest.approx(0.275 / np.sqrt(2), rel=0.05)  # as loud as its middle


def test_a_long_clip_is_shown_by_its_beginning(film: Path) -> None:
    found = look(View(pictures=2, sound=True, seconds=1.0), Source(video=film, audio=None))
    assert found.times == (0.25, 0.75)
    assert len(heard(found)) == pytest.approx(RATE, abs=2)


def test_sound_alone_and_a_sound_of_its_own(film: Path, tmp_path: Path) -> None:
    quiet = films.wav(tmp_path / "q.wav", 0.25 * np.ones(RATE // 2))
    alone = look(View(sound=True), Source(video=None, audio=quiet))
    assert (alone.jpegs, alone.size) == ((), None)
    assert heard(alone)[100:-100] == pytest.approx(0.25, abs=1e-3)
    both = look(View(pictures=1, sound=True), Source(video=film, audio=quiet))
    assert len(heard(both)) == pytest.approx(RATE / 2, abs=2)
    assert len(both.jpegs) == 1


def test_what_nobody_asked_for_is_not_sent(film: Path) -> None:
    assert look(View(sound=False), Source(video=film, audio=film)).wav is None
    assert look(View(pictures=0, sound=True), Source(video=film, audio=None)).jpegs == ()
    assert not look(View(), Source(video=None, audio=film))


def test_large_pictures_become_small_and_small_ones_stay(tmp_path: Path) -> None:
    large = films.film(tmp_path / "l.mp4", seconds=0.2, size=(640, 320))
    found = look(View(pictures=1, side=100), Source(video=large, audio=None))
    assert decoded(found.jpegs[0]).shape == (50, 100, 3)
    assert found.size == (640, 320)
    whole = look(View(pictures=1, side=4000), Source(video=large, audio=None))
    assert decoded(whole.jpegs[0]).shape == (320, 640, 3)


def test_images_and_folders_of_them(tmp_path: Path) -> None:
    for number in range(1, 9):
        picture = cv2.cvtColor(films.picture_of(number), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(tmp_path / f"{number:03d}.png"), picture)
    image = look(View(pictures=4, sound=True), Source(video=tmp_path / "003.png", audio=None))
    assert (shown(image), image.times, image.wav) == ([3], (0.0,), None)
    folder = look(View(pictures=4, sound=True), Source(video=tmp_path, audio=None, fps=4))
    assert shown(folder) == [2, 4, 6, 8]
    assert folder.times == (0.25, 0.75, 1.25, 1.75)
    with pytest.raises(DataError, match="no frame rate"):
        look(View(), Source(video=tmp_path, audio=None))


def test_beyond_the_end_there_is_nothing(film: Path) -> None:
    assert not look(View(sound=True), Source(video=film, audio=None, start=60.0, end=61.0))


def test_what_is_no_media_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(DataError):
        look(View(), Source(video=tmp_path / "x.mp4", audio=None))
