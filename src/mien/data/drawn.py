"""Pictures of a head that acts: shaded skin, eyes, brows, nose, lips, hair, ears, neck, clothes.

Painted with polygons at twice the size and shrunk, so that edges are smooth. Skin is a round thing
under a lamp, painted once; what lies on it (sockets, cheeks, folds, the shadow of the nose) is one
soft map of light and dark for each frame.

Axes: H, W of a picture, P points of a polygon.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.data import head
from mien.data.acted import ACTION_UNITS, Acting
from mien.data.head import Looks, Pose, Values

Pixels = NDArray[np.uint8]

FINE = 2  # pixels painted for one that is kept, along each side
_SOFT = 4  # painted pixels for one of the map of light and dark, along each side
_FIXED = 4  # bits of a pixel's fraction
_NEUTRAL = 180  # of the map: neither lighter nor darker


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where somebody is, in which light and clothes.

    Args:
        x: from the left (-1) or the right (1) of the picture.
        y: from above (-1) or below (1).
        level: of everything, about 1.
        fill: how bright the dark side is, 0 to 1.
        colour: (3) of the lamp, about 1 each.
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
    grey = random.uniform(70, 205)
    return Scene(
        x=float(random.uniform(-0.8, 0.8)),
        y=float(random.uniform(-0.9, 0.0)),
        level=float(random.uniform(0.72, 1.1)),
        fill=float(random.uniform(0.35, 0.65)),
        colour=np.clip(random.normal(1, 0.04, 3), 0.9, 1.1),
        cloth=random.uniform(20, 220, 3),
        walls=grey + random.normal(0, 22, 3) + random.normal(0, 14, (2, 3)),
    )


class Painter:
    """Paints one person in one light.

    Args:
        face: how the person looks.
        light: the lamp.
        size: width and height of the pictures.
        random: skin and hair are not smooth, and no two walls alike.
    """

    def __init__(
        self, face: Looks, light: Scene, size: tuple[int, int], random: np.random.Generator
    ) -> None:
        self._face, self._light = face, light
        self._wide, self._tall = FINE * size[0], FINE * size[1]
        self._wall = _wall(light, (self._wide, self._tall), random)
        self._skin = _skin(face, light, random)
        self._strands = _strands(face, random)
        self._shades = random.uniform(0.7, 1.35, len(self._strands))
        self._dark = _tints()

    def paint(self, acting: Acting, pose: Pose) -> list[Pixels]:
        """All frames, (H, W, 3) RGB each."""
        parts = head.points(self._face, acting)
        parts |= _furniture(self._face, len(acting.units))
        flat = head.seen(parts, pose)
        fixed = {k: np.round(v * FINE * 2**_FIXED).astype(np.int32) for k, v in flat.items()}
        frames = []
        for i in range(len(acting.units)):
            at = {name: part[i] for name, part in fixed.items()}
            now = {name: float(acting.units[i, n]) for n, name in enumerate(ACTION_UNITS)}
            size = FINE * float(pose.scale[i])
            picture = self._frame(at, now, size, float(pose.roll[i]))
            small = cv2.resize(picture, None, fx=1 / FINE, fy=1 / FINE, interpolation=cv2.INTER_AREA)
            frames.append(np.asarray(small, np.uint8))
        return frames

    def _frame(self, at: dict[str, NDArray[np.int32]], now: dict[str, float], size: float, roll: float) -> Pixels:
        picture = self._wall.copy()
        self._behind(picture, at, size)
        self._cover(picture, at, now, size, roll)
        for side in ("left", "right"):
            self._eye(picture, at, side, size)
            _fill(picture, at[f"{side} brow"], self._lit(self._face.hair * 0.62))
        self._nose(picture, at, size)
        self._mouth(picture, at, size)
        self._hair(picture, at, size)
        if self._face.glasses:
            self._glasses(picture, at, size)
        return picture

    def _lit(self, colour: Values, share: float = 1.0) -> tuple[int, int, int]:
        lit = np.clip(colour * self._light.colour * self._light.level * share, 0, 255)
        red, green, blue = lit.astype(int).tolist()
        return red, green, blue

    # -- the head ----------------------------------------------------------------------------------

    def _behind(self, picture: Pixels, at: dict[str, NDArray[np.int32]], size: float) -> None:
        """Long hair, shoulders, neck and ears."""
        face = self._face
        if "mane" in at:
            _fill(picture, at["mane"], self._lit(face.hair * 0.6))
        _fill(picture, at["shoulders"], self._lit(self._light.cloth))
        _fill(picture, at["neck"], self._lit(face.skin, 0.66))
        _fill(picture, at["neck light"], self._lit(face.skin, 0.78))
        for side in ("left", "right"):
            share = 0.82 - 0.12 * self._light.x * (1 if side == "left" else -1)
            _fill(picture, at[f"{side} ear"], self._lit(face.skin * [1, 0.93, 0.92], share))
            _fill(picture, at[f"{side} shell"], self._lit(face.skin * [1, 0.86, 0.84], share * 0.75))

    def _cover(self, picture: Pixels, at: dict[str, NDArray[np.int32]], now: dict[str, float], size: float, roll: float) -> None:
        """Skin within the outline, under the map of light and dark."""
        left, top, wide, tall = _window(at["outline"], picture)
        if wide < 8 or tall < 8:
            return
        ridge = at["outline"].astype(np.float64) / 2**_FIXED
        middle = (ridge.max(axis=0) + ridge.min(axis=0)) / 2
        scale, cos, sin = size / _GRAIN, np.cos(roll), np.sin(roll)
        matrix = np.asarray([[cos * scale, -sin * scale, 0], [sin * scale, cos * scale, 0]])
        matrix[:, 2] = middle - [left, top] - matrix[:, :2] @ (np.asarray(self._skin.shape[1::-1]) / 2)
        skin = cv2.warpAffine(self._skin, matrix, (wide, tall), borderMode=cv2.BORDER_REPLICATE)
        soft = self._map(at, now, size, (left, top, wide, tall))
        tinted = cv2.LUT(cv2.merge([soft, soft, soft]), self._dark)
        tinted = cv2.resize(tinted, (wide, tall), interpolation=cv2.INTER_LINEAR)
        skin = cv2.multiply(skin, tinted, scale=1 / _NEUTRAL)
        mask = np.zeros((tall, wide), np.uint8)
        offset = (-left * 2**_FIXED, -top * 2**_FIXED)
        cv2.fillPoly(mask, [at["outline"] + offset], (255,), cv2.LINE_8, _FIXED)
        cv2.copyTo(skin, mask, picture[top : top + tall, left : left + wide])

    def _map(self, at: dict[str, NDArray[np.int32]], now: dict[str, float], size: float, window: tuple[int, int, int, int]) -> Pixels:
        """What is lighter and darker on the skin, (H, W)."""
        left, top, wide, tall = window
        soft = np.full((-(-tall // _SOFT), -(-wide // _SOFT)), _NEUTRAL, np.uint8)
        shift = np.asarray([left, top]) * 2**_FIXED
        small = {name: (part - shift) // _SOFT for name, part in at.items()}
        unit = size / _SOFT
        self._forms(soft, small, now, unit)
        soft = cv2.blur(cv2.blur(soft, _odd(unit * 0.11)), _odd(unit * 0.11))
        self._creases(soft, small, now, unit)
        return np.asarray(cv2.blur(soft, _odd(unit * 0.035)), np.uint8)

    def _forms(self, soft: Pixels, at: dict[str, NDArray[np.int32]], now: dict[str, float], unit: float) -> None:
        """Large soft forms: sockets, cheeks, the sides of the nose, chin, beard."""
        lamp, n = self._light.x, _NEUTRAL
        for sign, side in ((-1, "left"), (1, "right")):
            socket = np.concatenate([at[f"{side} brow"][7:], at[f"{side} lower lid"][:: sign or 1]])
            _fill(soft, cv2.convexHull(socket)[:, 0], n - 52)
            _dot(soft, at[f"{side} cheek"][0], unit * 0.24, n + 20 + int(16 * now["AU12"]) - int(14 * lamp * sign * -1))
            fold = at[f"{side} fold"]
            deep = 12 + 34 * max(now["AU12"], 0.9 * now["AU10"])
            _line(soft, fold, unit * 0.09, n - int(deep))
        ridge, wings = at["ridge"], at["wings"]
        dark = wings[1 if lamp < 0 else 0]
        _fill(soft, np.stack([ridge[0], ridge[3], dark]), n - 34 - int(20 * abs(lamp)))
        _fill(soft, np.stack([wings[0], wings[1], at["upper lip"][5], at["upper lip"][3]]), n - 30)
        low = at["lower lip"]
        _dot(soft, low[4] + [0, int(unit * 0.10 * 16)], unit * 0.13, n - 30)
        if self._face.beard:
            self._beard(soft, at, unit)

    def _beard(self, soft: Pixels, at: dict[str, NDArray[np.int32]], unit: float) -> None:
        chin = at["outline"][16:45]
        around = np.concatenate([chin, at["left fold"][3:], at["lower lip"][::-1][8:], at["lower lip"], at["right fold"][:2:-1]])
        del around
        jaw = np.concatenate([chin, at["left fold"][2:5], at["lower lip"][1:8], at["right fold"][4:1:-1]])
        _fill(soft, jaw, int(_NEUTRAL * (1 - 0.75 * self._face.beard)))

    def _creases(self, soft: Pixels, at: dict[str, NDArray[np.int32]], now: dict[str, float], unit: float) -> None:
        """Small forms: ridge and tip of the nose, folds, wrinkles, the shadow below it."""
        n = _NEUTRAL
        ridge, wings = at["ridge"], at["wings"]
        _line(soft, ridge, unit * 0.10, n + 26)
        _dot(soft, ridge[3], unit * 0.10, n + 34)
        under = ridge[3] + [0, int(unit * 0.10 * 16)]
        _line(soft, np.stack([wings[0], under, wings[1]]), unit * 0.05, n - 46)
        for side in ("left", "right"):
            lower, brow = at[f"{side} lower lid"], at[f"{side} brow"]
            bag = lower + [0, int(unit * 0.075 * 16)]
            _line(soft, bag[2:7], unit * 0.035, n - 14 - int(30 * now["AU6"]))
            lifted = now["AU1"] + now["AU2"]
            if lifted > 0.3:
                for k in (1, 2):
                    _line(soft, brow[:6] - [0, int(unit * 0.14 * 16 * k)], unit * 0.025, n - int(24 * lifted))
            if now["AU4"] > 0.15:
                inner = brow[0]
                crease = np.stack([inner - [0, int(unit * 0.16 * 16)], inner + [0, int(unit * 0.06 * 16)]])
                middle = (at["left brow"][0] + at["right brow"][0]) // 2
                crease = crease + (middle - inner) // 3
                _line(soft, crease, unit * 0.035, n - int(70 * now["AU4"]))
        if self._face.moustache:
            top, line = at["upper lip"], at["ridge"][3:] + [0, int(unit * 0.13 * 16)]
            tache = np.concatenate([top, line])
            _fill(soft, tache, int(n * (1 - 0.7 * self._face.moustache)))

    # -- features ----------------------------------------------------------------------------------

    def _eye(self, picture: Pixels, at: dict[str, NDArray[np.int32]], side: str, size: float) -> None:
        upper, lower, iris = at[f"{side} upper lid"], at[f"{side} lower lid"], at[f"{side} iris"][0]
        edge = np.concatenate([upper, lower[::-1]])
        left, top, wide, tall = _window(edge, picture)
        if wide > 1 and tall > 1:
            shift = np.asarray([left, top]) * 2**_FIXED
            eye = np.full((tall, wide, 3), self._lit(np.asarray([236.0, 232, 226]), 0.86), np.uint8)
            at_, reach = iris - shift, size * 0.098 * self._face.eyes
            _dot(eye, at_, reach, self._lit(self._face.iris * 0.55))
            _dot(eye, at_, reach * 0.8, self._lit(self._face.iris * 1.1))
            _dot(eye, at_, reach * 0.45, (14, 12, 12))
            _line(eye, upper - shift + [0, int(size * 0.02 * 16)], size * 0.05, self._lit(np.asarray([150.0, 130, 122]), 0.8))
            glint = at_ + [int(size * 0.035 * 16 * (1 if self._light.x > 0 else -1)), -int(size * 0.035 * 16)]
            _dot(eye, glint, size * 0.02, (250, 250, 250))
            mask = np.zeros((tall, wide), np.uint8)
            cv2.fillPoly(mask, [edge - shift], (255,), cv2.LINE_8, _FIXED)
            cv2.copyTo(eye, mask, picture[top : top + tall, left : left + wide])
        _line(picture, upper, size * 0.038, self._lit(self._face.hair * 0.35 + 8))
        _line(picture, lower[1:8], size * 0.014, self._lit(self._face.skin * [0.62, 0.46, 0.42]))

    def _nose(self, picture: Pixels, at: dict[str, NDArray[np.int32]], size: float) -> None:
        dark = self._lit(self._face.skin * [0.36, 0.24, 0.22])
        for hole in at["nostrils"]:
            axes = (int(size * 0.052 * 16), int(size * 0.026 * 16))
            cv2.ellipse(picture, _pair(hole), axes, 0, 0, 360, dark, -1, cv2.LINE_AA, _FIXED)
        soft = self._lit(self._face.skin * [0.62, 0.47, 0.43])
        for sign, wing in zip((-1, 1), at["wings"], strict=True):
            turn = np.asarray([[0.01, -0.10], [0.035, -0.02], [0.0, 0.06], [-0.06, 0.075]])
            curve = wing + (turn * [sign * size * 16, size * 16]).astype(int)
            _line(picture, curve, size * 0.018, soft)

    def _mouth(self, picture: Pixels, at: dict[str, NDArray[np.int32]], size: float) -> None:
        face = self._face
        upper, high, low, lower = (at[k] for k in ("upper lip", "upper line", "lower line", "lower lip"))
        _fill(picture, np.concatenate([upper, high[::-1]]), self._lit(face.lips, 0.84))
        _fill(picture, np.concatenate([low, lower[::-1]]), self._lit(face.lips, 0.98))
        shine = (low[2:7] + lower[2:7]) // 2
        _line(picture, shine[1:4], size * 0.03, self._lit(face.lips * 1.16))
        inside = np.concatenate([high, low[::-1]])
        left, top, wide, tall = _window(inside, picture)
        if wide > 1 and tall > 1:
            shift = np.asarray([left, top]) * 2**_FIXED
            hole = np.full((tall, wide, 3), self._lit(np.asarray([70.0, 26, 28])), np.uint8)
            teeth = np.concatenate([high, (high + [0, int(size * 0.075 * 16)])[::-1]]) - shift
            _fill(hole, teeth, self._lit(np.asarray([226.0, 220, 208]), 0.9))
            mask = np.zeros((tall, wide), np.uint8)
            cv2.fillPoly(mask, [inside - shift], (255,), cv2.LINE_8, _FIXED)
            cv2.copyTo(hole, mask, picture[top : top + tall, left : left + wide])
        _line(picture, high, size * 0.022, self._lit(face.lips * [0.5, 0.38, 0.38]))

    def _hair(self, picture: Pixels, at: dict[str, NDArray[np.int32]], size: float) -> None:
        if "cap" not in at:
            return
        _fill(picture, at["cap"], self._lit(self._face.hair))
        for i, shade in enumerate(self._shades):
            _line(picture, at[f"strand {i}"], size * 0.022, self._lit(self._face.hair * shade))

    def _glasses(self, picture: Pixels, at: dict[str, NDArray[np.int32]], size: float) -> None:
        dark = self._lit(np.asarray([40.0, 36, 36]))
        for side in ("left", "right"):
            cv2.polylines(picture, [at[f"{side} glass"]], True, dark, max(1, int(size * 0.03)), cv2.LINE_AA, _FIXED)
        _line(picture, np.stack([at["left glass"][0], at["right glass"][6]]), size * 0.03, dark)


# -- what is painted once --------------------------------------------------------------------------

_GRAIN = 56  # pixels of the skin's texture in half of a face's width


def _skin(face: Looks, light: Scene, random: np.random.Generator) -> Pixels:
    """A round thing under the lamp, with the blush of cheeks, nose and chin; (H, W, 3)."""
    wide, tall = int(2.5 * _GRAIN), int(3.4 * _GRAIN)
    x = (np.arange(wide) - wide / 2) / _GRAIN  # in halves of a face's width, from the middle
    y = ((np.arange(tall) - tall / 2) / _GRAIN)[:, None]
    u, v = x / 1.12, y / 1.72
    depth = np.sqrt(np.clip(1 - u**2 - v**2, 0.02, 1))
    lamp = np.asarray([light.x, light.y, 0.9])
    lamp /= np.linalg.norm(lamp)
    lit = np.clip(u * lamp[0] + v * lamp[1] + depth * lamp[2], 0, 1)
    shade = light.fill + (1 - light.fill) * lit
    rough = cv2.resize(random.normal(0, 1, (tall // 7, wide // 7)), (wide, tall), interpolation=cv2.INTER_CUBIC)
    blush = sum(
        np.exp(-(((x - at) / 0.3) ** 2) - ((y - down) / 0.26) ** 2)
        for at, down in ((-0.55, 0.25), (0.55, 0.25), (0.0, 0.35))
    )
    colour = face.skin * (1 - np.asarray([0.0, 0.085, 0.09]) * np.asarray(blush)[..., None])
    colour = colour * (1.04 * shade + 0.012 * rough)[..., None]
    return np.clip(colour * light.colour * light.level, 0, 255).astype(np.uint8)


def _wall(light: Scene, size: tuple[int, int], random: np.random.Generator) -> Pixels:
    """A gradient, with a few soft shapes on it."""
    wide, tall = size
    t = np.linspace(0, 1, tall)[:, None, None]
    s = np.linspace(-1, 1, wide)[None, :, None]
    wall = light.walls[0] * (1 - t) + light.walls[1] * t
    wall = np.clip(wall * (1 + 0.18 * light.x * s) * light.colour * light.level, 0, 255).astype(np.uint8)
    for _ in range(int(random.integers(0, 5))):
        colour = np.clip(light.walls.mean(axis=0) + random.normal(0, 30, 3), 0, 255) * light.level
        one, two = (random.uniform(-0.1, 1.1, 2) * [wide, tall] for _ in range(2))
        cv2.rectangle(wall, _pair(one), _pair(two), colour.clip(0, 255).astype(int).tolist(), -1)
    return np.asarray(cv2.blur(wall, (9, 9)), np.uint8)


def _tints() -> NDArray[np.uint8]:
    """The map of light and dark as colours (1, 256, 3): dark skin is redder, not greyer."""
    dark = np.arange(256, dtype=np.float64)[:, None]
    weight = np.where(dark < _NEUTRAL, np.asarray([0.82, 1.04, 1.08]), 1.0)
    return np.clip(_NEUTRAL + (dark - _NEUTRAL) * weight, 0, 255).astype(np.uint8)[None]


_TOP = np.linspace(-1.18, 1.18, 15)  # angles over the skull, from temple to temple


def _furniture(face: Looks, frames: int) -> dict[str, Values]:
    """What surrounds a face, (F, P, 3) each: ears, neck, shoulders, hair, glasses."""
    parts: dict[str, Values] = {}
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for sign, side in ((-1, "left"), (1, "right")):
        ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
        ear = ring * [0.13, 0.27, 0] + [sign * 1.02 * face.width, 0.16, -0.1]
        parts[f"{side} ear"] = ear
        parts[f"{side} shell"] = ear * [1, 1, 1] * 0.6 + np.asarray([sign * 1.02 * face.width, 0.16, -0.1]) * 0.4
        parts[f"{side} glass"] = ring * [0.33, 0.27, 0] + [sign * 0.47, 0.02, 0.95]
        parts[f"{side} glass"] = np.roll(parts[f"{side} glass"], 8 if sign > 0 else 0, axis=0)
    neck = [[-0.52, 0.9], [0.52, 0.9], [0.56, 1.9], [0.8, 2.2], [-0.8, 2.2], [-0.56, 1.9]]
    parts["neck"] = _flat(neck, -0.2)
    parts["neck light"] = _flat([[-0.40, 1.75], [0.40, 1.75], [0.55, 2.2], [-0.55, 2.2]], -0.2)
    parts["shoulders"] = _flat([[-0.62, 1.85], [-1.5, 2.15], [-2.1, 2.6], [-2.3, 4.5], [2.3, 4.5], [2.1, 2.6], [1.5, 2.15], [0.62, 1.85], [0.0, 2.35]], -0.2)
    parts |= _hairdo(face)
    return {name: np.broadcast_to(part, (frames, *part.shape)) for name, part in parts.items()}


def _flat(points: list[list[float]], depth: float) -> Values:
    return np.asarray([[x, y, depth] for x, y in points], np.float64)


def _hairdo(face: Looks) -> dict[str, Values]:
    style = head.STYLES[face.style]
    if style == "shaved":
        return {}
    thick = {"short": 0.07, "parted": 0.13, "long": 0.12, "curly": 0.24, "tied": 0.06}[style]
    over = np.stack([np.sin(_TOP) * (1.02 + thick), -0.28 - np.cos(_TOP) * (1.14 + thick), 0 * _TOP + 0.05], axis=1)
    if style == "curly":
        over[:, :2] *= 1 + 0.035 * np.cos(np.arange(15) * 2.6)[:, None]
    part = {"parted": 0.45}.get(style, 0.0)
    across = np.linspace(1, -1, 11)
    line = -0.93 - 0.16 * np.cos(across * 1.4) + 0.62 * np.abs(across) ** 3 + 0.16 * part * across
    if style == "short":
        line = line + 0.05 * np.cos(across * 9)
    under = np.stack([across * 0.99, line, 0.62 * (1 - across**2) + 0.1], axis=1)
    parts = {"cap": np.concatenate([over, under])}
    if style == "long":
        parts["mane"] = _flat([[-1.16, -0.6], [-1.3, 0.4], [-1.34, 1.6], [-1.15, 2.3], [1.15, 2.3], [1.34, 1.6], [1.3, 0.4], [1.16, -0.6], [0.7, -1.4], [-0.7, -1.4]], -0.3)
    for i, strand in enumerate(_strands(face, np.random.default_rng(face.style))):
        parts[f"strand {i}"] = strand
    return parts


def _strands(face: Looks, random: np.random.Generator) -> list[Values]:
    """Lines from the hairline over the skull, (3, 3) each."""
    if head.STYLES[face.style] == "shaved":
        return []
    strands = []
    for at in np.linspace(-0.92, 0.92, 18):
        low = -0.93 - 0.16 * np.cos(at * 1.4) + 0.62 * abs(at) ** 3
        top = at * 0.75 + random.normal(0, 0.05)
        angle = np.clip(top * 1.15, -1.1, 1.1)
        end = [np.sin(angle) * 1.0, -0.28 - np.cos(angle) * 1.17, 0.1]
        start = [at * 0.98, low - 0.02, 0.62 * (1 - at**2) + 0.1]
        middle = [(start[0] + end[0]) / 2 + random.normal(0, 0.03), (start[1] + end[1]) / 2, 0.5]
        strands.append(np.asarray([start, middle, end]))
    return strands


# -- brushes ---------------------------------------------------------------------------------------


def _fill(picture: Pixels, polygon: NDArray[np.int32], colour: object) -> None:
    cv2.fillPoly(picture, [np.ascontiguousarray(polygon, np.int32)], colour, cv2.LINE_8, _FIXED)


def _line(picture: Pixels, line: NDArray[np.int32], width: float, colour: object) -> None:
    thick = max(1, round(width))
    cv2.polylines(picture, [np.ascontiguousarray(line, np.int32)], False, colour, thick, cv2.LINE_AA, _FIXED)


def _dot(picture: Pixels, middle: NDArray[np.int32], radius: float, colour: object) -> None:
    cv2.circle(picture, _pair(middle), max(1, int(radius * 2**_FIXED)), colour, -1, cv2.LINE_AA, _FIXED)


def _pair(values: NDArray[np.generic]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _odd(size: float) -> tuple[int, int]:
    side = 2 * round(size / 2) + 1
    return side, side


def _window(points: NDArray[np.int32], picture: Pixels) -> tuple[int, int, int, int]:
    """Left, top, width and height of what points cover of a picture."""
    low = np.maximum(points.min(axis=0) // 2**_FIXED - 1, 0)
    high = points.max(axis=0) // 2**_FIXED + 2
    right, bottom = min(int(high[0]), picture.shape[1]), min(int(high[1]), picture.shape[0])
    left, top = int(low[0]), int(low[1])
    return left, top, right - left, bottom - top


del pairwise
