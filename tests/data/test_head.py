"""Action units move what they should, and poses move the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from mien.data import head
from mien.data.acted import ACTION_UNITS, EMOTIONS, Acting, Values
from mien.data.head import Looks, Pose
from mien.tasks.action_units import ABAW_ACTION_UNITS


def somebody(seed: int = 0) -> Looks:
    """A person whose face is at rest when nothing is acted."""
    found = head.looks(np.random.default_rng(seed), man=seed % 2 == 0)
    return replace(found, resting=np.zeros(len(ACTION_UNITS)))


def acting(
    units: Mapping[str, float] | None = None,
    *,
    lids: float = 1.0,
    gaze: tuple[float, float] = (0, 0),
) -> Acting:
    """Two frames: at rest, and with these units."""
    amounts = np.zeros((2, len(ACTION_UNITS)))
    for name, value in (units or {}).items():
        amounts[1, ACTION_UNITS.index(name)] = value
    return Acting(
        units=amounts,
        lids=np.asarray([1.0, lids]),
        gaze=np.asarray([(0, 0), gaze], float),
        rounding=np.zeros(2),
        turn=np.zeros((2, 3)),
        sway=np.zeros((2, 2)),
        valence=np.zeros(2),
        arousal=np.zeros(2),
        course=np.zeros((2, len(EMOTIONS))),
    )


def held(yaw: float = 0, pitch: float = 0, roll: float = 0) -> Pose:
    return Pose(
        yaw=np.full(2, yaw), pitch=np.full(2, pitch), roll=np.full(2, roll),
        x=np.full(2, 100.0), y=np.full(2, 80.0), scale=np.full(2, 40.0),
    )  # fmt: skip


def moved(part: str, unit: str, which: int | None = None) -> Values:
    """By how much a point of a part moves (None: all on average): right, down, forward, (3)."""
    found = head.points(somebody(), acting({unit: 1}))[part]
    change = found[1] - found[0]
    return np.asarray(change.mean(axis=0) if which is None else change[which])


def aperture(face: Looks, what: Acting) -> Values:
    """How far both eyes are open, (2 frames)."""
    parts = head.points(face, what)
    gaps = [parts[f"{s} lower lid"] - parts[f"{s} upper lid"] for s in ("left", "right")]
    return np.asarray(np.stack(gaps)[..., 1].mean(axis=(0, 2)))


def gap(what: Acting) -> Values:
    """How far the lips are apart in the middle, (2 frames)."""
    parts = head.points(somebody(), what)
    return np.asarray((parts["lower line"] - parts["upper line"])[:, 4, 1])


def test_units_are_those_of_the_task_in_its_order() -> None:
    assert ABAW_ACTION_UNITS.labels == ACTION_UNITS


@pytest.mark.parametrize("side", ["left", "right"])
def test_units_of_the_brows(side: str) -> None:
    inner, outer = 0, 5  # of the upper edge, from the nose outwards
    brow = f"{side} brow"
    for unit, most, least in (("AU1", inner, outer), ("AU2", outer, inner)):
        high, low = (moved(brow, unit, point)[1] for point in (most, least))
        assert high < -0.1
        assert high < low - 0.1
    assert moved(brow, "AU4")[1] > 0.05
    towards = moved(brow, "AU4", inner)[0]
    assert towards > 0.03 if side == "left" else towards < -0.03


@pytest.mark.parametrize("seed", range(4))
def test_lids_close_and_tighten(seed: int) -> None:
    face = somebody(seed)
    rest, shut = aperture(face, acting(lids=0))
    assert rest > 0.08
    assert abs(shut) < 1e-9
    for unit in ("AU6", "AU7"):
        rest, less = aperture(face, acting({unit: 1}))
        assert 0.02 < less < 0.85 * rest
    rest, wide = aperture(face, acting(lids=1.3))
    assert wide > 1.2 * rest


def test_eyes_follow_the_gaze() -> None:
    parts = head.points(somebody(), acting(gaze=(1, -1)))
    for side in ("left", "right"):
        across, down, _ = parts[f"{side} iris"][1, 0] - parts[f"{side} iris"][0, 0]
        assert across > 0.05
        assert down < -0.03


def test_units_of_the_mouth() -> None:
    left, middle = 0, 4
    out, up, _ = moved("upper line", "AU12", left)
    assert max(out, up) < -0.05
    out, down, _ = moved("upper line", "AU15", left)
    assert down > 0.1 > abs(out) + 0.09
    assert moved("upper lip", "AU10", middle)[1] < -0.05
    assert moved("wings", "AU10")[1] < -0.03
    assert moved("upper line", "AU23", left)[0] > 0.03  # narrower


def test_lips_part_and_press_and_the_jaw_drops() -> None:
    assert gap(acting({"AU25": 1}))[1] > gap(acting())[1] + 0.05
    assert gap(acting({"AU26": 1}))[1] > gap(acting({"AU25": 1}))[1] + 0.1
    assert gap(acting({"AU26": 1, "AU24": 1}))[1] < gap(acting({"AU26": 1}))[1]
    parts = head.points(somebody(), acting({"AU24": 1}))
    thick = (parts["lower lip"] - parts["lower line"])[:, 4, 1]
    assert thick[1] < 0.5 * thick[0]
    chin = head.points(somebody(), acting({"AU26": 1}))["outline"][..., 1].max(axis=1)
    assert chin[1] > chin[0] + 0.1


def test_cheeks_rise() -> None:
    assert moved("left cheek", "AU6")[1] < -0.05


def test_what_a_unit_does_not_reach_stays() -> None:
    for unit in ACTION_UNITS[:5]:
        assert np.abs(moved("upper lip", unit)).max() < 1e-12
    for unit in ACTION_UNITS[6:]:
        assert np.abs(moved("left brow", unit)).max() < 1e-12


def test_a_turned_nose_moves_farther_than_the_outline() -> None:
    parts = head.points(somebody(), acting())
    straight = head.seen(parts, held())
    for pose, axis in ((held(yaw=0.3), 0), (held(pitch=0.3), 1)):
        turned = head.seen(parts, pose)
        nose = (turned["ridge"] - straight["ridge"])[0, 3, axis]
        edge = (turned["outline"] - straight["outline"])[0, :, axis].mean()
        assert nose > edge + 4  # pixels
        assert edge > 0


def test_rolling_turns_the_eyes_and_keeps_lengths() -> None:
    parts = head.points(somebody(), acting())
    before, after = head.seen(parts, held()), head.seen(parts, held(roll=0.2))
    eyes = [at["right iris"][0, 0] - at["left iris"][0, 0] for at in (before, after)]
    assert np.linalg.norm(eyes[0]) == pytest.approx(np.linalg.norm(eyes[1]))
    assert np.arctan2(eyes[1][1], eyes[1][0]) == pytest.approx(0.2)


def test_faces_are_mirrored_and_people_differ() -> None:
    for seed in range(5):
        parts = head.points(somebody(seed), acting({"AU12": 1, "AU4": 1}))
        mirrored = parts["left brow"] * [-1, 1, 1]
        np.testing.assert_allclose(mirrored, parts["right brow"])
    lengths = [head.points(somebody(seed), acting())["ridge"][0, 3, 1] for seed in range(8)]
    assert len(set(lengths)) == 8
