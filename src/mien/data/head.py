"""A head in numbers: how somebody looks, and where every point of the face lies while it acts.

Lengths count in halves of the face's width: from the middle of the face, at the height of the eyes,
x to the right of the picture, y down, z out of the picture. Action units move points of this head;
its pose then turns them, and the camera sees where they fall (parallel projection: the nose moves
farther than the cheeks, which is all that a small turn shows).

Axes: F frames, P points of a part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.data.acted import ACTION_UNITS, Acting

Values = NDArray[np.float64]

ALONG = np.linspace(-1, 1, 9)  # from the left corner of an eye or mouth to the right one
_ROUND = 1 - ALONG**2

_CONTOUR = np.asarray(
    [
        [0.0, -1.40], [0.48, -1.33], [0.83, -1.06], [0.985, -0.62], [1.0, -0.08], [0.965, 0.42],
        [0.88, 0.86], [0.70, 1.24], [0.42, 1.51], [0.16, 1.61],
    ]
)  # fmt: skip
"""The right half of the outline, from the top of the skull to the chin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How somebody looks. Colours are RGB, 0 to 255; proportions are about 1.

    Args:
        skin: in full light.
        hair: of head, brows and beard.
        iris: of the eyes.
        lips: in full light.
        width: of the skull.
        jaw: its width.
        chin: how low it lies.
        eyes: their size.
        apart: their distance.
        nose: its length.
        mouth: its width.
        fullness: of the lips.
        brows: how thick they are.
        arch: how bent they are.
        style: of the hair, by its place in `STYLES`.
        beard: how dense, 0 to 1.
        moustache: the same.
        glasses: whether any are worn.
        resting: (12) what the face shows at rest, as added to every frame: some people's brows lie
            low and some people's mouths turn up, whatever they feel.
    """

    skin: Values
    hair: Values
    iris: Values
    lips: Values
    width: float
    jaw: float
    chin: float
    eyes: float
    apart: float
    nose: float
    mouth: float
    fullness: float
    brows: float
    arch: float
    style: int
    beard: float
    moustache: float
    glasses: bool
    resting: Values


STYLES = ("shaved", "short", "parted", "long", "curly", "tied")
_STYLED = ((0.02, 0.10, 0.20, 0.38, 0.15, 0.15), (0.12, 0.34, 0.26, 0.03, 0.15, 0.10))
"""How frequent each is among women and among men."""

_TONES = np.asarray(
    [[255, 224, 200], [240, 196, 160], [214, 160, 120], [166, 112, 78], [112, 74, 52]], np.float64
)
_HAIR = np.asarray(  # the first two for dark skin as well
    [[28, 22, 20], [58, 38, 26], [96, 62, 36], [150, 108, 60], [200, 168, 110], [150, 145, 140],
     [120, 50, 28]], np.float64,
)  # fmt: skip
_IRISES = np.asarray(
    [[70, 44, 26], [40, 28, 20], [96, 66, 36], [70, 100, 130], [84, 110, 80]], np.float64
)
_HABITS = {"AU1": 0.2, "AU2": 0.2, "AU4": 0.3, "AU7": 0.25, "AU12": 0.25, "AU15": 0.3}
"""How much of a unit a face may show at rest."""


def looks(random: np.random.Generator, man: bool) -> Looks:
    """Somebody. The same generator state gives the same person.

    Args:
        random: who.
        man: with a broader jaw, and perhaps a beard; or a woman.
    """
    at = random.uniform(0, len(_TONES) - 1.001)
    skin = _TONES[int(at)] + (at % 1) * (_TONES[int(at) + 1] - _TONES[int(at)])
    shades, irises = (7, 5) if at < 2 else (2, 2)
    bearded = man and random.random() < 0.35

    def around(spread: float) -> float:
        return float(np.clip(random.normal(1, spread), 1 - 2 * spread, 1 + 2 * spread))

    return Looks(
        skin=skin * random.uniform(0.94, 1.03),
        hair=_HAIR[random.choice(shades)] * random.uniform(0.8, 1.15),
        iris=_IRISES[random.choice(irises)],
        lips=skin * [0.80, 0.56, 0.55] * random.uniform(0.9, 1.1),
        width=around(0.04),
        jaw=around(0.06) * (1.03 if man else 0.95),
        chin=around(0.04),
        eyes=around(0.08) * (0.97 if man else 1.06),
        apart=around(0.04),
        nose=around(0.09),
        mouth=around(0.08),
        fullness=around(0.16) * (0.9 if man else 1.15),
        brows=around(0.2) * (1.2 if man else 0.8),
        arch=around(0.3),
        style=int(random.choice(len(STYLES), p=_STYLED[man])),
        beard=float(bearded) * random.uniform(0.3, 0.85),
        moustache=float(bearded or (man and random.random() < 0.08)) * random.uniform(0.3, 0.9),
        glasses=bool(random.random() < 0.2),
        resting=_resting(random),
    )


def _resting(random: np.random.Generator) -> Values:
    amounts = np.zeros(len(ACTION_UNITS))
    for unit, most in _HABITS.items():
        amounts[ACTION_UNITS.index(unit)] = most * max(0.0, random.uniform(-1, 1))
    return amounts


@dataclass(frozen=True, slots=True)
class Pose:
    """How a head is held and where it is, (F) each.

    Args:
        yaw: radians; more than 0 turns the nose to the right of the picture.
        pitch: radians; more than 0 lowers the nose.
        roll: radians; more than 0 turns the picture clockwise.
        x: of the middle of the face, in pixels.
        y: the same.
        scale: pixels in half of the face's width.
    """

    yaw: Values
    pitch: Values
    roll: Values
    x: Values
    y: Values
    scale: Values


# -- parts -----------------------------------------------------------------------------------------


def points(face: Looks, acting: Acting) -> dict[str, Values]:
    """Where the parts of a face lie on the head, each (F, P, 3), before it is turned.

    Args:
        face: whose.
        acting: what it does in each frame.
    """
    amounts = np.clip(acting.units + face.resting, 0, 1.2)
    unit = {name: amounts[:, i : i + 1] for i, name in enumerate(ACTION_UNITS)}  # (F, 1) each
    found = {"outline": _outline(face, unit)} | _nose(face, unit) | _mouth(face, unit, acting)
    for side, name in ((-1, "left"), (1, "right")):
        found |= {f"{name} {key}": value for key, value in _eye(face, unit, acting, side).items()}
        found[f"{name} brow"] = _brow(face, unit, side)
        found[f"{name} fold"] = _fold(found, side)
        lifted = (0.10 * unit["AU6"] + 0.05 * unit["AU12"])[..., None]  # (F, 1, 1)
        found[f"{name} cheek"] = np.asarray([[side * 0.58, 0.42, 0.72]]) - lifted * [0, 1, 0]
    return found


def _outline(face: Looks, unit: dict[str, Values]) -> Values:
    """(F, 60, 3), clockwise from the top; the chin follows the jaw."""
    half = _CONTOUR.copy()
    low = np.clip((half[:, 1] - 0.3) / 0.9, 0, 1)
    half[:, 0] *= face.width * (1 + low * (face.jaw - 1))
    half[:, 1] *= np.where(half[:, 1] > 0, face.chin, 1)
    closed = np.concatenate([half, [[0.0, 1.63 * face.chin]], half[:0:-1] * [-1, 1]])
    smooth = rounded(closed, 3)  # (60, 2)
    down = np.clip((smooth[:, 1] - 0.7) / 0.8, 0, 1) * 0.2 * unit["AU26"]  # (F, P)
    y = smooth[:, 1] + down
    return np.stack([np.broadcast_to(smooth[:, 0], y.shape), y, np.zeros_like(y)], axis=2)


def _eye(face: Looks, unit: dict[str, Values], acting: Acting, side: int) -> dict[str, Values]:
    """Both lids (F, 9, 3), from left to right, and the iris (F, 1, 3)."""
    lids = acting.lids[:, None]
    middle, reach = side * 0.46 * face.apart, 0.205 * face.eyes
    low = 0.075 * face.eyes * (1 - 0.45 * unit["AU6"] - 0.5 * unit["AU7"]) * _ROUND
    low = low - 0.02 * side * ALONG  # the outer corner lies a little higher
    wide = np.clip(lids * (1 - 0.38 * unit["AU7"] - 0.12 * unit["AU6"]), 0, 1.5)
    open_ = -0.125 * face.eyes * _ROUND**0.8 - 0.02 * side * ALONG
    high = low + (open_ - low) * wide
    x = np.broadcast_to(middle + reach * ALONG, high.shape)
    z = 0.80 - 0.16 * np.abs(x - side * 0.3)
    gaze = acting.gaze * [0.075, 0.045]
    iris = np.stack(
        [middle + gaze[:, :1], gaze[:, 1:] - 0.02, np.full((len(gaze), 1), 0.80)], axis=2
    )
    return {
        "upper lid": np.stack([x, high, z], axis=2),
        "lower lid": np.stack([x, low, z], axis=2),
        "iris": iris,
    }


def _brow(face: Looks, unit: dict[str, Values], side: int) -> Values:
    """(F, 14, 3): along the upper edge from the nose outwards, and back along the lower one."""
    along = np.linspace(0, 1, 7)
    lift = 0.16 * unit["AU1"] * (1 - along) ** 1.3
    lift = lift + 0.19 * unit["AU2"] * np.exp(-(((along - 0.72) / 0.38) ** 2))
    lift = lift - unit["AU4"] * 0.15 * (1 - 0.55 * along)
    y = -0.33 - 0.055 * face.arch * np.sin(np.pi * (0.1 + 0.85 * along)) - lift
    x = side * (0.19 + 0.60 * along - 0.07 * unit["AU4"] * (1 - along))
    thick = 0.035 * face.brows * (1 - 0.75 * along**2)
    z = np.broadcast_to(0.92 - 0.30 * along, y.shape)
    x = np.broadcast_to(x, y.shape)
    upper, lower = (np.stack([x, y + sign * thick, z], axis=2) for sign in (-1, 1))
    return np.concatenate([upper, lower[:, ::-1]], axis=1)


def _nose(face: Looks, unit: dict[str, Values]) -> dict[str, Values]:
    up = 0.045 * unit["AU10"]  # (F, 1)
    long, frames = face.nose, len(up)
    wings = np.asarray([[-0.185, 0.50, 0.86], [0.185, 0.50, 0.86]]) * [1, long, 1]
    holes = np.asarray([[-0.085, 0.575, 0.98], [0.085, 0.575, 0.98]]) * [1, long, 1]
    depths = ((-0.12, 0.90), (0.15, 1.02), (0.38 * long, 1.14), (0.50 * long, 1.18))
    ridge = np.asarray([[0, down, depth] for down, depth in depths])
    lifted = up[..., None] * np.asarray([0, -1, 0])  # (F, 1, 3)
    return {
        "ridge": np.broadcast_to(ridge, (frames, 4, 3)).copy(),
        "wings": wings + lifted,
        "nostrils": holes + 0.6 * lifted,
    }


def _mouth(face: Looks, unit: dict[str, Values], acting: Acting) -> dict[str, Values]:
    """Four edges of the lips, (F, 9, 3) each, from the left corner to the right one."""
    rest, reach = 0.94 * (1 + 0.5 * (face.nose - 1)), 0.385 * face.mouth
    pressed = np.clip(0.5 * unit["AU23"] + 0.65 * unit["AU24"], 0, 0.85)
    gap = (0.085 * unit["AU25"] + 0.33 * unit["AU26"]) * (1 - 0.6 * pressed)
    side = reach * (1 + 0.24 * unit["AU12"] - 0.14 * unit["AU23"] - 0.2 * acting.rounding[:, None])
    corner = rest - 0.16 * unit["AU12"] + 0.14 * unit["AU15"] + 0.25 * gap
    middle = rest + 0.03 * unit["AU12"] - 0.03 * unit["AU15"]
    top = middle - 0.2 * gap - 0.085 * unit["AU10"]
    bottom = middle + 0.8 * gap + 0.004
    arc = _ROUND**0.75
    inner_top, inner_low = corner + (top - corner) * arc, corner + (bottom - corner) * arc
    full = 0.085 * face.fullness * (1 - pressed) * (1 - 0.2 * unit["AU12"])
    bow = 1 - 0.22 * np.exp(-((ALONG / 0.16) ** 2))
    outer_top = inner_top - full * _ROUND**0.9 * bow
    outer_low = inner_low + 1.35 * full * _ROUND**0.8
    x, z = side * ALONG, np.broadcast_to(0.95 - 0.24 * ALONG**2, inner_top.shape)
    edges = {
        "upper lip": outer_top, "upper line": inner_top,
        "lower line": np.maximum(inner_low, inner_top), "lower lip": outer_low,
    }  # fmt: skip
    return {name: np.stack([x, y, z], axis=2) for name, y in edges.items()}


def _fold(found: dict[str, Values], side: int) -> Values:
    """From the wing of the nose around the corner of the mouth, (F, 5, 3)."""
    wing = found["wings"][:, 0 if side < 0 else 1]
    corner = found["upper line"][:, 0 if side < 0 else -1]
    t = np.linspace(0, 1, 5)[:, None]
    line = wing[:, None] * (1 - t) + corner[:, None] * t
    bulge = np.sin(np.pi * (0.15 + 0.75 * t)) * [side * 0.13, -0.02, 0]
    return np.asarray(line + bulge)


BODY = ("mane", "neck", "neck light", "shoulders")
"""Parts that hardly follow the head."""

# -- from the head to the picture ------------------------------------------------------------------


def seen(parts: dict[str, Values], pose: Pose) -> dict[str, Values]:
    """Where the parts of a head fall in the picture, (F, P, 2) in pixels.

    The outline is that of a round thing: turning the head hardly changes it, and moves it a little.
    """
    body = replace(pose, yaw=0.2 * pose.yaw, pitch=0 * pose.pitch, roll=0.3 * pose.roll)
    found = {}
    for name, part in parts.items():
        held = body if name in BODY else pose
        flat = _outlined(part, pose) if name == "outline" else turned(part, held)
        found[name] = placed(flat, held)
    return found


def turned(part: Values, pose: Pose) -> Values:
    """Points (F, P, 3) of the front of the head after yaw and pitch, (F, P, 2)."""
    yaw, pitch = pose.yaw[:, None], pose.pitch[:, None]
    x, y, z = part[..., 0], part[..., 1], part[..., 2]
    across = x * np.cos(yaw) + z * np.sin(yaw)
    depth = z * np.cos(yaw) - x * np.sin(yaw)
    return np.stack([across, y * np.cos(pitch) + depth * np.sin(pitch)], axis=2)


def _outlined(part: Values, pose: Pose) -> Values:
    x, y = part[..., 0], part[..., 1]
    lean, nod = np.sin(pose.yaw)[:, None], np.sin(pose.pitch)[:, None]
    low = np.clip(y, 0, None)
    x = x * (1 - 0.05 * lean**2) + lean * (0.12 + 0.18 * low)
    return np.stack([x, y + nod * (0.12 + 0.1 * low)], axis=2)


def placed(flat: Values, pose: Pose) -> Values:
    """Points (F, P, 2) of the turned head in pixels: rolled about the neck, scaled, moved."""
    cos, sin = np.cos(pose.roll)[:, None], np.sin(pose.roll)[:, None]
    x, y = flat[..., 0], flat[..., 1] - 1.2
    across, down = x * cos - y * sin, x * sin + y * cos + 1.2
    size = pose.scale[:, None]
    return np.stack([pose.x[:, None] + size * across, pose.y[:, None] + size * down], axis=2)


def rounded(closed: Values, times: int) -> Values:
    """A closed line (P, 2) with ``times`` as many points: through the same, without corners."""
    before, after = np.roll(closed, 1, axis=0), np.roll(closed, -1, axis=0)
    later = np.roll(closed, -2, axis=0)
    steps = []
    for t in np.arange(times) / times:  # Catmull and Rom's spline
        a = 2 * closed + (after - before) * t
        b = (2 * before - 5 * closed + 4 * after - later) * t**2
        c = (3 * closed - before - 3 * after + later) * t**3
        steps.append((a + b + c) / 2)
    return np.stack(steps, axis=1).reshape(-1, 2)
