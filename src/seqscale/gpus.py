"""Which GPU a job sees, where no scheduler says so: one run per GPU, or several runs on one.

SEQSCALE_GPUS lists the devices, each as often as runs may share it: "0,1" is one run per GPU, "0,0,1,1" two on each.
A job takes the first free place, sees that GPU alone (CUDA_VISIBLE_DEVICES) and gives the place back when it ends, also
by kill -9: places are locks of the kernel. Snakemake's `--resources gpu=N`, with N the number of places, starts no more
jobs than there are places. Under SLURM leave it unset: SLURM gives each job its devices.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import IO

VARIABLE = "SEQSCALE_GPUS"

_held: list[IO[str]] = []  # the open files are the locks: they live as long as this process


def places() -> list[str]:
    """The devices of SEQSCALE_GPUS, in order, repeated as there; empty if it is unset.

    Raises:
        ValueError: something in it is no device number or name.
    """
    listed = [place.strip() for place in os.environ.get(VARIABLE, "").split(",") if place.strip()]
    for place in listed:
        if not place.replace("-", "").isalnum():
            raise ValueError(f"{VARIABLE} has {place!r}; allowed: device numbers with commas, such as 0,1 or 0,0,1,1")
    return listed


def take(count: int = 1, folder: Path | None = None) -> str | None:
    """Wait for `count` free places on different GPUs and see those alone; None where SEQSCALE_GPUS is unset.

    Call it before CUDA is first used. A process that has a place already keeps it.

    Args:
        folder: where the locks lie; all jobs of a machine and a user share one.

    Returns:
        What CUDA_VISIBLE_DEVICES was set to.

    Raises:
        ValueError: SEQSCALE_GPUS is malformed or lists fewer than `count` different GPUs.
    """
    listed = places()
    if not listed or _held:
        return os.environ.get("CUDA_VISIBLE_DEVICES") if _held else None
    if len(set(listed)) < count:
        raise ValueError(f"{count} GPUs are needed and {VARIABLE} lists {', '.join(sorted(set(listed)))}")
    import fcntl  # not on Windows, where nobody has several GPUs in a pipeline

    folder = folder or Path(tempfile.gettempdir()) / f"seqscale-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        mine: dict[str, IO[str]] = {}
        for index, device in enumerate(listed):
            if device in mine or len(mine) == count:
                continue
            handle: IO[str] = open(folder / f"place{index}-gpu{device}", "w")  # noqa: SIM115 (open as long as it is held)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mine[device] = handle
            except BlockingIOError:
                handle.close()
        if len(mine) == count:
            _held.extend(mine.values())
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
            return os.environ["CUDA_VISIBLE_DEVICES"]
        for other in mine.values():  # all or none, so that two jobs cannot wait for each other
            other.close()
        time.sleep(0.2)
