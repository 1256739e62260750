"""Pickles read as plain values: what is plain comes out equal, anything else ends the reading."""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import pickle
import struct
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mien.data import pickles
from mien.errors import DataError

NAMES: dict[str, pickles.Maker | None] = {
    "argparse.Namespace": pickles.Attributes,
    "collections.OrderedDict": pickles.Mappings,
    "torch.FloatStorage": None,
}

leaves = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(),
    some.floats(allow_nan=False),
    some.text(max_size=5),
)
plain = some.recursive(
    leaves,
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.lists(inner, max_size=4).map(tuple)
        | some.dictionaries(some.text(max_size=3) | some.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=40)
@given(value=plain, protocol=some.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_come_out_as_they_were(value: Any, protocol: int) -> None:
    assert pickles.read(pickle.dumps(value, protocol), NAMES) == value


@settings(deadline=None, max_examples=100)
@given(data=some.binary(max_size=60))
def test_any_bytes_are_a_value_or_an_error_that_says_so(data: bytes) -> None:
    with contextlib.suppress(DataError):
        pickles.read(data + b".", NAMES)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_an_objects_attributes_are_a_dictionary(protocol: int) -> None:
    given_ = argparse.Namespace(
        lr=1e-3, model="base", betas=(0.9, 0.95), inner=argparse.Namespace()
    )
    found = pickles.read(pickle.dumps({"args": given_}, protocol), NAMES)
    assert found == {"args": {"lr": 1e-3, "model": "base", "betas": (0.9, 0.95), "inner": {}}}
    assert type(found["args"]) is pickles.Attributes


def test_a_class_of_dictionaries_is_a_dictionary() -> None:
    ordered: Any = OrderedDict(b=1, a=2)
    ordered._metadata = {"version": 1}  # as torch adds to the state of a module
    assert pickles.read(pickle.dumps(ordered, 2), NAMES) == {"b": 1, "a": 2}


def test_a_value_that_holds_itself_is_no_harm() -> None:
    circle: list[Any] = []
    circle.append(circle)
    found = pickles.read(pickle.dumps(circle, 2), NAMES)
    assert found[0] is found


class Calls:
    """Pickles as a call of something."""

    def __init__(self, *what: Any) -> None:
        self.what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return self.what


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Calls(os.system, ("touch pwned",)), "system"),
        (Calls(eval, ("open('pwned', 'w')",)), "eval"),
        (Calls(getattr, ("", "join")), "getattr"),
        (pathlib.PurePosixPath("a"), "PurePosixPath"),
        (Calls(argparse.ArgumentParser, ()), "argparse.ArgumentParser"),
        ({1, 2}, "set|SET"),
    ],
)
def test_what_asks_for_anything_else_is_refused_by_its_name(
    value: Any,
    named: str,
    protocol: int,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=named):
        pickles.read(pickle.dumps({"x": value}, protocol), NAMES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "program",
    [
        b"(S'touch pwned'\nios\nsystem\n.",  # an instance, the old way
        b"(cos\nsystem\nS'touch pwned'\no.",
        b"\x80\x02\x82\x01.",  # from the extension registry
        b"ctorch\nFloatStorage\n)R.",  # named, but not to be called
        b"cargparse\nNamespace\n(}tR.",  # an object is made of nothing but its attributes
        b"cargparse\nNamespace\n)R]b.",
        b"]}b.",  # a list has no attributes
        b"}}b.",
        b"N)R.",
        b"}]Na.",
        b"]Na",
        b"]NNs.",
        b"}(Nu.",
        b"NN.",
        b".",
        b"a.",
        b"t.",
        b"0.",
        b"g7\n.",
        b"\x80\x04]]\x93.",  # a name that is no text
        b"N\x51.",  # refers outside
    ],
)
def test_a_program_that_does_more_is_an_error(program: bytes) -> None:
    with pytest.raises(DataError, match="pickle"):
        pickles.read(program, NAMES)


def test_a_pickle_that_is_cut_off_anywhere_is_an_error() -> None:
    whole = pickle.dumps({"model": OrderedDict(a=[1, (2.5, "x")]), "n": argparse.Namespace(k=1)}, 2)
    for end in range(len(whole)):
        with pytest.raises(DataError):
            pickles.read(whole[:end], NAMES)


def test_a_deep_value_does_not_overflow_anything() -> None:
    depth = 50_000
    assert isinstance(pickles.read(b"]" * depth + b"a" * (depth - 1) + b".", NAMES), list)
    key = b")" + b"\x85" * depth  # a tuple in a tuple in a tuple
    with pytest.raises(DataError, match="a key in this pickle is a tuple"):
        pickles.read(b"}" + key + b"Ns.", NAMES)


def test_a_value_that_would_be_endless_when_printed_is_not_printed() -> None:
    doubled = b"]" + b"".join(b"\x94](h%ch%ce" % (n, n) for n in range(60))
    with pytest.raises(DataError, match="has no name"):
        pickles.read(b"\x80\x04" + doubled + b"N\x93.", NAMES)


def test_claims_of_size_are_not_believed() -> None:
    with pytest.raises(DataError, match="damaged"):
        pickles.read(b"\x8d" + struct.pack("<Q", 2**60) + b"abc.", NAMES)
    with pytest.raises(DataError, match="bytes, more than"):
        pickles.read(b"N" * (pickles.MOST + 1), NAMES)
