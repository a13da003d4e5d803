"""How long a function takes: the median and the spread of enough repeats, everything else kept out of the way."""

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

# A slow measurement stops after this many times min_seconds, once it has LEAST samples: a length that takes seconds
# per call does not need twenty of them. LEAST is seven because verdicts use the band of the 20th to 80th percentile,
# which is too narrow with fewer. The number of samples stands in the result.
PATIENCE = 2
LEAST = 7
# Of calls of LONG seconds and more (a million tokens through attention) FEWEST will do: they differ by little.
LONG = 2.0
FEWEST = 3
MOST = 10_000


@dataclass(frozen=True)
class Summary:
    """Median, 20th and 80th percentile of `repeats` samples (linear interpolation between samples)."""

    median: float
    p20: float
    p80: float
    repeats: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Summary":
        low, high = np.percentile(samples, [20, 80])
        return cls(statistics.median(samples), float(low), float(high), len(samples))

    def __truediv__(self, number: float) -> "Summary":
        return Summary(self.median / number, self.p20 / number, self.p80 / number, self.repeats)

    @staticmethod
    def cells(value: "Summary | None") -> dict[str, float | bool | None]:
        """The cells of a row of a table, by column; without a summary memory ran out, and they are empty."""
        numbers = asdict(value) if value else dict.fromkeys(("median", "p20", "p80", "repeats"))
        return {**numbers, "oom": value is None}

    def inverse(self, number: float = 1.0) -> "Summary":
        """number / sample: a rate from times."""
        return Summary(number / self.median, number / self.p80, number / self.p20, self.repeats)


def measure(
    call: Callable[[], object], *, repeats: int, min_seconds: float, device: torch.device | str = "cpu"
) -> Summary:
    """Seconds per call. Warms up first (compilation, autotuning and allocations happen before the clock starts).

    On a CPU each call is timed by the monotonic clock; on a GPU by a pair of device events around it, so that what is
    timed is the device's work, together with any time it waits for the host to launch more.

    Args:
        call: what is timed; its result is dropped.
        repeats: at least so many samples, unless they take longer than PATIENCE * min_seconds (then at least LEAST;
            FEWEST of calls that take LONG seconds).
        min_seconds: samples are taken until they add up to this.
    """
    kind = torch.device(device).type
    samples: list[float] = []
    with garbage_collection_paused():
        _warm_up(call, kind, min_seconds)
        once = _cuda_seconds if kind == "cuda" else _cpu_seconds
        spent = 0.0
        while not _enough(len(samples), spent, repeats, min_seconds):
            samples.append(once(call))
            spent += samples[-1]
    return Summary.of(samples)


def _enough(count: int, spent: float, repeats: int, min_seconds: float) -> bool:
    if count >= repeats and (spent >= min_seconds or count >= MOST):
        return True
    least = FEWEST if count and spent / count >= LONG else LEAST
    return count >= min(least, repeats) and spent >= PATIENCE * min_seconds > 0


def _warm_up(call: Callable[[], object], kind: str, min_seconds: float) -> None:
    """At least once; up to three times while that costs less than a fifth of min_seconds."""
    began = time.perf_counter()
    for _ in range(3):
        call()
        if kind == "cuda":
            torch.cuda.synchronize()
        if time.perf_counter() - began > min_seconds / 5:
            break


def _cpu_seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - began) / 1e9


def _cuda_seconds(call: Callable[[], object]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


@contextlib.contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Collect now, then not until the end of the block.

    What is alive then is set aside: PyTorch's hundred thousands of objects take a fifth of a second to look through.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
