"""What holds for every test: offline, one thread, the same numbers each time."""

from __future__ import annotations

import ipaddress
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
TOYS = ROOT / "tests" / "toys"

# Before anything imports torch or transformers, and handed on to processes that tests start.
os.environ |= {
    "OMP_NUM_THREADS": "1",  # one test process a core: threads would only fight over it
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "PYTHONPATH": os.pathsep.join(filter(None, [str(TOYS), os.environ.get("PYTHONPATH")])),
}
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background, as by nohup: tests that interrupt what they start hand this on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, str(TOYS))  # the toy systems, announced as an installed plug-in would be


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    absent = pytest.mark.skip(reason="there is no shared/ beside this checkout")
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(absent)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside a developer's checkout; for tests marked ``shared``."""
    return SHARED


class NetworkRefusedError(Exception):
    """A test tried to leave this machine. No OSError: code under test must not swallow it."""


def _stays_here(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if not isinstance(host, str) or host in ("", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _offline() -> Iterator[None]:
    connect, connect_ex, lookup = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def refuse_unless_here(host: object) -> None:
        if not _stays_here(host):
            raise NetworkRefusedError(f"a test tried to reach {host!r}")

    # An address is (host, port, ...) except for local sockets, where it is a path.
    def guarded_connect(self: socket.socket, address: Any) -> None:
        refuse_unless_here(address[0] if isinstance(address, tuple) else None)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        refuse_unless_here(address[0] if isinstance(address, tuple) else None)
        return connect_ex(self, address)

    def guarded_lookup(host: Any, *args: Any, **options: Any) -> Any:
        refuse_unless_here(host)
        return lookup(host, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_lookup)
        yield


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """Every test draws the same numbers, whichever tests ran before it in this process."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:  # tests of words and documents do without
        torch = sys.modules["torch"]
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        torch.manual_seed(0)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the hub's client would look, with nothing in it."""
    import huggingface_hub

    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache
