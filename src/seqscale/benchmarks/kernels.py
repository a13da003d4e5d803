"""The suite `kernels`: every scan there is against size, beside the floor that the device sets.

The floor of a forward is the larger of two times: its bytes (u, delta, z and y once, B and C once) at the copy rate,
and its exponentials (one for each token, channel and state) at the rate of the special-function units, both measured in
the same job. How near a kernel comes to it is what it is judged by.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from seqscale.benchmarks import ceilings
from seqscale.benchmarks.scans import Problem, available, bind
from seqscale.benchmarks.timing import Summary, measure
from seqscale.devices import is_out_of_memory, resolve_device

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PATIENCE_SECONDS = 1.0  # a call that takes longer is the last of its implementation: larger sizes are left out


@dataclass(frozen=True)
class KernelsConfig:
    """What to measure.

    Args:
        shapes: (batch, d_inner, length) of each.
        d_states, dtypes: every one with every shape.
    """

    suite: str
    shapes: tuple[tuple[int, int, int], ...]
    d_states: tuple[int, ...] = (16,)
    dtypes: tuple[str, ...] = ("float32",)
    repeats: int = 7
    min_seconds: float = 0.2
    device: str = "auto"
    threads: int = 1

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "KernelsConfig":
        """From the JSON of a job of kind "kernels"; what the other kinds also have (precision, ...) is passed over.

        Raises:
            ValueError: no shapes, or a dtype that is none.
        """
        settings = values["settings"]
        dtypes = tuple(settings.get("dtypes", ("float32",)))
        for dtype in dtypes:
            if dtype not in DTYPES:
                raise ValueError(f"settings.dtypes has {dtype!r}; allowed: {', '.join(DTYPES)}")
        if not settings.get("shapes"):
            raise ValueError("settings.shapes must be a list of [batch, d_inner, length]")
        shapes = tuple((int(b), int(d), int(n)) for b, d, n in settings["shapes"])
        plain = {k: values[k] for k in ("repeats", "min_seconds", "device", "threads") if k in values}
        return cls(values["suite"], shapes, tuple(settings.get("d_states", (16,))), dtypes, **plain)


class Kernels:
    """One run of the suite; `notes` says what was left out and why."""

    def __init__(self, config: KernelsConfig) -> None:
        self.config, self.device = config, resolve_device(config.device)
        self.notes: list[str] = []

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of the table: ceilings first, then every size from the smallest."""
        bandwidth = ceilings.copy_bytes_per_second(self.device)
        yield self._row("ceiling", "forward", "copy_rate", "B/s", bandwidth)
        exponentials = None
        if self.device.type == "cuda":
            exponentials = ceilings.exp2_per_second(self.device)
            yield self._row("ceiling", "forward", "exp2_rate", "1/s", exponentials)
            yield self._row("ceiling", "forward", "fma_rate", "1/s", ceilings.fma_per_second(self.device))
        scans = available(self.device)
        given_up: set[tuple[str, str]] = set()
        for problem in self._problems():
            floor = _floor(problem, bandwidth, exponentials)
            yield self._row("floor", "forward", "time", "s", floor, problem)
            for name, scan in scans.items():
                for direction in ("forward", "forward+backward"):
                    if (name, direction) not in given_up:
                        yield self._measured(name, scan, direction, problem, given_up)

    def _problems(self) -> Iterator[Problem]:
        shapes = sorted(self.config.shapes, key=lambda s: s[0] * s[1] * s[2])
        for batch, d_inner, length in shapes:
            for d_state in self.config.d_states:
                for dtype in self.config.dtypes:
                    yield Problem(batch, d_inner, length, d_state, DTYPES[dtype], self.device)

    def _measured(
        self, name: str, scan: Any, direction: str, problem: Problem, given_up: set[tuple[str, str]]
    ) -> dict[str, Any]:
        found = None
        try:
            found = self._time(scan, direction, problem)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            given_up.add((name, direction))
            self.notes.append(f"{name}, {direction}: out of memory at {_size(problem)}; larger sizes left out")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if found is not None and found.median > PATIENCE_SECONDS:
            given_up.add((name, direction))
            self.notes.append(f"{name}, {direction}: {found.median:.1f} s at {_size(problem)}; larger sizes left out")
        return self._row(name, direction, "time", "s", found, problem)

    def _time(self, scan: Any, direction: str, problem: Problem) -> Summary:
        call, free = bind(scan, problem.tensors())
        if direction == "forward":
            with torch.no_grad():
                return self._clock(call)
        y = call()
        gradient = torch.randn_like(y)
        del y
        return self._clock(lambda: torch.autograd.grad(call(), free, gradient))

    def _clock(self, call: Any) -> Summary:
        return measure(call, repeats=self.config.repeats, min_seconds=self.config.min_seconds, device=self.device)

    def _row(
        self, name: str, direction: str, quantity: str, unit: str, value: Summary | None, problem: Problem | None = None
    ) -> dict[str, Any]:
        row = {
            "suite": self.config.suite,
            "model": "selective_scan",
            "implementation": name,
            "device": self.device.type,
            "dtype": str(problem.dtype).removeprefix("torch.") if problem else None,
            "batch": problem.batch if problem else 1,
            "length": problem.length if problem else 1,
            "d_inner": problem.d_inner if problem else None,
            "d_state": problem.d_state if problem else None,
            "direction": direction,
            "quantity": quantity,
            "unit": unit,
            **Summary.cells(value),
        }
        told = f"{value.median:.4g} {unit}" if value else "out of memory"
        log.info("%s %s %s %s: %s", name, _size(problem) if problem else "", direction, quantity, told)
        return row


def _floor(problem: Problem, bandwidth: Summary, exponentials: Summary | None) -> Summary:
    tokens = problem.batch * problem.length
    moved = tokens * (4 * problem.d_inner + 2 * problem.d_state) * problem.dtype.itemsize
    seconds = moved / bandwidth.median
    if exponentials is not None:
        seconds = max(seconds, tokens * problem.d_inner * problem.d_state / exponentials.median)
    return Summary(seconds, seconds, seconds, 1)


def _size(p: Problem) -> str:
    dtype = str(p.dtype).removeprefix("torch.")
    return f"({p.batch}, {p.d_inner}, {p.length}), d_state {p.d_state}, {dtype}"
