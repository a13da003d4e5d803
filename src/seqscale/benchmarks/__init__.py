"""What a model costs: time, memory and floating-point operations against length, on whatever device is there.

`timing`, `memory` and `flops` each measure one function; `suites` says what is measured of a model, `runner` measures
it at every length and lives through running out of memory; `config` reads what was asked for. `kernels` measures the
scan alone, every implementation of it, beside the `ceilings` of the device.
"""

from seqscale.benchmarks.checks import CountMismatch
from seqscale.benchmarks.config import KINDS, BenchConfig
from seqscale.benchmarks.flops import count_flops
from seqscale.benchmarks.kernels import KernelsConfig
from seqscale.benchmarks.memory import peak_bytes
from seqscale.benchmarks.runner import COLUMNS, run_kernels, run_suite
from seqscale.benchmarks.timing import Summary, measure

__all__ = [
    "COLUMNS",
    "KINDS",
    "BenchConfig",
    "CountMismatch",
    "KernelsConfig",
    "Summary",
    "count_flops",
    "measure",
    "peak_bytes",
    "run_kernels",
    "run_suite",
]
