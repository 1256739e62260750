"""Pickles of arrays: equal to what unpickling gives, and nothing in them is executed."""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import tracemalloc
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays

from mien.data import pickled
from mien.data.stored import Stored
from mien.errors import DataError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def read(data: bytes) -> Any:
    return pickled.read(io.BytesIO(data), len(data))


def same(found: Any, wanted: Any) -> bool:
    """Equal, with arrays read: of objects as lists, of numpy's numbers as Python's."""
    if isinstance(found, Stored):
        whole = found.read()
        return (
            isinstance(wanted, np.ndarray)
            and whole.dtype.newbyteorder("=") == wanted.dtype.newbyteorder("=")
            and np.array_equal(whole, wanted, equal_nan=whole.dtype.kind == "f")
        )
    if isinstance(wanted, np.ndarray):
        wanted = wanted.tolist()
    if isinstance(found, dict):
        return list(found) == list(wanted) and all(same(found[k], wanted[k]) for k in wanted)
    if isinstance(found, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return bool(found == (wanted.item() if isinstance(wanted, np.generic) else wanted))


leaves = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(),
    some.floats(allow_nan=False),
    some.text(max_size=5),
    some.binary(max_size=5),
    some.sampled_from([np.float32(0.1), np.int64(-3), np.str_("ä"), np.bool_(True)]),
    some.sets(some.integers(0, 9), max_size=3),
    arrays.arrays(
        some.sampled_from(["<f4", ">f8", "<i2", "|u1", "|b1", "<U3", "|S2"]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
)
allowed = some.recursive(
    leaves,
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.lists(inner, max_size=3).map(tuple)
        | some.dictionaries(some.text(max_size=3) | some.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(value=allowed, protocol=some.sampled_from(PROTOCOLS))
def test_what_is_allowed_comes_out_as_unpickling_gives_it(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert same(read(data), pickle.loads(data))


@settings(deadline=None, max_examples=100)
@given(data=some.binary(max_size=80))
def test_any_bytes_are_a_value_or_an_error_that_says_so(data: bytes) -> None:
    with contextlib.suppress(DataError):
        read(data + b".")


@settings(deadline=None, max_examples=60)
@given(data=some.data())
def test_a_changed_byte_is_a_value_or_an_error(data: Any) -> None:
    whole = bytearray(pickle.dumps({"a": np.arange(300.0), "b": ["x" * 2000, {1, 2}]}, 2))
    for _ in range(3):
        whole[data.draw(some.integers(0, len(whole) - 1))] = data.draw(some.integers(0, 255))
    with contextlib.suppress(DataError):
        value = read(bytes(whole))
        if isinstance(value, dict) and isinstance(value.get("a"), Stored):
            value["a"].read()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["f8", ">f4", "i8", "u1"])
def test_large_arrays_stay_in_the_file_and_are_read_in_stretches(
    protocol: int, order: Any, kind: str, tmp_path: Path
) -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (50, 7, 30))
    whole = np.array(numbers, dtype=kind, order=order)
    path = tmp_path / "a.pkl"
    with path.open("wb") as file:
        pickle.dump({"x": whole, "after": [1, 2]}, file, protocol)
    with pickled.opened(path) as value:
        found = value["x"]
        assert not isinstance(found.source, bytes)
        assert value["after"] == [1, 2]
        assert np.array_equal(found.read(), whole)
        blocks = list(found.blocks("f4", at_once=8_000))
        assert len(blocks) > 1
        assert {block.dtype for block in blocks} == {np.dtype("f4")}
        assert np.array_equal(np.concatenate(blocks), whole.astype("f4"))


@pytest.mark.parametrize("protocol", [2, 4])
def test_an_array_is_never_held_whole(protocol: int, tmp_path: Path) -> None:
    size = 48 * 2**20
    path = tmp_path / "a.pkl"
    with path.open("wb") as file:
        pickle.dump([np.zeros((size // 8000, 1000))], file, protocol)
    tracemalloc.start()
    try:
        with pickled.opened(path) as (found,):
            rows = sum(len(block) for block in found.blocks(np.float32))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == size // 8000
    assert peak < size / 2


def python_2(name: bytes, state: bytes) -> bytes:
    """An array as Python 2 pickles it in protocol 2, its bytes a string."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85"
        b"U\x01bq\x03\x87Rq\x04(K\x01" + state + b"cnumpy\ndtype\nq\x05U\x02" + name + b"q\x06K\x00"
        b"K\x01\x87Rq\x07(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    )


@pytest.mark.parametrize("count", [3, 400])
def test_arrays_and_texts_of_python_2(count: int) -> None:
    numbers = np.random.default_rng(1).normal(size=count)
    data = numbers.tobytes()
    program = python_2(b"f8", b"M" + struct.pack("<H", count) + b"\x85")
    program += b"T" + struct.pack("<i", len(data)) + data + b"tb."
    assert np.array_equal(pickle.loads(program, encoding="latin1"), numbers)
    assert np.array_equal(read(program).read(), numbers)
    text = b"\x80\x02]q\x01(U\x05caf\xc3\xa9U\x04Ses1e."
    assert read(text) == pickle.loads(text, encoding="latin1")


@pytest.mark.parametrize("count", [3, 400])
def test_arrays_of_python_2_in_its_oldest_protocol(count: int) -> None:
    numbers = np.random.default_rng(2).normal(size=count)
    escaped = repr(numbers.tobytes())[1:].encode()
    program = (
        b"cnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntp3\nS'b'\np4\ntRp5\n"
        b"(I1\n(I%d\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"S%s\np9\ntb." % (count, escaped)
    )
    assert np.array_equal(pickle.loads(program, encoding="latin1"), numbers)
    assert np.array_equal(read(program).read(), numbers)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_dictionaries_of_a_class_and_arrays_of_objects(protocol: int) -> None:
    ids = np.array(["a", "bb", None], dtype=object)
    odd = {"o": OrderedDict(b=1), "d": defaultdict(list, {"x": [np.arange(3)]}), "ids": ids}
    found = read(pickle.dumps(odd, protocol))
    assert found["o"] == {"b": 1}
    assert found["d"]["x"][0].read().tolist() == [0, 1, 2]
    assert found["ids"] == ["a", "bb", None]
    assert read(pickle.dumps(np.array({"a": {"emo": 0}}, dtype=object), protocol)) == {
        "a": {"emo": 0}
    }


class Calls:
    """Pickles as a call of something."""

    def __init__(self, *what: Any) -> None:
        self.what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return self.what


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Calls(eval, ("open('pwned', 'w')",)), "eval"),
        (Calls(np.load, ("x",)), "load"),
        (Calls(np.ndarray, ((3,),)), "calls|does more"),
        (Calls(list, ("ab",)), "calls"),
        (Path("a"), "Path"),
        (np.array([1 + 2j]), "c16"),
        (np.array(["2020-01-01"], "M8[D]"), "M8"),
        (np.zeros(2, [("a", "f4")]), "V4"),
        (np.ma.masked_array([1, 2]), "ma"),
        (np.float64, "float64"),
        (slice(1), "slice"),
    ],
)
def test_anything_else_is_refused_by_name_and_place(
    value: Any, named: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=named) as error:
        read(pickle.dumps({"x": [value]}, protocol))
    assert error.value.where is None or error.value.where.startswith("byte ")
    assert not list(tmp_path.iterdir())


def array(shape: bytes, kind: bytes = b"f8", data: bytes = b"C\x08" + bytes(8)) -> bytes:
    """A pickle of an array, every part of which may be a lie."""
    return (
        b"\x80\x04cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
        b"(K\x01" + shape + b"cnumpy\ndtype\n\x8c" + bytes([len(kind)]) + kind
        + b"\x89\x88\x87R\x89" + data + b"tb."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (array(b"K\x02\x85"), "other than 16 bytes"),
        (array(b"J\xff\xff\xff\xff\x85"), "shape"),
        (array(b"G" + bytes(8) + b"\x85"), "shape"),
        (array(b"\x8a\x07" + b"\xff" * 6 + b"\x00\x85"), "shape"),
        (array(b"(" + b"K\x01" * 9 + b"t"), "shape"),
        (array(b"\x8a\x05\x00\x00\x00\x00\x10K\x00\x86", data=b"C\x00"), "nothing in"),
        (array(b"K\x01\x85", b"U0", b"C\x00"), "without letters"),
        (array(b"K\x01\x85", b"O"), "objects"),
        (array(b"K\x01\x85", b"U99999999"), "bytes"),
        (array(b"K\x01\x85", b"f8,f8"), "no plain numbers"),
        (array(b"K\x01\x85", data=b"N"), "bytes"),
        (array(b"K\x01\x85", data=b"\x8c\x08" + "\u00ffabcd\u20ac".encode()[:8]), "byte"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"abc.", "announces"),
        (b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"abc.", "announces"),
        (b"\x80\x02T" + struct.pack("<i", -1) + b"abc.", "announces"),
        (b"L" + b"9" * 10_000 + b"\n.", "line"),
        (b"\x80\x02\x8b" + struct.pack("<i", 200) + b"\x7f" * 200 + b".", "bits"),
        (b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b".", "number"),
        (b"Pos system\n.", "PERSID 'os system'"),
        (b"N\x51.", "refers"),
        (b"(S'touch pwned'\nios\nsystem\n.", "INST 'os system'"),
        (b"cos\nsystem\n(S'touch pwned'\ntR.", "'os.system'"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "'os.system'"),
        (b"\x82\x01.", "EXT1"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"cnumpy\ndtype\n.", "no value"),
        (b"cnumpy\ndtype\n\x8c\x02f8\x85R.", "no value"),
        (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R.",
            "nothing",
        ),
        (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85C\x01b\x87R.", "class"),
        (b"}\x85" + b"\x85" * 100 + b".", "within each other"),
        (b"\x80\x02]q\x00h\x00a.", "holds itself"),
        (b"\x80\x02}q\x00K\x01h\x00s.", "holds itself"),
        (b"})Ns.", "key"),
        (b"\x80\x02S'no end", "line"),
        (b"\x80\x02S'half\n.", "quotes"),
        (b"\xff.", "no instruction"),
        (b"N", "ends before"),
    ],
)
def test_a_hostile_program_is_refused(program: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(program)


def test_a_text_with_letters_that_are_no_bytes_is_no_array() -> None:
    text = "\u20ac" * 2000  # three bytes each in the file
    data = text.encode()
    found = read(array(b"M\xd0\x07\x85", b"u1", b"X" + struct.pack("<I", len(data)) + data))
    with pytest.raises(DataError, match="something else"):
        found.read()
    short = "\u00ff" * 2000
    data = short.encode()
    found = read(array(b"M\xe8\x03\x85", b"u2", b"X" + struct.pack("<I", len(data)) + data))
    assert (found.read() == 0xFFFF).all()
    found = read(array(b"M\xdc\x05\x85", b"u1", b"X" + struct.pack("<I", len(data)) + data))
    with pytest.raises(DataError, match="other than"):  # said to be 1,500, and is 2,000
        found.read()


@pytest.mark.parametrize("inner", ["list", "array", "text"])
def test_a_bomb_of_the_memo_is_refused(inner: str) -> None:
    if inner == "list":  # ten times the same, seven times over
        program = b"\x80\x04(]" + b"".join(
            b"\x94](" + (b"h" + bytes([n])) * 10 + b"e" for n in range(7)
        )
        program += b"l"
    else:
        large: Any = np.zeros(100_000) if inner == "array" else "x" * 900_000
        program = pickle.dumps([large] * 200, 2)[:-1]
    with pytest.raises(DataError, match="small pickle that means more than"):
        read(program + b".")


@pytest.mark.parametrize("program", [b"]", b"(", b"}", b")\x94", b"N\x94"])
def test_a_small_file_does_not_take_all_memory(
    program: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled, "_STEPS", 1000)
    with pytest.raises(DataError, match="more than 1,000 containers and calls"):
        read(b"\x80\x04" + program * 1001)
    numbers = list(map(float, range(5000)))  # these take what the file takes
    for protocol in PROTOCOLS:
        assert read(pickle.dumps({"x": numbers}, protocol)) == {"x": numbers}


def test_a_pickle_that_is_cut_off_anywhere_is_an_error(tmp_path: Path) -> None:
    value = {"a": np.arange(40.0), "t": ("x" * 1100, [1, {2}]), "s": np.float32(1)}
    for protocol in PROTOCOLS:
        whole = pickle.dumps(value, protocol)
        for end in range(0, len(whole), 1 if protocol == 4 else 37):
            with pytest.raises(DataError):
                read(whole[:end])
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value)[:-5])
    with pytest.raises(DataError, match=r"a\.pkl, byte"), pickled.opened(tmp_path / "a.pkl"):
        pass
