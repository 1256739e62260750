"""Shards: what was written is read, a part at a time; what was changed is noticed."""

from __future__ import annotations

import copy
import json
import os
import pickle
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.data import layout, shards
from mien.data.shards import Shard, opened
from mien.data.writer import Writer, encode
from mien.errors import DataError

FPS, RATE, SIZE = 25.0, 1000, 16
ANN, BOB = "face-1", "face-2"
FOOTER = 32
SEEN = {ANN: [*range(10, 40), *range(50, 75)], BOB: [*range(60, 75), *range(500, 520)]}
PICTURE = np.add.outer(np.arange(SIZE) * 9, np.arange(SIZE) * 5).astype(np.uint8)


def picture(position: int) -> NDArray[np.uint8]:
    """Something smooth (S, S, 3) that looks different at every position."""
    return np.stack([PICTURE // 2 + position % 100, PICTURE, 255 - PICTURE // 2], axis=-1)


def sound(start: int, stop: int) -> NDArray[np.float32]:
    return (0.5 * np.sin(np.arange(start, stop) / 7)).astype(np.float32)


def write(path: Path, facts: Mapping[str, Any] | None = None) -> Path:
    """Two stretches, 0 to 3 s and 20 to 21 s; two people; sound with a hole."""
    spans = [(0.0, 3.0), (20.0, 21.0)]
    with Writer(path, fps=FPS, rate=RATE, size=SIZE, spans=spans) as writer:
        for first, stop in ((0, 75), (500, 525)):
            for k in range(first, stop):
                for name, where in SEEN.items():
                    if k in where:
                        number = writer.picture(encode(picture(k), 95))
                        writer.seen(name, k, number, (k, 2.0, 30.0, 40.5), 0.75, k % 5 == 0)
            writer.looked(first, stop)
        for start in range(0, 2500, 300):  # the sound ends before the picture does
            block = sound(start, min(2500, start + 300))
            there = np.ones(len(block), bool)
            there[max(0, 1100 - start) : max(0, 1250 - start)] = False
            writer.heard(start, block, there)
        writer.heard(20_000, sound(20_000, 20_450), np.ones(450, bool))
        writer.finish(facts or {"source": "a.mp4", "notes": ["größer"]})
    return path


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    return Shard.open(write(tmp_path_factory.mktemp("shards") / "a.shard"))


def everything(path: Path) -> list[bytes]:
    """All that a shard says, as bytes to compare."""
    shard = Shard.open(path)
    said = [json.dumps([shard.fps, shard.rate, shard.size, shard.spans, shard.facts]).encode()]
    for name, seen in shard.tracks.items():
        said += [name.encode(), shard.frames(name, seen.positions).tobytes()]
        said += [seen.positions.tobytes(), seen.boxes.tobytes(), seen.scores.tobytes()]
        said.append(seen.detected.tobytes())
    for start, end in shard.spans:
        for name in shard.tracks:
            clip = shard.clip(name, start, end)
            said += [clip.positions.tobytes(), clip.mask.tobytes(), clip.boxes.tobytes()]
        said += [part.tobytes() for part in shard.wave(start, end)]
    return said


# -- what was written is read ----------------------------------------------------------------------


def test_a_clip_has_every_position_that_was_looked_at(shard: Shard) -> None:
    clip = shard.clip(ANN, 0.0, 3.0)
    assert clip.positions.tolist() == list(range(75))
    assert clip.times[-1] == pytest.approx(74 / FPS)
    assert np.flatnonzero(clip.mask).tolist() == SEEN[ANN]
    assert np.isnan(clip.boxes[0]).all()
    np.testing.assert_array_equal(clip.boxes[12], [12, 2, 30, 40.5])


def test_times_are_those_of_the_source_and_ends_are_open(shard: Shard) -> None:
    assert shard.clip(BOB, 20.2, 20.4).positions.tolist() == [505, 506, 507, 508, 509]
    assert shard.clip(ANN, 0.41, 0.48).positions.tolist() == [11]
    assert shard.clip(ANN, 10 / 25, 11 / 25).positions.tolist() == [10]
    assert len(shard.clip(ANN, 0.41, 0.43)) == 0


@pytest.mark.parametrize("name", [ANN, BOB])
def test_crops_are_those_that_were_given(shard: Shard, name: str) -> None:
    chosen = SEEN[name][::-3]
    crops = shard.frames(name, chosen)
    assert crops.shape == (len(chosen), SIZE, SIZE, 3)
    for crop, k in zip(crops, chosen, strict=True):
        assert np.abs(crop.astype(int) - picture(k)).max() < 16  # JPEG, colours in their order
        coded = np.frombuffer(encode(picture(k), 95), np.uint8)
        reference = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert reference is not None
        np.testing.assert_array_equal(crop, reference[..., ::-1])


def test_a_clip_is_black_where_nobody_is(shard: Shard) -> None:
    clip = shard.clip(ANN, 0.0, 3.0)
    crops = clip.frames([45, 12, 5, 12])
    assert not crops[0].any()
    assert not crops[2].any()
    np.testing.assert_array_equal(crops[[1, 3]], shard.frames(ANN, [12, 12]))
    assert clip.frames([]).shape == (0, SIZE, SIZE, 3)
    assert len(clip.frames()) == 75


def test_only_what_is_asked_for_is_read(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    blob = Shard._blob

    def noted(self: Shard, file: BinaryIO, number: int) -> bytes:
        read.append(number)
        return blob(self, file, number)

    monkeypatch.setattr(Shard, "_blob", noted)
    shard.clip(ANN, 0.0, 3.0).frames([12, 13, 12])
    assert len(read) == 2


def test_sound_is_what_was_heard_within_half_a_step(shard: Shard) -> None:
    samples, there = shard.wave(0.5, 1.3)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples[:600], sound(500, 1100), atol=0.5 / 32768)
    assert there.tolist() == [True] * 600 + [False] * 150 + [True] * 50
    assert not samples[600:750].any()


def test_sound_ends_where_the_source_does(shard: Shard) -> None:
    samples, there = shard.wave(20.0, 21.0)
    assert len(samples) == len(there) == 450
    assert [len(part) for part in shard.wave(20.6, 20.9)] == [0, 0]
    assert shard.wave(2.0, 3.0)[1].sum() == 500


def test_whether_there_is_sound_is_known_without_reading(shard: Shard) -> None:
    assert shard.hears(0.0, 0.1)
    assert shard.hears(1.0, 1.2)
    assert not shard.hears(1.1, 1.25)
    assert not shard.hears(2.5, 20.0)


@given(
    cuts=st.lists(st.integers(1, 3999), max_size=6, unique=True),
    hole=st.tuples(st.integers(0, 4000), st.integers(0, 4000)),
    asked=st.tuples(st.integers(0, 4000), st.integers(0, 5000)),
)
@settings(max_examples=60, deadline=None)
def test_sound_does_not_depend_on_the_blocks_it_came_in(
    tmp_path_factory: pytest.TempPathFactory,
    cuts: list[int],
    hole: tuple[int, int],
    asked: tuple[int, int],
) -> None:
    path = tmp_path_factory.getbasetemp() / "blocks.shard"
    whole, there = sound(0, 4000), np.ones(4000, bool)
    there[min(hole) : max(hole)] = False
    with Writer(path, fps=FPS, rate=RATE, size=SIZE, spans=[(0.0, None)]) as writer:
        edges = [0, *sorted(cuts), 4000]
        for a, b in pairwise(edges):
            writer.heard(a, whole[a:b], there[a:b])
        writer.finish({})
    low, high = sorted(asked)
    samples, mask = Shard.open(path).wave(low / RATE, high / RATE)
    np.testing.assert_array_equal(mask, there[low:high])
    expected = np.where(there, whole, 0)[low:high]
    np.testing.assert_allclose(samples, expected, atol=0.51 / 32768)


def test_sixteen_bit_sound_comes_back_as_it_was_and_nan_is_absent(tmp_path: Path) -> None:
    steps = np.arange(-32768, 32768, 37, dtype=np.int16)
    wide = np.append(steps / np.float32(32768), [np.nan, 2.0, -np.inf]).astype(np.float32)
    with Writer(tmp_path / "a.shard", fps=FPS, rate=RATE, size=1, spans=[(0.0, None)]) as writer:
        writer.heard(0, wide, np.ones(len(wide), bool))
        writer.finish({})
    samples, there = Shard.open(tmp_path / "a.shard").wave()
    np.testing.assert_array_equal(samples[:-3], wide[:-3])
    assert there[-3:].tolist() == [False, True, True]
    np.testing.assert_allclose(samples[-3:], [0, 1, -1], atol=1e-4)


def test_pictures_that_stay_are_one_blob(tmp_path: Path) -> None:
    with Writer(tmp_path / "a.shard", fps=FPS, rate=RATE, size=SIZE, spans=[(0.0, 1.0)]) as writer:
        number = writer.picture(encode(picture(3), 95))
        for k in range(25):
            writer.seen(ANN, k, number, (0, 0, 1, 1), 1.0, True)
        writer.looked(0, 25)
        writer.finish({})
    assert (tmp_path / "a.shard").stat().st_size < 5000
    crops = Shard.open(tmp_path / "a.shard").clip(ANN, 0.0, 1.0).frames()
    assert (crops == crops[0]).all()


def test_a_shard_without_anything_is_a_shard(tmp_path: Path) -> None:
    with Writer(tmp_path / "a.shard", fps=FPS, rate=RATE, size=SIZE, spans=[]) as writer:
        writer.finish({})
    shard = Shard.open(tmp_path / "a.shard")
    shard.verify()
    assert not shard.tracks
    assert not shard.hears()
    with pytest.raises(DataError, match="does not hold all"):
        shard.wave(0.0, 1.0)


def test_the_same_calls_write_the_same_bytes(tmp_path: Path, shard: Shard) -> None:
    assert write(tmp_path / "b.shard").read_bytes() == shard.path.read_bytes()
    one = shards.address({"recipe": {"fps": 25.0, "size": 3}, "video": "ab"})
    assert one == shards.address({"video": "ab", "recipe": {"size": 3, "fps": 25.0}})
    assert one != shards.address({"video": "ab", "recipe": {"size": 4, "fps": 25.0}})
    assert shards.file_of(tmp_path, one) == tmp_path / one[:2] / f"{one}.shard"


# -- what was never prepared -----------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end"), [(2.0, 4.0), (0.0, 21.0), (0.0, None), (30.0, 31.0)])
def test_a_stretch_that_was_not_prepared_is_an_error(
    shard: Shard, start: float, end: float | None
) -> None:
    for ask in (lambda: shard.clip(ANN, start, end), lambda: shard.wave(start, end)):
        with pytest.raises(DataError, match="does not hold all") as caught:
            ask()
        assert "mien data prepare" in str(caught.value)


def test_who_is_not_there_is_an_error_that_says_who_is(shard: Shard) -> None:
    with pytest.raises(DataError, match="face-1, face-2"):
        shard.clip("face-9", 0.0, 1.0)
    for absent in (45, 76, 10_000):
        with pytest.raises(DataError, match=f"not seen at position {absent}"):
            shard.frames(ANN, [12, absent])


# -- threads, processes, copies --------------------------------------------------------------------


def first_crops(shard: Shard) -> bytes:
    return shard.clip(ANN, 0.0, 3.0).frames(range(10, 40)).tobytes()


def test_threads_read_the_same_shard_at_once(shard: Shard) -> None:
    expected, gate = first_crops(shard), threading.Barrier(8)

    def read(_: int) -> bytes:
        gate.wait(10)
        return first_crops(shard)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(8))) == {expected}


def test_a_pickled_shard_reads_on(shard: Shard) -> None:
    again = pickle.loads(pickle.dumps(shard))
    assert first_crops(again) == first_crops(shard)
    assert len(pickle.dumps(shard)) < 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_reads_on(shard: Shard) -> None:
    expected = first_crops(shard)
    process = get_context("fork").Process(target=_compare, args=(shard, expected))
    process.start()
    assert first_crops(shard) == expected
    process.join(30)
    assert process.exitcode == 0


def _compare(shard: Shard, expected: bytes) -> None:
    os._exit(0 if first_crops(shard) == expected else 1)


def test_no_file_stays_open_and_a_new_file_is_opened_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.shard", {"made": 1})
    held = opened(path)
    assert opened(path) is held
    assert held.facts == {"made": 1}
    write(path, {"made": 2})
    assert opened(path).facts == {"made": 2}
    fds = Path("/proc/self/fd")
    if fds.is_dir():
        many = [Shard.open(path) for _ in range(50)]
        first_crops(many[0])
        named = [fd.readlink() for fd in fds.iterdir() if fd.is_symlink()]
        assert path not in named


# -- whole or not at all ---------------------------------------------------------------------------


def interrupted(path: Path) -> None:
    with Writer(path, fps=FPS, rate=RATE, size=SIZE, spans=[]) as writer:
        writer.picture(b"x")
        assert [file.suffix for file in path.parent.iterdir()] == [".unfinished"]
        raise KeyboardInterrupt


def test_nothing_is_left_of_a_shard_that_was_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "ab" / "a.shard"
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert not list(path.parent.iterdir())
    with Writer(path, fps=FPS, rate=RATE, size=SIZE, spans=[]):
        pass
    assert not list(path.parent.iterdir())


def test_two_writers_of_the_same_shard_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.shard"
    with (
        Writer(path, fps=FPS, rate=RATE, size=SIZE, spans=[]) as one,
        Writer(path, fps=FPS, rate=RATE, size=SIZE, spans=[]) as two,
    ):
        one.heard(0, sound(0, 500), np.ones(500, bool))
        two.heard(0, sound(0, 500), np.ones(500, bool))
        one.finish({})
        two.finish({})
    Shard.open(path).verify()


# -- hostile files ---------------------------------------------------------------------------------


def outcome(path: Path) -> list[bytes] | None:
    """All that a shard says; None if it was noticed that it is damaged."""
    try:
        return everything(path)
    except DataError:
        return None


@pytest.mark.parametrize("part", range(4))
def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path, shard: Shard, part: int) -> None:
    content, path = bytearray(shard.path.read_bytes()), tmp_path / "a.shard"
    random = np.random.default_rng(part)
    ends = [*range(16), *range(len(content) - FOOTER, len(content))]
    chosen = (ends + random.integers(0, len(content), 400).tolist())[part::4]
    for at in chosen:
        content[at] ^= 1 << int(random.integers(8))
        path.write_bytes(content)
        with pytest.raises(DataError):
            Shard.open(path).verify()
        assert outcome(path) is None
        content[at] = shard.path.read_bytes()[at]


@given(data=st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_file_that_is_cut_or_grown_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, shard: Shard, data: st.DataObject
) -> None:
    content = shard.path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, len(content)))
    filling = data.draw(st.sampled_from([b"", b"\0", bytes(stop - start), content[:40]]))
    changed = content[:start] + filling + content[stop:]
    path = tmp_path_factory.getbasetemp() / "cut.shard"
    path.write_bytes(changed)
    assert outcome(path) == (everything(shard.path) if changed == content else None)


def unpacked(content: bytes) -> tuple[bytes, dict[str, Any], bytes]:
    """Blobs, head and columns of a shard."""
    offset, length = struct.unpack_from("<QQ", content, len(content) - FOOTER)
    index = content[offset : offset + length]
    (text,) = struct.unpack_from("<I", index)
    return content[:offset], json.loads(index[4 : 4 + text]), index[4 + text :]


def packed(blobs: bytes, head: Any, columns: bytes) -> bytes:
    """The same with all checksums right: what someone would write who means harm."""
    text = json.dumps(head).encode()
    index = struct.pack("<I", len(text)) + text + columns
    footer = struct.pack("<QQI", len(blobs), len(index), zlib.crc32(index))
    return blobs + index + footer + struct.pack("<I", zlib.crc32(footer)) + b"mienshrd"


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 1, 3, 2**31, 2**40, 2**63, 10**30, 0.5, -1e300, 1e300, "", "x", [], {},
     [[0, 1]], [1, 2], [["a", 3]], [[0, None], [None, 0]]]
)  # fmt: skip


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_index_that_lies_is_an_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, shard: Shard, data: st.DataObject
) -> None:
    blobs, head, columns = unpacked(shard.path.read_bytes())
    for key in data.draw(st.lists(st.sampled_from(sorted(head)), max_size=2)):
        held = head[key]
        if isinstance(held, list) and data.draw(st.booleans()):
            held[data.draw(st.integers(0, len(held) - 1))] = copy.deepcopy(data.draw(JUNK))
        else:
            head[key] = copy.deepcopy(data.draw(JUNK))
    changed = bytearray(columns)
    for at in data.draw(st.lists(st.integers(0, len(columns) - 8), max_size=3)):
        value = data.draw(st.sampled_from([-1, 0, 1, 2**31, 2**40, 2**62, 0x7F800000]))
        changed[at : at + 8] = value.to_bytes(8, "little", signed=True)
    path = tmp_path_factory.getbasetemp() / "lie.shard"
    path.write_bytes(packed(blobs, head, bytes(changed)))
    tracemalloc.start()
    try:
        outcome(path)
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()


def test_no_memory_is_taken_for_what_is_only_claimed(tmp_path: Path, shard: Shard) -> None:
    blobs, _, columns = unpacked(shard.path.read_bytes())
    path = tmp_path / "a.shard"
    claims: list[Callable[[dict[str, Any]], object]] = [
        lambda head: head.update(counts=[2**40] * 4),
        lambda head: head["tracks"][0].__setitem__(1, 2**40),
        lambda head: head.update(tracks=[[f"t{i}", 1] for i in range(100_001)]),
        lambda head: head.update(rate=10**9),
        lambda head: head.update(size=2**31),
    ]
    for claim in claims:
        _, lying, _ = unpacked(shard.path.read_bytes())
        claim(lying)
        path.write_bytes(packed(blobs, lying, columns))
        tracemalloc.start()
        with pytest.raises(DataError):
            Shard.open(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
        tracemalloc.stop()
    with path.open("wb") as file:  # a file whose size is real, and its content not
        file.write(layout.HEADER_BYTES)
        file.seek(2**40)
        footer = struct.pack("<QQI", 16, 2**40 - 16, 0)
        file.write(footer + struct.pack("<I", zlib.crc32(footer)) + b"mienshrd")
    with pytest.raises(DataError, match="claims an index"):
        Shard.open(path)


def one_picture(path: Path, coded: bytes) -> Shard:
    with Writer(path, fps=FPS, rate=RATE, size=SIZE, spans=[(0.0, None)]) as writer:
        writer.seen(ANN, 0, writer.picture(coded), (0, 0, 1, 1), 1.0, True)
        writer.looked(0, 1)
        writer.finish({})
    return Shard.open(path)


def test_a_picture_of_another_size_or_kind_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = encode(picture(1), 95)
    frame = good.index(b"\xff\xc0")
    huge = good[: frame + 5] + struct.pack(">HH", 65_000, 65_000) + good[frame + 9 :]
    png = cv2.imencode(".png", picture(1))[1].tobytes()
    progressive = cv2.imencode(".jpg", picture(1), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    grey = cv2.imencode(".jpg", picture(1)[..., 0])[1].tobytes()
    large = encode(np.zeros((64, 64, 3), np.uint8), 95)
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    path = tmp_path / "a.shard"
    for coded in (huge, png, progressive, grey, large, b"", b"\xff\xd8", good[: frame + 4]):
        with pytest.raises(DataError, match="claims the shape"):
            one_picture(path, coded).frames(ANN, [0])
    monkeypatch.setattr(cv2, "imdecode", decode)
    again = good[:frame] + good[frame : frame + 19] + good[frame:]  # two headers
    with pytest.raises(DataError, match="cannot be decoded"):
        one_picture(path, again).frames(ANN, [0])


def test_a_cut_picture_is_one_size_or_an_error(tmp_path: Path) -> None:
    good = encode(picture(1), 95)
    for length in range(0, len(good), 7):
        shard = one_picture(tmp_path / "a.shard", good[:length])
        try:
            assert shard.frames(ANN, [0]).shape == (1, SIZE, SIZE, 3)
        except DataError:
            continue


@pytest.mark.parametrize(
    "change", ["folder", "empty", "text", "missing", "version", "pipe"], ids=str
)
def test_what_is_no_shard_is_an_error_that_says_where(
    tmp_path: Path, shard: Shard, change: str
) -> None:
    path, content = tmp_path / "a.shard", shard.path.read_bytes()
    if change == "folder":
        path.mkdir()
    elif change == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("there are no pipes here")
        os.mkfifo(path)
    elif change != "missing":
        later = content[:8] + b"\2" + content[9:]
        path.write_bytes({"empty": b"", "text": b"hello\n" * 99, "version": later}[change])
    with pytest.raises(DataError) as caught:
        opened(path)
    assert str(path) in str(caught.value)
    assert "mien data prepare" in str(caught.value)
    assert ("another version" in caught.value.what) == (change == "version")
