"""Run a suite: every probe at every length, out of memory being an answer like any other."""

import gc
import logging
import textwrap
from typing import TYPE_CHECKING, Any

import torch

from seqscale.benchmarks.config import BenchConfig
from seqscale.benchmarks.kernels import Kernels, KernelsConfig
from seqscale.benchmarks.machine import clocks, describe
from seqscale.benchmarks.suites import PROBES, Bench, Probe
from seqscale.benchmarks.timing import Summary
from seqscale.devices import is_out_of_memory
from seqscale.models import LanguageModel
from seqscale.provenance import digest, provenance

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

COLUMNS = (
    *("suite", "model", "implementation", "device", "dtype", "batch", "length", "d_inner", "d_state"),
    *("direction", "quantity", "unit", "median", "p20", "p80", "repeats", "oom"),
)


def run_suite(
    config: BenchConfig, resolved: dict[str, Any] | None = None, model: LanguageModel | None = None
) -> tuple["pd.DataFrame", dict[str, Any]]:
    """Measure one model with one suite.

    Args:
        config: what to measure.
        resolved: the config as it was given, for the provenance.
        model: measured instead of the one that `config.model` describes (tests).

    Returns:
        The rows (COLUMNS; numbers empty where memory ran out) and what belongs beside them: provenance and notes.

    Raises:
        CountMismatch: counted operations or bytes of state differ from the closed form.
        ValueError: the config asks for what cannot be (an unknown mixer, a GPU where there is none).
    """
    torch.set_num_threads(config.threads)
    before = clocks(config.device)
    bench = Bench(config, model)
    bench.choose_attention()
    rows: list[dict[str, Any]] = []
    for probe in PROBES[config.kind](bench):
        rows += _curve(bench, probe)
    about = {"suite": config.suite, "model": config.model.name, "config": resolved, "notes": bench.notes}
    known = {"threads": config.threads, "precision": bench.precision, "clocks_before": before}
    return _table(rows), about | {"provenance": _provenance(resolved, bench.device, known)}


def run_kernels(config: KernelsConfig, resolved: dict[str, Any] | None = None) -> tuple["pd.DataFrame", dict[str, Any]]:
    """Measure every scan there is: rows, and what belongs beside them, as `run_suite` returns them."""
    torch.set_num_threads(config.threads)
    before = clocks(config.device)
    suite = Kernels(config)
    rows = list(suite.rows())
    about = {"suite": config.suite, "model": "selective_scan", "config": resolved, "notes": suite.notes}
    known = {"threads": config.threads, "clocks_before": before}
    return _table(rows), about | {"provenance": _provenance(resolved, suite.device, known)}


def _table(rows: list[dict[str, Any]]) -> "pd.DataFrame":
    import pandas as pd  # here: `seqscale check` counts operations, and needs no tables

    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for column in ("d_inner", "d_state", "repeats"):
        table[column] = table[column].astype("Int64")
    return table


def _provenance(resolved: dict[str, Any] | None, device: torch.device, known: dict[str, Any]) -> dict[str, Any]:
    return provenance(
        config_digest=digest(resolved), seed=0, clocks_after=clocks(device.type), **known, **describe(device)
    )


def _curve(bench: Bench, probe: Probe) -> list[dict[str, Any]]:
    """One probe at every length, shortest first; after the first that does not fit, the longer ones are not tried."""
    config = bench.config
    implementation: str | None = None
    full = False
    rows = []
    for length in config.lengths:
        found: dict[str, Summary] | None = None
        if not full:
            try:
                implementation = implementation or bench.implementation(probe)
                found = probe.measure(length)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                full = True
                bench.notes.append(f"{probe.direction}, length {length}: out of memory ({_briefly(error)})")
            if full:  # outside of the except block, which keeps the failed call's tensors alive
                _give_back(bench)
        for quantity, unit in probe.units.items():
            value = found[quantity] if found else None
            rows.append(_row(bench, probe, implementation, length, quantity, unit, value))
            log.info("%s", _line(rows[-1]))
    return rows


def _row(
    bench: Bench, probe: Probe, implementation: str | None, length: int, quantity: str, unit: str, value: Summary | None
) -> dict[str, Any]:
    config, mixer = bench.config, bench.mixer
    return {
        "suite": config.suite,
        "model": config.model.name,
        "implementation": implementation,
        "device": bench.device.type,
        "dtype": bench.precision,
        "batch": config.batch_at(length),
        "length": length,
        "d_inner": getattr(mixer, "d_inner", None),
        "d_state": getattr(mixer, "d_state", None),
        "direction": probe.direction,
        "quantity": quantity,
        "unit": unit,
        **Summary.cells(value),
    }


def _briefly(error: BaseException) -> str:
    """What an error says, without the advice that PyTorch adds."""
    return textwrap.shorten(str(error) or type(error).__name__, 160, placeholder=" ...")


def _give_back(bench: Bench) -> None:
    bench.model.zero_grad(set_to_none=True)
    gc.collect()
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()


def _line(row: dict[str, Any]) -> str:
    """A row in words, for the log."""
    head = f"{row['suite']} {row['model']} ({row['implementation'] or 'unknown'}) length {row['length']}"
    if row["oom"]:
        return f"{head}: {row['direction']} {row['quantity']}: out of memory"
    return (
        f"{head}: {row['direction']} {row['quantity']} {row['median']:.6g} {row['unit']} "
        f"(20-80 %: {row['p20']:.3g} ... {row['p80']:.3g}, {row['repeats']} x)"
    )
