"""One run of the workflow at a time in a folder, and going on after one that was killed.

Snakemake's own lock is a file: after a kill or a power cut it stays, and nobody can tell from it whether its run still
lives. So a run also holds an advisory lock on `.snakemake/seqscale.lock`, which the kernel drops when the process is
gone, whatever the cause. Who finds Snakemake's lock without this one, and no Snakemake at work in the folder, may
unlock it.
"""

import datetime
import os
import socket
from pathlib import Path
from typing import IO

import psutil

try:
    import fcntl
except ImportError:  # Windows: processes are looked at, nothing is locked
    fcntl = None  # type: ignore[assignment]

_held: list[IO[str]] = []  # the open file is the lock: it lives as long as this process


class AnotherRun(RuntimeError):
    """A run of the workflow is alive in this folder; the message says which, and what to do."""


def claim(folder: Path) -> None:
    """Hold the folder for this process until it ends, however it ends.

    Raises:
        AnotherRun: another process holds it.
    """
    handle = _open(folder)
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise AnotherRun(_words(folder, handle.read().strip() or "a process that did not say which")) from None
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    handle.seek(0)
    handle.truncate()
    handle.write(f"process {os.getpid()} on {socket.gethostname()}, since {now}\n")
    handle.flush()
    _held.append(handle)


def release() -> None:
    """Let go of what this process holds."""
    while _held:
        _held.pop().close()


def check_alone(folder: Path) -> None:
    """See that no run is alive in the folder, also not one that is still reading its configuration.

    Raises:
        AnotherRun: one is.
    """
    claim(folder)
    release()
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.info["pid"] != os.getpid() and _is_snakemake(words) and _works_in(process, folder):
            raise AnotherRun(_words(folder, f"process {process.info['pid']} ({' '.join(words[-4:])})"))


def is_locked(folder: Path) -> bool:
    """Whether a run left Snakemake's lock behind (or holds it)."""
    locks = folder / ".snakemake" / "locks"
    return locks.is_dir() and any(locks.iterdir())


def _is_snakemake(words: list[str]) -> bool:
    """A Snakemake that runs a workflow; not one that a cluster started for a single job."""
    names = {Path(word).name for word in words[:3]}
    return "snakemake" in names and "--mode" not in words


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()) == folder.resolve()
    except (psutil.Error, OSError):
        return False  # gone meanwhile, or somebody else's


def _open(folder: Path) -> IO[str]:
    path = folder / ".snakemake" / "seqscale.lock"
    path.parent.mkdir(exist_ok=True)
    return open(path, "a+", encoding="utf-8")


def _words(folder: Path, who: str) -> str:
    return (
        f"a run is alive in {folder}: {who}. Nothing was started or unlocked. Wait for it, or end it (Ctrl-C there, or "
        "`kill` with its number), and type the same again."
    )
