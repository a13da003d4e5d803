"""The CPU kernels beside their peers: ``python -m seqscale.benchmarks.cpu_kernels [--csv FILE]``.

Everything runs in one process, the implementations taking turns round by round, so that a machine that slows down slows
all of them; what is told is each one's median and the ratio of medians. Peers are measured where import finds them
(`pip install mambapy transformers`). SEQSCALE_CPU_ISA=avx2 measures narrower vectors than the machine has.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from seqscale.benchmarks import peers
from seqscale.benchmarks.timing import Summary, garbage_collection_paused
from seqscale.kernels import selective_scan
from seqscale.kernels.cpu import build
from seqscale.mixers.mamba import Mamba

OURS = "seqscale"
SHAPES = ((1, 256, 1024), (64, 256, 128), (1, 1536, 2048))  # (batch, d_inner, length) of the scan
LONG = (1, 256, 65536)
D_STATE = 16
TOKENS = 32  # of a turn of decoding
_FIRST_CALL = """
import time
import torch
from seqscale.kernels import selective_scan
x, A, B = torch.ones(1, 8, 4), -torch.ones(4, 2), torch.ones(1, 8, 2)
began = time.perf_counter()
selective_scan(x, x, A, B, B, implementation="cpu")
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Row:
    """One implementation's time. `ratio`: how many times longer than ours."""

    what: str
    size: str
    direction: str
    implementation: str
    median_ms: float
    p20_ms: float
    p80_ms: float
    repeats: int
    ratio: float


def take_turns(calls: Mapping[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, Summary]:
    """Seconds per call of each, one call of each per round; who has used up `seconds` sits out after three rounds."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    with garbage_collection_paused():
        for done in range(rounds):
            for name, call in calls.items():
                if done >= 3 and sum(samples[name]) > seconds:
                    continue
                began = time.perf_counter()
                call()
                samples[name].append(time.perf_counter() - began)
    return {name: Summary.of(found) for name, found in samples.items()}


def rows(what: str, size: str, direction: str, found: dict[str, Summary]) -> Iterator[Row]:
    ours = found[OURS].median
    for name, s in found.items():
        yield Row(what, size, direction, name, s.median * 1e3, s.p20 * 1e3, s.p80 * 1e3, s.repeats, s.median / ours)


def _there_and_back(call: Callable[[], Tensor], free: list[Tensor]) -> Callable[[], object]:
    """Forward and backward, gradients of all of `free`."""
    y = call()
    dy = torch.randn_like(y)
    return lambda: torch.autograd.grad(call(), free, dy)


def scan_rows(rounds: int, seconds: float, long: bool) -> Iterator[Row]:
    """The bare recurrence, float32, d_state 16."""
    for batch, d_inner, length in (*SHAPES, LONG) if long else SHAPES:
        torch.manual_seed(0)
        u, B, C = torch.randn(batch, length, d_inner), *torch.randn(2, batch, length, D_STATE)
        delta = 0.1 * torch.rand(batch, length, d_inner)
        A = -torch.arange(1.0, D_STATE + 1).repeat(d_inner, 1)
        free = [t.requires_grad_() for t in (u, delta, A, B, C)]
        scans = {OURS: _ours, **(peers.scans() if (batch, d_inner, length) != LONG else {})}
        for name, scan in scans.items():
            with torch.no_grad():
                _agree(name, scan(*free), _ours(*free))
        size = f"batch {batch}, d_inner {d_inner}, length {length}"
        with torch.no_grad():
            yield from rows("scan", size, "forward", take_turns(_bound(scans, free), rounds, seconds))
        both = {name: _there_and_back(call, free) for name, call in _bound(scans, free).items()}
        yield from rows("scan", size, "forward+backward", take_turns(both, rounds, seconds))


def _ours(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    y = selective_scan(u, delta, A, B, C, implementation="cpu")
    assert isinstance(y, Tensor)
    return y


def _bound(scans: dict[str, peers.Scan], free: list[Tensor]) -> dict[str, Callable[[], Tensor]]:
    return {name: (lambda scan=scan: scan(*free)) for name, scan in scans.items()}  # type: ignore[misc]


def _agree(name: str, found: Tensor, expected: Tensor) -> None:
    """A peer that computes something else is no peer.

    Raises:
        ValueError: the results differ by more than rounding.
    """
    error = float((found - expected).norm() / expected.norm())
    if not error < 1e-3:
        raise ValueError(f"{name} computes something else: relative difference {error:.1e}")


def mixer_rows(rounds: int, seconds: float) -> Iterator[Row]:
    """A whole mixer, d_model 128, batch 64, length 128: forward and backward to the input and all parameters."""
    torch.manual_seed(0)
    ours, x = Mamba(128), torch.randn(64, 128, 128, requires_grad=True)
    calls: dict[str, Callable[[], object]] = {}
    for name, mixer in {OURS: ours, **peers.mixers(ours)}.items():
        with torch.no_grad():
            _agree(name, mixer(x), ours(x))
        calls[name] = _there_and_back(lambda mixer=mixer: mixer(x), [x, *mixer.parameters()])  # type: ignore[misc]
    yield from rows(
        "mixer", "d_model 128, batch 64, length 128", "forward+backward", take_turns(calls, rounds, seconds)
    )


def decode_rows(rounds: int) -> Iterator[Row]:
    """One token through four mixers of d_model 128."""
    torch.manual_seed(0)
    layers, x = [Mamba(128).eval() for _ in range(4)], torch.randn(1, 128)
    states = [layer.init_state(1, 1, x.device, x.dtype) for layer in layers]

    def step() -> None:
        y = x
        for layer, state in zip(layers, states, strict=True):
            y, _ = layer.step(y, state)

    def tokens(call: Callable[[], object]) -> Callable[[], object]:
        return lambda: [call() for _ in range(TOKENS)]  # in a row, as in generation

    with torch.inference_mode():
        calls = {name: tokens(call) for name, call in {OURS: step, **peers.decoders(layers)}.items()}
        found = take_turns(calls, 4 * rounds, 1e9)
        each = {name: summary / TOKENS for name, summary in found.items()}
        yield from rows("decode", "4 layers of d_model 128", "step, one token", each)


def first_call_rows() -> Iterator[Row]:
    """The first call of a process: with an empty cache, and after that."""
    with tempfile.TemporaryDirectory() as cache:
        source = str(Path(build.__file__).parents[3])
        path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
        env = os.environ | {"XDG_CACHE_HOME": cache, "PYTHONPATH": path}
        for direction in ("build included", "later process"):
            command = [sys.executable, "-c", _FIRST_CALL]
            told = float(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
            yield Row("first call", build.isa(), direction, OURS, 1e3 * told, 1e3 * told, 1e3 * told, 1, 1.0)


def _line(row: Row) -> str:
    spread = f"({row.p20_ms:.3f} ... {row.p80_ms:.3f}, {row.repeats} x)"
    return (
        f"{row.what:10s}  {row.size:38s}  {row.direction:16s}  {row.implementation:22s}  {row.median_ms:10.3f}  "
        f"{spread:32s}  {row.ratio:8.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m seqscale.benchmarks.cpu_kernels", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each implementation")
    parser.add_argument("--seconds", type=float, default=8.0, help="after this long an implementation sits out")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=("scan", "mixer", "decode", "first-call"), help="measure this alone")
    parser.add_argument("--long", action="store_true", help="also the scan at length 65536 (no peers: gigabytes)")
    parser.add_argument("--csv", type=Path, help="write the rows here too")
    given = parser.parse_args()
    if not build.available():
        parser.error(f"the native library cannot be had here: {build.reason()}")
    torch.set_num_threads(given.threads)
    print(f"PyTorch {torch.__version__}, {given.threads} threads, vectors: {build.isa()}, float32, milliseconds")
    parts = {
        "first-call": first_call_rows,
        "scan": lambda: scan_rows(given.rounds, given.seconds, given.long),
        "mixer": lambda: mixer_rows(given.rounds, given.seconds),
        "decode": lambda: decode_rows(given.rounds),
    }
    found: list[Row] = []
    for name, part in parts.items():
        for row in part() if given.only in (None, name) else ():
            found.append(row)
            print(_line(row), flush=True)
    if given.csv:
        with given.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([field.name for field in fields(Row)])
            writer.writerows(astuple(row) for row in found)


if __name__ == "__main__":
    main()
