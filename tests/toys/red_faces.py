"""A network with YuNet's inputs and outputs that takes red cells for faces, as an ONNX file."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mien.data import yunet

Pixels = NDArray[np.uint8]

BOX = (0.5, 0.5, math.log(3), math.log(4))  # in cells: from the cell's corner, then log of the size
POINTS = (0.0, 0.1, 1.0, 0.1, 0.5, 0.5, 0.1, 0.9, 0.9, 0.9)
BIASES = {"cls": (0.0,), "obj": (0.0,), "bbox": BOX, "kps": POINTS}


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(tag: int, value: int | str | bytes) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return _number(tag << 3) + _number(value)
    content = value.encode() if isinstance(value, str) else value
    return _number(tag << 3 | 2) + _number(len(content)) + content


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    dims = b"".join(field(1, n) for n in values.shape)
    return dims + field(2, 1) + field(8, name) + field(9, values.tobytes())


def _node(kind: str, inputs: list[str], output: str, **numbers: list[int]) -> bytes:
    """An operation; each of its attributes is a list of integers."""
    content = b"".join(field(1, name) for name in inputs) + field(2, output)
    content += field(3, output) + field(4, kind)
    for name, values in numbers.items():
        ints = b"".join(field(8, value) for value in values)
        content += field(5, field(1, name) + ints + field(20, 7))
    return content


def _shaped(name: str, *sizes: int) -> bytes:
    dims = b"".join(field(1, field(1, size)) for size in sizes)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def onnx(leave_out: str = "", widen: str = "") -> bytes:
    """An ONNX file with YuNet's outputs: each cell of 8 pixels that is pure red is a face.

    Args:
        leave_out: output that the file does not have.
        widen: output that has a value too many for each cell.
    """
    nodes, tensors, outputs = [], [], []
    for name in yunet.OUTPUTS:
        kind, stride = name.split("_")
        side, bias = int(stride), np.asarray(BIASES[kind], np.float32)
        weight = np.zeros((len(bias), 3, side, side), np.float32)
        if kind in ("cls", "obj") and side == 8:
            weight[:, 2], weight[:, 1] = 1 / 255 / 64, -1 / 255 / 64  # blue, green, red
        if name == widen:
            weight, bias = np.repeat(weight, 2, axis=0), np.repeat(bias, 2)
        tensors += [_tensor(f"{name}/w", weight), _tensor(f"{name}/b", bias)]
        inputs = ["input", f"{name}/w", f"{name}/b"]
        sides = [side, side]
        nodes.append(_node("Conv", inputs, f"{name}/c", kernel_shape=sides, strides=sides))
        shown = "another" if name == leave_out else name
        nodes.append(_node("Transpose", [f"{name}/c"], shown, perm=[0, 2, 3, 1]))
        outputs.append(_shaped(shown, 1, 64 // side, 64 // side, len(bias)))
    graph = b"".join(field(1, node) for node in nodes) + field(2, "red")
    graph += b"".join(field(5, tensor) for tensor in tensors)
    graph += field(11, _shaped("input", 1, 3, 64, 64))
    graph += b"".join(field(12, output) for output in outputs)
    return field(1, 8) + field(8, field(1, "") + field(2, 11)) + field(7, graph)


def frame_with(red: list[tuple[int, int]], height: int, width: int, cell: int = 8) -> Pixels:
    """A grey frame with red cells at some columns and rows."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    for column, row in red:
        pixels[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = (255, 0, 0)
    return pixels
