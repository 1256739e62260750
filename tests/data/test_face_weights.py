"""The file of the face detector: where it is looked for, and that it may hold anything."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import huggingface_hub
import numpy as np
import pytest
import red_faces
from huggingface_hub import constants

from mien.data import yunet
from mien.data.faces import open_detector
from mien.errors import TowerError

REAL = "yunet_n_640_640.onnx"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "my_YuNet.onnx"
    path.write_bytes(red_faces.onnx())
    return path


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What was asked of the hub. It stands open here, and has nothing; all caches are empty."""
    asked: list[Any] = []

    def download(*args: Any, **options: Any) -> str:
        asked.append((args, options))
        raise OSError("no network")

    for name in ("MIEN_FACES", "MIEN_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(yunet, "_reachable", lambda address: True)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    yunet._fetched.cache_clear()
    yield asked
    yunet._fetched.cache_clear()


def refused(path: Path) -> str:
    """What opening a file as YuNet is refused with; nothing else than a refusal passes."""
    with pytest.raises(TowerError) as caught:
        open_detector("auto", path)
    assert caught.value.where is not None
    assert caught.value.where == str(path)
    assert yunet.FETCH in (caught.value.fix or "")
    return caught.value.what


# -- the file --------------------------------------------------------------------------------------


def test_a_detector_is_named_after_its_file_and_travels(network: Path) -> None:
    detector = open_detector("yunet", network, smallest=16)
    assert detector.name == f"yunet-{hashlib.sha256(network.read_bytes()).hexdigest()[:8]}"
    other = pickle.loads(pickle.dumps(detector))
    assert (other.name, other.smallest, other.settings) == (detector.name, 16, detector.settings)
    frames = [red_faces.frame_with([(2, 2)], 64, 64)]
    boxes = [[face.box for face in found.detect(frames)[0]] for found in (detector, other)]
    assert boxes[0] == boxes[1]
    assert len(boxes[0]) == 1


def test_a_detector_opens_again_from_another_folder(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(network.parent)
    detector = open_detector("yunet", network.name)
    frozen = pickle.dumps(detector)
    monkeypatch.chdir("/")
    assert pickle.loads(frozen).name == detector.name


def test_haar_travels_without_a_file() -> None:
    detector = open_detector("haar", smallest=77)
    other = pickle.loads(pickle.dumps(detector))
    assert (other.name, other.smallest) == (f"haar-2-opencv-{cv2.__version__}", 77)


BROKEN: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "noise": lambda: np.random.default_rng(0).bytes(5000),
    "zeros": lambda: bytes(5000),
    "a pointer to the file": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "a page": lambda: b"<!DOCTYPE html><html><body>404</body></html>",
    "half": lambda: red_faces.onnx()[:20_000],
    "all but the end": lambda: red_faces.onnx()[:-1],
    "no graph": lambda: red_faces.field(1, 8),
    "another network": lambda: red_faces.onnx(leave_out="kps_32"),
    "other shapes": lambda: red_faces.onnx(widen="bbox_16"),
    "too large": lambda: bytes(yunet.LARGEST_FILE + 1),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_refused_with_what_to_type(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "yunet.onnx"
    path.write_bytes(BROKEN[kind]())
    what = refused(path)
    assert {"another network": "no output 'kps_32'", "other shapes": "'bbox_16' has the shape"}.get(
        kind, "YuNet"
    ) in what


def test_what_is_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path / "nothing.onnx")
    refused(tmp_path)
    os.mkfifo(tmp_path / "yunet.pipe")
    refused(tmp_path / "yunet.pipe")
    (tmp_path / "sub" / "yunet.onnx").mkdir(parents=True)
    with pytest.raises(TowerError, match="no file"):
        open_detector("yunet", tmp_path / "sub")
    path = tmp_path / "yunet.onnx"
    path.write_bytes(red_faces.onnx())

    def forbidden(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert "Permission denied" in refused(path)


@pytest.mark.shared
def test_a_damaged_copy_of_the_real_file_never_ends_otherwise(shared: Path, tmp_path: Path) -> None:
    content = (shared / "weights" / REAL).read_bytes()
    path = tmp_path / "yunet.onnx"
    for length in (1, 100, 5_000, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:length])
        refused(path)
    random = np.random.default_rng(1)
    for _ in range(12):
        bytes_ = bytearray(content)
        for at in random.integers(0, len(content), 30):
            bytes_[at] = random.integers(256)
        path.write_bytes(bytes_)
        try:
            open_detector("yunet", path)  # other weights are a network as well
        except TowerError:
            refused(path)


# -- where the file is -----------------------------------------------------------------------------


def test_weights_are_a_file_or_a_folder(network: Path, hub: list[Any]) -> None:
    assert open_detector("auto", network).name == open_detector("yunet", str(network.parent)).name
    published = network.parent / yunet.FILE
    published.write_bytes(red_faces.onnx() + red_faces.field(2, "mien"))  # who made the file
    (network.parent / "a_yunet.onnx").write_bytes(b"")
    (network.parent / "resnet.onnx").write_bytes(b"")
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    assert open_detector("auto", network.parent).name == f"yunet-{digest[:8]}"
    assert hub == []


def test_where_the_file_is_looked_for_and_in_which_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: list[Any]
) -> None:
    places = [tmp_path / name / yunet.FILE for name in ("hub", "cache/mien", "mine", "faces", "x")]
    for place in places:
        place.parent.mkdir(parents=True)
        place.write_bytes(b"")
    in_hub, in_cache, in_own, named, given = places
    in_cache.unlink()
    loads: list[Any] = []

    def cached(repository: str, file: str, revision: str | None = None) -> str | None:
        loads.append((repository, file, revision))
        return str(in_hub) if revision is None else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert yunet.found(None) == in_hub
    both = (yunet.REVISION, None)
    assert loads == [(yunet.REPOSITORY, yunet.FILE, revision) for revision in both]
    in_cache.write_bytes(b"")
    assert yunet.found(None) == in_cache
    monkeypatch.setenv("MIEN_CACHE", str(in_own.parent))
    assert yunet.found(None) == in_own
    for value in (named, named.parent):
        monkeypatch.setenv("MIEN_FACES", str(value))
        assert yunet.found(None) == named
    assert yunet.found(given.parent) == given
    assert hub == []
    monkeypatch.setenv("MIEN_FACES", str(tmp_path / "gone"))
    with pytest.raises(TowerError, match="not there") as caught:
        open_detector()
    assert caught.value.where == f"MIEN_FACES={tmp_path / 'gone'}"


def test_without_the_file_haar_is_taken_and_says_so(hub: list[Any]) -> None:
    detector = open_detector()
    assert detector.name.startswith("haar-")
    assert "--face-weights FILE" in detector.note
    assert "--face-weights" not in open_detector("haar").note
    with pytest.raises(TowerError, match="not at hand") as caught:
        open_detector("yunet")
    assert "--face-weights FILE" in (caught.value.fix or "")
    assert yunet.FETCH in (caught.value.fix or "")
    assert [args for args, _ in hub] == [(yunet.REPOSITORY, yunet.FILE)]  # once in a process
    assert hub[0][1]["revision"] == yunet.REVISION


def test_the_hub_is_left_alone_offline_and_not_waited_for(
    network: Path, monkeypatch: pytest.MonkeyPatch, hub: list[Any]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert yunet.found(None) is None
    assert hub == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(yunet, "PATIENCE", 0.05)
    done = threading.Event()
    yunet._fetched.cache_clear()

    def slow(*_: Any, **__: Any) -> str:
        done.wait(30)
        return str(network)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", slow)
    assert yunet.found(None) is None
    assert not done.is_set()
    done.set()
    monkeypatch.setattr(yunet, "PATIENCE", 30.0)
    yunet._fetched.cache_clear()
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(network))
    assert open_detector().settings["weights"] == str(network)
