"""Pictures of a head that acts: shaded skin, eyes, brows, nose, lips, hair, ears, neck, clothes.

Painted with polygons at twice the size and shrunk, so that edges are smooth. Skin is a round thing
under a lamp, painted once; what lies on it (sockets, cheeks, folds, the shadow of the nose) is one
soft map of light and dark for each frame.

Axes: F frames; H, W of a picture; P points of a polygon.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mien.data import canvas, head
from mien.data.acted import ACTION_UNITS, Acting
from mien.data.attire import attire
from mien.data.canvas import NEUTRAL, Pixels, Points, dot, fill, line, oval, shifted
from mien.data.head import Looks, Pose, Values

At = dict[str, Points]
"""Where the parts of a head are in one frame."""

_FINE = 2  # pixels painted for one that is kept, along each side
_AWAY = 0.85  # radians: who is turned by more shows the back of the head
_SOFT = 4  # painted pixels for one of the map of light and dark, along each side


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where somebody is, in which light and clothes.

    Args:
        x: light comes from the left (-1) or the right (1) of the picture.
        y: from above (-1) or below (1).
        level: of all light, about 1.
        fill: how bright the dark side is, 0 to 1.
        colour: (3) of the light, about 1 each.
        cloth: RGB of the clothes.
        walls: (2, 3) RGB of what is behind, above and below.
    """

    x: float
    y: float
    level: float
    fill: float
    colour: Values
    cloth: Values
    walls: Values


def scene(random: np.random.Generator) -> Scene:
    """Anywhere."""
    return Scene(
        x=float(random.uniform(-0.8, 0.8)),
        y=float(random.uniform(-0.9, 0.0)),
        level=float(random.uniform(0.72, 1.1)),
        fill=float(random.uniform(0.35, 0.65)),
        colour=np.clip(random.normal(1, 0.04, 3), 0.9, 1.1),
        cloth=random.uniform(40, 190) + random.normal(0, 26, 3),
        walls=random.uniform(70, 205) + random.normal(0, 15, 3) + random.normal(0, 10, (2, 3)),
    )


class Painter:
    """Paints one person in one scene.

    Args:
        looks: of the person.
        scene: light, clothes and walls.
        size: width and height of the pictures.
        random: skin and hair are not smooth, and no two walls are alike.
    """

    def __init__(
        self, looks: Looks, scene: Scene, size: tuple[int, int], random: np.random.Generator
    ) -> None:
        self._looks, self._scene = looks, scene
        lit = scene.colour * scene.level
        fine = (_FINE * size[0], _FINE * size[1])
        self._wall = canvas.wall(scene.walls * lit, scene.x, fine, random)
        self._skin = canvas.skin(looks.skin * lit, (scene.x, scene.y), scene.fill, random)
        self._tints, self._attire = canvas.tints(), attire(looks)
        self._ink = {
            name: tuple(np.clip(colour * lit, 0, 255).tolist())
            for name, colour in _palette(looks, scene).items()
        }
        strands = sum(name.startswith("strand") for name in self._attire)
        self._strands = [
            tuple(np.clip(looks.hair * shade * lit, 0, 255).tolist())
            for shade in random.uniform(0.7, 1.35, strands)
        ]

    def paint(self, acting: Acting, pose: Pose) -> Iterator[Pixels]:
        """All frames, (H, W, 3) RGB each, one after the other."""
        frames = len(acting.units)
        parts = head.points(self._looks, acting)
        for name, part in self._attire.items():
            parts[name] = np.broadcast_to(part, (frames, *part.shape))
        placed = {name: canvas.fixed(_FINE * part) for name, part in head.seen(parts, pose).items()}
        for i in range(frames):
            at = {name: part[i] for name, part in placed.items()}
            units = dict(zip(ACTION_UNITS, acting.units[i].tolist(), strict=True))
            size, roll = _FINE * float(pose.scale[i]), float(pose.roll[i])
            picture = self._frame(at, units, size, roll, away=abs(float(pose.yaw[i])) > _AWAY)
            small = cv2.resize(
                picture, None, fx=1 / _FINE, fy=1 / _FINE, interpolation=cv2.INTER_AREA
            )
            yield np.asarray(small, np.uint8)

    def _frame(
        self, at: At, units: dict[str, float], size: float, roll: float, *, away: bool
    ) -> Pixels:
        """One frame at twice its size; ``size`` are the pixels in half of the face's width."""
        picture = self._wall.copy()
        self._behind(picture, at)
        if away:
            edge = at["outline"]  # (60, 2), clockwise from the top
            fill(picture, edge, self._ink["neck light"])
            if "cap" in at:
                fill(picture, np.concatenate([edge[40:], edge[:21]]), self._ink["hair"])
            return picture
        self._face(picture, at, units, size, roll)
        for side in ("left", "right"):
            self._eye(picture, at, side, size)
            fill(picture, at[f"{side} brow"], self._ink["brows"])
        self._nose(picture, at, size)
        self._mouth(picture, at, size)
        self._front(picture, at, size)
        return picture

    # -- the head ----------------------------------------------------------------------------------

    def _behind(self, picture: Pixels, at: At) -> None:
        """Long hair, shoulders, neck and ears."""
        for name in ("mane", "shoulders", "neck", "neck light"):
            if name in at:
                fill(picture, at[name], self._ink[name])
        for side in ("left", "right"):
            fill(picture, at[f"{side} ear"], self._ink[f"{side} ear"])
            fill(picture, at[f"{side} shell"], self._ink[f"{side} shell"])

    def _face(
        self, picture: Pixels, at: At, units: dict[str, float], size: float, roll: float
    ) -> None:
        """Skin within the outline, under the map of light and dark."""
        edge = at["outline"]
        left, top, wide, tall = canvas.window(edge, picture)
        if min(wide, tall) < 2 * _SOFT:
            return
        middle = (edge.max(axis=0) + edge.min(axis=0)) / 2 / canvas.PIXEL - [left, top]
        scale = size / canvas.GRAIN
        turn = scale * np.asarray([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        start = middle - turn @ (np.asarray(self._skin.shape[1::-1]) / 2)
        matrix = np.concatenate([turn, start[:, None]], axis=1)
        skin = cv2.warpAffine(
            self._skin, matrix, (wide, tall), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        soft = self._map(at, units, size, (left, top, wide, tall))
        tinted = cv2.LUT(cv2.merge([soft, soft, soft]), self._tints)
        tinted = cv2.resize(tinted, (wide, tall), interpolation=cv2.INTER_LINEAR)
        shaded = np.asarray(cv2.multiply(skin, tinted, scale=1 / NEUTRAL), np.uint8)
        canvas.within(picture, edge, shaded, left, top)

    def _map(
        self, at: At, units: dict[str, float], size: float, place: tuple[int, int, int, int]
    ) -> Pixels:
        """What is lighter and darker on the skin of a part of the picture, (H, W)."""
        left, top, wide, tall = place
        soft = np.full((-(-tall // _SOFT), -(-wide // _SOFT)), NEUTRAL, np.uint8)
        near = {name: shifted(part, -left, -top) // _SOFT for name, part in at.items()}
        unit = size / _SOFT
        self._forms(soft, near, units, unit)
        soft = canvas.blurred(canvas.blurred(soft, unit * 0.11), unit * 0.11)
        self._creases(soft, near, units, unit)
        return canvas.blurred(soft, unit * 0.035)

    def _forms(self, soft: Pixels, at: At, units: dict[str, float], unit: float) -> None:
        """Large forms: sockets, cheeks, the sides of the nose, chin, beard."""
        lamp = self._scene.x
        for sign, side in ((-1, "left"), (1, "right")):
            around = np.concatenate([at[f"{side} brow"][7:], at[f"{side} lower lid"]])
            fill(soft, np.asarray(cv2.convexHull(around)[:, 0], np.int32), NEUTRAL - 52)
            cheek = NEUTRAL + 20 + 16 * units["AU12"] + 14 * lamp * sign
            dot(soft, at[f"{side} cheek"][0], unit * 0.24, cheek)
            deep = 12 + 34 * max(units["AU12"], 0.9 * units["AU10"])
            line(soft, at[f"{side} fold"], unit * 0.09, NEUTRAL - deep)
        ridge, wings, upper, lower = (at[n] for n in ("ridge", "wings", "upper lip", "lower lip"))
        shade = np.stack([ridge[0], ridge[3], wings[1 if lamp < 0 else 0]])
        fill(soft, shade, NEUTRAL - 34 - 20 * abs(lamp))
        fill(soft, np.stack([wings[0], wings[1], upper[5], upper[3]]), NEUTRAL - 30)
        dot(soft, shifted(lower[4], 0, unit * 0.10), unit * 0.13, NEUTRAL - 30)
        if self._looks.beard:
            jaw = [at["outline"][16:45], at["left fold"][2:5], lower[1:8], at["right fold"][4:1:-1]]
            fill(soft, np.concatenate(jaw), NEUTRAL * (1 - 0.75 * self._looks.beard))

    def _creases(self, soft: Pixels, at: At, units: dict[str, float], unit: float) -> None:
        """Small forms: ridge and tip of the nose, its shadow, bags, wrinkles, a moustache."""
        ridge, wings = at["ridge"], at["wings"]
        line(soft, ridge, unit * 0.10, NEUTRAL + 26)
        dot(soft, ridge[3], unit * 0.10, NEUTRAL + 34)
        under = np.stack([wings[0], shifted(ridge[3], 0, unit * 0.10), wings[1]])
        line(soft, under, unit * 0.05, NEUTRAL - 46)
        middle = (at["left brow"][0] + at["right brow"][0]) // 2
        lifted = units["AU1"] + units["AU2"]
        for side in ("left", "right"):
            brow = at[f"{side} brow"]
            bag = shifted(at[f"{side} lower lid"][2:7], 0, unit * 0.075)
            line(soft, bag, unit * 0.035, NEUTRAL - 14 - 30 * units["AU6"])
            for k in (1, 2) if lifted > 0.3 else ():
                wrinkle = shifted(brow[:6], 0, -unit * 0.14 * k)
                line(soft, wrinkle, unit * 0.025, NEUTRAL - 24 * lifted)
            if units["AU4"] > 0.15:
                near = brow[0] + (middle - brow[0]) // 3
                crease = np.stack([shifted(near, 0, down * unit) for down in (-0.16, 0.06)])
                line(soft, crease, unit * 0.035, NEUTRAL - 70 * units["AU4"])
        if self._looks.moustache:
            above = shifted(ridge[3:], 0, unit * 0.13)
            over = np.concatenate([at["upper lip"], above])
            fill(soft, over, NEUTRAL * (1 - 0.7 * self._looks.moustache))

    # -- features ----------------------------------------------------------------------------------

    def _eye(self, picture: Pixels, at: At, side: str, size: float) -> None:
        upper, lower, iris = (at[f"{side} {n}"] for n in ("upper lid", "lower lid", "iris"))
        edge = np.concatenate([upper, lower[::-1]])
        left, top, wide, tall = canvas.window(edge, picture)
        if wide and tall:
            eye = np.full((tall, wide, 3), self._ink["sclera"], np.uint8)
            middle, reach = shifted(iris[0], -left, -top), size * 0.098 * self._looks.eyes
            dot(eye, middle, reach, self._ink["rim"])
            dot(eye, middle, reach * 0.8, self._ink["iris"])
            dot(eye, middle, reach * 0.45, (14, 12, 12))
            shade = shifted(upper, -left, -top + size * 0.02)
            line(eye, shade, size * 0.05, self._ink["lid"])
            towards = size * 0.035 * (1 if self._scene.x > 0 else -1)
            dot(eye, shifted(middle, towards, -size * 0.035), size * 0.02, (250, 250, 250))
            canvas.within(picture, edge, eye, left, top)
        line(picture, upper, size * 0.038, self._ink["lashes"])
        line(picture, lower[1:8], size * 0.014, self._ink["edge"])

    def _nose(self, picture: Pixels, at: At, size: float) -> None:
        for hole in at["nostrils"]:
            oval(picture, hole, size * 0.052, size * 0.026, self._ink["holes"])
        turn = np.asarray([[0.01, -0.10], [0.035, -0.02], [0.0, 0.06], [-0.06, 0.075]])
        for side, wing in zip((-1, 1), at["wings"], strict=True):
            curve = wing + canvas.fixed(size * turn * [side, 1])
            line(picture, curve, size * 0.018, self._ink["edge"])

    def _mouth(self, picture: Pixels, at: At, size: float) -> None:
        upper, high, low, lower = (
            at[n] for n in ("upper lip", "upper line", "lower line", "lower lip")
        )
        fill(picture, np.concatenate([upper, high[::-1]]), self._ink["upper lip"])
        fill(picture, np.concatenate([low, lower[::-1]]), self._ink["lower lip"])
        line(picture, (low[3:6] + lower[3:6]) // 2, size * 0.03, self._ink["shine"])
        inside = np.concatenate([high, low[::-1]])
        left, top, wide, tall = canvas.window(inside, picture)
        if wide and tall:
            hole = np.full((tall, wide, 3), self._ink["throat"], np.uint8)
            teeth = np.concatenate([high, shifted(high, 0, size * 0.075)[::-1]])
            fill(hole, shifted(teeth, -left, -top), self._ink["teeth"])
            canvas.within(picture, inside, hole, left, top)
        line(picture, high, size * 0.022, self._ink["line"])

    def _front(self, picture: Pixels, at: At, size: float) -> None:
        """Hair over the forehead, and glasses."""
        if "cap" in at:
            fill(picture, at["cap"], self._ink["hair"])
        for i, ink in enumerate(self._strands):
            line(picture, at[f"strand {i}"], size * 0.022, ink)
        if "left glass" in at:
            for side in ("left", "right"):
                line(picture, at[f"{side} glass"], size * 0.03, self._ink["frame"], closed=True)
            bridge = np.stack([at["left glass"][0], at["right glass"][0]])
            line(picture, bridge, size * 0.03, self._ink["frame"])


def _palette(looks: Looks, scene: Scene) -> dict[str, Values]:
    """Colours of all that is painted flat, in a light of 1."""
    skin, hair, lips = looks.skin, looks.hair, looks.lips
    flat = {
        "mane": hair * 0.6, "shoulders": scene.cloth, "neck": skin * 0.66,
        "neck light": skin * 0.78, "brows": hair * 0.62, "hair": hair, "lashes": hair * 0.35 + 8,
        "rim": looks.iris * 0.55, "iris": looks.iris * 1.1, "edge": skin * [0.62, 0.47, 0.43],
        "holes": skin * [0.36, 0.24, 0.22], "upper lip": lips * 0.84, "lower lip": lips * 0.98,
        "shine": lips * 1.16, "line": lips * [0.5, 0.38, 0.38],
    }  # fmt: skip
    for sign, side in ((-1, "left"), (1, "right")):
        share = 0.82 + 0.12 * scene.x * sign
        flat[f"{side} ear"] = skin * [1, 0.93, 0.92] * share
        flat[f"{side} shell"] = skin * [0.75, 0.645, 0.63] * share
    fixed = {
        "sclera": (203, 200, 194), "lid": (120, 104, 98), "throat": (70, 26, 28),
        "teeth": (203, 198, 187), "frame": (40, 36, 36),
    }  # fmt: skip
    return flat | {name: np.asarray(colour, np.float64) for name, colour in fixed.items()}
