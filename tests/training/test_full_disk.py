"""A full disk and results that cannot be written: told in words, nothing lost, and afterwards the same bits."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from finished_runs import same

from seqscale.training import train

MakeRun = Callable[..., dict[str, Any]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for next to nothing."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "seqscale", str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"this machine lets nobody mount a file system: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def by_hand(root: Path, run: dict[str, Any], data: Path, work: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """The job as the workflow starts it."""
    folders = ["--data", str(data), "--work", str(work), "--out", str(out)]
    return subprocess.run(
        [sys.executable, str(root / "src/train.py"), "--config", json.dumps(run), *folders],
        env={**os.environ, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1", "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_a_full_disk_and_a_read_only_one(
    small_disk: Path, make_run: MakeRun, root: Path, data_folder: Path, tmp_path: Path
) -> None:
    run = make_run("mamba", spec={"d_model": 32})
    train(run, data_folder, tmp_path / "work", tmp_path / "undisturbed")
    assert (tmp_path / "work/checkpoint.safetensors").stat().st_size > 64 * 1024

    full = by_hand(root, run, data_folder, small_disk / "work", small_disk / "out")
    assert full.returncode == 2
    assert "No space left on device" in full.stderr
    assert "run again" in full.stderr
    assert not (small_disk / "out").exists()
    assert not list((small_disk / "work").glob("*.safetensors")), "half a checkpoint takes no room"

    remount(small_disk, "size=20m,ro")
    read_only = by_hand(root, run, data_folder, small_disk / "work", small_disk / "out")
    assert read_only.returncode == 2
    assert "Read-only file system" in read_only.stderr

    remount(small_disk, "rw")
    done = by_hand(root, run, data_folder, small_disk / "work", small_disk / "out")
    assert done.returncode == 0, done.stderr
    assert same(tmp_path / "undisturbed", small_disk / "out")
    assert "seqscale.training" in done.stderr and "torch._dynamo" not in done.stderr, "the compiler costs a second"
