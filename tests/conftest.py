"""What all tests share: the package on the path, one thread, no network."""

import gc
import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is loaded: tests are small, threads only get in the way
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes are started: the package is compiled once
if not any(os.path.exists(device) for device in ("/dev/nvidiactl", "/dev/kfd")):
    os.environ["TRITON_INTERPRET"] = "1"  # no GPU: kernels run in Triton's interpreter; before anything imports triton
# a mirror on this machine must not decide what a test sees ... (a worker finds it under its new name)
os.environ.setdefault("PUBLIC_CORPORA", os.environ.pop("SEQSCALE_MIRROR", ""))

import pytest

ROOT = Path(__file__).resolve().parents[1]
if importlib.util.find_spec("seqscale") is None:
    sys.path.insert(0, str(ROOT / "src"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The real DAG runs first: each is one file and minutes long, and must not keep a last worker alone."""
    items.sort(key=lambda item: (item.path.parent.name != "workflow", item.path.name != "test_workflow_dag.py"))


def pytest_collection_finish() -> None:
    """What imports and collecting made lives to the end: no garbage collection looks through it again."""
    gc.freeze()


_connect = socket.socket.connect


def _connect_here_only(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError(f"a test tried to reach {address[0]}: tests use no network")
    _connect(self, address)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _connect_here_only)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def public_mirror() -> Path:
    """... but for the tests of the public corpora themselves."""
    if not os.environ["PUBLIC_CORPORA"]:
        pytest.skip("needs the public corpora: set SEQSCALE_MIRROR to a folder of local copies")
    return Path(os.environ["PUBLIC_CORPORA"])
