"""Benchmark files -> bench (as measured) and scaling (the exponent of every curve).

Out of memory is a data point: such a row stays in `bench` with `oom` true and no median, is left out of the fit, and
its length is named in `scaling`.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from seqscale.stats import fit_power_law, upper_part
from seqscale.tables.columns import MISSING, as_table
from seqscale.tables.matrix import Matrix
from seqscale.tables.measured import collect_measured, misplaced
from seqscale.tables.runs import Reader

RATES = ("tokens_per_second", "mfu", "copy_rate", "exp2_rate", "fma_rate")  # told, but no cost that scales
CURVE = ["suite", "model", "direction", "quantity", "implementation", "device", "dtype", "batch", "unit"]


def collect_bench(results: Path, matrix: Matrix, reader: Reader) -> pd.DataFrame:
    """All benchmark files of the matrix as one table; absent ones as a row with status "missing" where allowed."""
    return collect_measured(
        "bench", matrix.bench, results, reader,
        absent=lambda key, _: {
            "suite": key.suite, "model": key.model,
            "reason": f"no benchmark file {key.suite}/{key.model}.csv: not run, failed, or lost",
        },
        wrong=lambda table, key: _wrong(table, key.suite, key.model),
        judge=_judge,
    )  # fmt: skip


def _judge(table: pd.DataFrame) -> None:
    oom = table["oom"].fillna(False).astype(bool)
    table["status"] = pd.Series("ok", index=table.index).mask(oom, "out of memory").astype("string")


def _wrong(table: pd.DataFrame, suite: str, model: str) -> str | None:
    """What makes a benchmark file unfit, in words; None if nothing. Line 1 of the file is its header."""
    if table.empty:
        return "has no rows. Delete it and run again."
    for column, expected in (("suite", suite), ("model", model)):
        if (words := misplaced(table, column, expected, "its place says")) is not None:
            return words
    oom = table["oom"].fillna(False).astype(bool)
    for column, broken in (
        ("median", ~oom & ~(table["median"] >= 0)),  # written so that NaN counts as broken
        ("length", ~(table["length"] > 0).fillna(False).astype(bool)),
        ("quantity", table["quantity"].isna()),
        ("p20 <= median <= p80", (table["p20"] > table["median"]) | (table["median"] > table["p80"])),
    ):
        if broken.any():
            return f"line {table.index[broken][0] + 2}: {column} is missing or impossible (and oom is not true)."
    return None


def _filled(measured: pd.DataFrame) -> pd.Series:
    """Which rows belong to a curve of calls filled with tokens: batch x length is the same for all rows of it but those
    of a single sequence, which are as long or longer (up to rounding: a whole number of sequences fits)."""
    size = [*CURVE[:5], "d_inner", "d_state"]
    found = pd.Series(False, index=measured.index)
    for _, rows in measured.groupby(size, dropna=False, sort=False):
        several = rows[rows["batch"] > 1]
        if rows["batch"].nunique() < 2 or rows.groupby("length")["batch"].nunique().max() > 1:
            continue
        most = float((several["batch"] * several["length"]).max())
        held = (rows["batch"] * rows["length"]).astype(float)
        found.loc[rows.index] = bool((held > most / 2).all())
    return found


def scaling(bench: pd.DataFrame) -> pd.DataFrame:
    """One row per curve of `bench`: the exponent of its upper part, and of the whole of it, with intervals.

    A curve that bears no exponent (fewer than three lengths, a quantity that is zero) is a row with a reason.
    """
    rows: list[dict[str, Any]] = []
    measured = bench[(bench["status"] != MISSING) & ~bench["quantity"].isin(RATES)].copy()
    measured.loc[_filled(measured), "batch"] = pd.NA  # calls of so many tokens: one curve, although the batch shrinks
    for (*group, d_inner, d_state), curve in measured.groupby([*CURVE, "d_inner", "d_state"], dropna=False, sort=False):
        lost = curve["oom"].fillna(False).astype(bool)
        points = curve[~lost]
        row: dict[str, Any] = {**dict(zip(CURVE, group, strict=True)), "d_inner": d_inner, "d_state": d_state}
        row["oom_lengths"] = " ".join(str(length) for length in sorted(curve.loc[lost, "length"])) or None
        rows.append(row)
        lengths, values = points["length"].to_numpy(float), points["median"].to_numpy(float)
        row["points"] = row["points_all"] = len(points)
        if len(points):
            row["length_min"] = row["length_min_all"] = int(lengths.min())
            row["length_max"] = int(lengths.max())
        try:
            whole = fit_power_law(lengths, values)
            upper = fit_power_law(lengths, values, min_length=upper_part(lengths))
        except ValueError as error:
            row["reason"] = str(error)
            continue
        row |= {
            "exponent": upper.exponent,
            "ci_low": upper.low,
            "ci_high": upper.high,
            "length_min": int(upper.length_min),
            "length_max": int(upper.length_max),
            "points": upper.points,
            "r2": upper.r2,
            "coefficient": upper.coefficient,
            "local_first": upper.local_first,
            "local_last": upper.local_last,
            "still_rising": upper.still_rising,
            "exponent_all": whole.exponent,
            "ci_low_all": whole.low,
            "ci_high_all": whole.high,
            "length_min_all": int(whole.length_min),
            "points_all": whole.points,
            "method": upper.method,
        }
    return as_table("scaling", rows)
