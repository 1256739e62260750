"""A voice is a face's where that is known, and else nobody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.data.crops import CropRecipe
from mien.data.faces import open_detector
from mien.data.follow import follow
from mien.data.frames import sampled
from mien.data.sound import waveform
from mien.data.speaking import join, mouth_motion, speaker_of, within
from mien.data.turns import Turn

FPS, RATE = 25.0, 16000


def test_one_face_has_the_voice() -> None:
    joined = join({"face-1": 1.0})
    assert (joined.face, joined.why, joined.score) == ("face-1", "one face", None)
    assert join({"face-1": 0.9, "face-2": 0.05}).face == "face-1"


@pytest.mark.parametrize(
    "faces", [{}, {"face-1": 0.3}, {"face-1": 1.0, "face-2": 0.2}, {"face-1": 0.6, "face-2": 0.6}]
)
def test_else_face_and_voice_stand_apart_and_say_why(faces: dict[str, float]) -> None:
    joined = join(faces)
    assert joined.face is None
    assert joined.why == ""
    assert "face" in joined.apart


def test_whoever_is_said_to_speak_has_the_voice() -> None:
    both = {"face-1": 1.0, "face-2": 1.0}
    assert join(both, [Turn(0, 2, "face-2")]).face == "face-2"
    named = join(both, [Turn(0, 2, "anna")], {"anna": "face-1"})
    assert (named.face, named.why) == ("face-1", "given")
    assert join(both, [Turn(0, 2, "bob")], {"anna": "face-1"}).face is None
    assert join({"face-1": 1.0}, [Turn(0, 2, "anna")], {"anna": "face-2"}).face is None
    assert join({"face-1": 1.0}, [Turn(0, 2, "face-2")]).face is None
    # A name that nobody connects with a face changes nothing.
    assert join({"face-1": 1.0}, [Turn(0, 2, "anna")]).why == "one face"


def test_the_speaker_is_who_speaks_most() -> None:
    assert speaker_of([Turn(0, 1, "a"), Turn(1, 3, "b")]) == "b"
    assert speaker_of([Turn(0, 1, "a"), Turn(1, 2, "b")]) is None
    assert speaker_of([Turn(0, 1), Turn(1, 2)]) is None
    assert within([Turn(0, 5, "a"), Turn(6, 9, "b")], 4, 7) == [Turn(4, 5, "a"), Turn(6, 7, "b")]


def test_a_mouth_decides_where_it_leads_clearly() -> None:
    both = {"face-1": 1.0, "face-2": 1.0}
    joined = join(both, motion={"face-1": 0.1, "face-2": 0.6})
    assert (joined.face, joined.why, joined.score) == ("face-2", "mouth motion", 0.6)
    assert join(both, motion={"face-1": 0.55, "face-2": 0.6}).face is None
    assert join(both, motion={"face-1": 0.0, "face-2": 0.2}).face is None


def talking(seed: int, *, still: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A face whose mouth opens with the loudness of its voice, and the voice, 4 s."""
    random = np.random.default_rng(seed)
    loud = np.repeat(random.uniform(0, 1, 20), 5)  # (100): changes five times a second
    face = random.integers(60, 120, (64, 64, 3)).astype(np.float32)
    crops = np.stack([face] * 100)
    flicker = random.normal(0, 60, (100, 22, 26, 3)) * (0.0 if still else 1.0)
    crops[:, 36:58, 19:45] += flicker * loud[:, None, None, None]
    wave = random.normal(0, 0.2, 64_000) * np.repeat(loud, 640)
    return np.clip(crops, 0, 255).astype(np.uint8), wave.astype(np.float32)


def test_a_mouth_that_moves_with_a_voice_scores_higher_than_one_that_does_not() -> None:
    seen = np.ones(100, bool)
    for seed in range(10):
        crops, voice = talking(seed)
        _, other = talking(seed + 100)
        own = mouth_motion(crops, seen, voice, FPS, RATE)
        assert own > 0.6
        assert own > mouth_motion(crops, seen, other, FPS, RATE) + 0.2
        still, _ = talking(seed, still=True)
        assert mouth_motion(still, seen, voice, FPS, RATE) == 0.0


def test_too_little_to_see_or_hear_scores_nothing() -> None:
    crops, voice = talking(0)
    nobody = np.zeros(100, bool)
    nobody[:20] = True
    assert mouth_motion(crops, nobody, voice, FPS, RATE) == 0.0
    assert mouth_motion(crops, np.ones(100, bool), np.zeros(0, np.float32), FPS, RATE) == 0.0


def test_a_sound_that_begins_as_the_face_goes_says_nothing_of_its_mouth() -> None:
    """The last change of a face, and the first of a sound, would fit whatever they are."""
    crops, voice = talking(0)
    crops[48:50, 36:58, 19:45] = 255  # the face goes with a jerk
    seen = np.arange(100) < 50
    late = np.where(np.arange(len(voice)) < 49 * 640, 0, 0.3).astype(np.float32)
    assert mouth_motion(crops, seen, late, FPS, RATE) == 0.0
    assert mouth_motion(crops, seen, voice, FPS, RATE) != 0.0


def test_sound_that_was_not_recorded_is_not_silence() -> None:
    crops, voice = talking(3)
    seen, half = np.ones(100, bool), 50 * 640
    whole = mouth_motion(crops, seen, voice, FPS, RATE)
    there = np.arange(len(voice)) < half
    cut = mouth_motion(crops, seen, voice[:half], FPS, RATE)
    assert cut == mouth_motion(crops, seen, np.where(there, voice, 0), FPS, RATE, there)
    assert cut == mouth_motion(crops, seen, np.where(there, voice, 9), FPS, RATE, there)
    assert abs(cut - whole) < 0.2
    assert mouth_motion(crops, seen, voice, FPS, RATE, np.zeros(len(voice), bool)) == 0.0


@pytest.mark.parametrize("lag", [-2, 0, 2])
def test_sound_and_picture_may_be_a_little_apart(lag: int) -> None:
    crops, voice = talking(5)
    moved = np.roll(voice, lag * 640)
    moved[: max(0, lag * 640)] = 0
    assert mouth_motion(crops, np.ones(100, bool), moved, FPS, RATE) > 0.6


@pytest.mark.shared
def test_a_real_mouth_fits_its_own_sound_better_than_the_same_sound_later(shared: Path) -> None:
    """Measured: 0.40, and at most 0.15 for sound that is a second or more away.

    It is one clip of three seconds and proves little: half a second away it scores up to 0.58, and
    the sound of another film up to 0.44.
    """
    path = shared / "data" / "clips" / "ravdess_01-01-01-01-01-01-01.mp4"
    detector = open_detector("yunet", shared / "weights" / "yunet_n_640_640.onnx")
    moments = list(follow(sampled(path, FPS), detector))
    recipe, crops = CropRecipe(size=64), []
    for moment in moments:
        assert moment.frame.pixels is not None
        crops.append(recipe.crop(moment.frame.pixels, moment.faces["face-1"].face))
    wave, _ = waveform(path, RATE, end=len(crops) / FPS)
    seen = np.ones(len(crops), bool)
    scores = [
        mouth_motion(np.stack(crops), seen, np.roll(wave, round(shift * RATE)), FPS, RATE)
        for shift in (0.0, 1.0, 1.3, 1.6, 1.9, 2.2)
    ]
    assert scores[0] > 0.3
    assert scores[0] > max(scores[1:]) + 0.15
