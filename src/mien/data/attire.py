"""What surrounds a face: hair, ears, neck, shoulders, glasses; where it lies on the head.

Lengths as in `mien.data.head`. Each part is (P, 3).
"""

from __future__ import annotations

import numpy as np

from mien.data.head import STYLES, Looks, Values, rounded

_THICK = {"short": 0.08, "parted": 0.15, "long": 0.14, "curly": 0.26, "tied": 0.07}
_OVER = np.linspace(-1.2, 1.2, 15)  # angles over the skull, from temple to temple
_ACROSS = np.linspace(1, -1, 11)  # along the hairline, from right to left
_DEEP = -0.2  # of what lies behind the face


def attire(looks: Looks) -> dict[str, Values]:
    """All of it: ears, neck, shoulders, and hair and glasses of those who have some."""
    parts: dict[str, Values] = {}
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    for side, name in ((-1, "left"), (1, "right")):
        middle = np.asarray([side * 1.03 * looks.width, 0.16, -0.1])
        parts[f"{name} ear"] = ring * [0.13, 0.27, 0] + middle
        parts[f"{name} shell"] = ring * [0.07, 0.16, 0] + middle
        if looks.glasses:
            glass = ring * [0.33, 0.27, 0] + [side * 0.47, 0.02, 0.95]
            parts[f"{name} glass"] = glass if side < 0 else glass * [-1, 1, 1] + [0.94, 0, 0]
    neck = [[-0.52, 0.9], [0.52, 0.9], [0.56, 1.9], [0.8, 2.3], [-0.8, 2.3], [-0.56, 1.9]]
    light = [[-0.40, 1.75], [0.40, 1.75], [0.55, 2.3], [-0.55, 2.3]]
    half = [[0.0, 2.4], [0.60, 1.86], [0.98, 2.02], [1.5, 2.2], [1.98, 2.6], [2.2, 4.6]]
    shoulders = half + [[-x, y] for x, y in half[:0:-1]]
    parts |= {"neck": _flat(neck), "neck light": _flat(light), "shoulders": _flat(shoulders)}
    return parts | _hair(looks)


def _flat(points: list[list[float]]) -> Values:
    return np.asarray([[x, y, _DEEP] for x, y in points], np.float64)


def _hair(looks: Looks) -> dict[str, Values]:
    style = STYLES[looks.style]
    if style == "shaved":
        return {}
    thick = _THICK[style]
    reach = 1.02 + thick + (0.035 * np.cos(np.arange(len(_OVER)) * 2.6) if style == "curly" else 0)
    over = [np.sin(_OVER) * reach, -0.26 - np.cos(_OVER) * (reach + 0.08), 0 * _OVER + 0.05]
    down = _hairline(_ACROSS) + (0.16 * 0.45 * _ACROSS if style == "parted" else 0)
    if style == "short":
        down = down + 0.05 * np.cos(_ACROSS * 9)
    under = [_ACROSS * 0.99, down, 0.62 * (1 - _ACROSS**2) + 0.1]
    parts = {"cap": np.concatenate([np.stack(over, axis=1), np.stack(under, axis=1)])}
    if style == "long":
        half = [[0.0, -1.55], [0.75, -1.38], [1.14, -0.8], [1.26, 0.2], [1.34, 1.4], [1.2, 2.4]]
        closed = np.asarray(half + [[-x, y] for x, y in half[:0:-1]])
        mane = rounded(closed, 3)
        parts["mane"] = np.concatenate([mane, np.full((len(mane), 1), -0.3)], axis=1)
    return parts | {f"strand {i}": strand for i, strand in enumerate(_strands(looks))}


def _hairline(across: Values | float) -> Values:
    """How far down the hair reaches, from temple (-1) to temple (1)."""
    return np.asarray(-0.93 - 0.16 * np.cos(1.4 * across) + 0.62 * np.abs(across) ** 3)


def _strands(looks: Looks) -> list[Values]:
    """Lines from the hairline over the skull, (3, 3) each."""
    random = np.random.default_rng(int(looks.hair.sum()))  # each head has its own, always the same
    strands = []
    for at in np.linspace(-0.92, 0.92, 18):
        angle = float(np.clip((0.75 * at + random.normal(0, 0.05)) * 1.15, -1.1, 1.1))
        start = [at * 0.98, float(_hairline(at)) - 0.02, 0.62 * (1 - at**2) + 0.1]
        end = [np.sin(angle), -0.26 - np.cos(angle) * 1.16, 0.1]
        middle = [(start[0] + end[0]) / 2 + random.normal(0, 0.03), (start[1] + end[1]) / 2, 0.5]
        strands.append(np.asarray([start, middle, end], np.float64))
    return strands
