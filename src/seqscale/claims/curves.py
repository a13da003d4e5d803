"""Measures over benchmark curves: a value against the length.

    value_at, ratio_at, order_at   at one length                 growth   value at the longest / at the shortest
    exponent                       of a power law in the length

A benchmark is one measurement with many repeats, so its interval is the band of the 20th to 80th percentile, and that
of a ratio the worst case of two bands, which from seven repeats on (the least that benchmarks take) sets equal medians
apart in under 5 % of cases.
"""

import math
from itertools import pairwise
from typing import Any

import pandas as pd

from seqscale.claims.load import Trial
from seqscale.claims.measurement import Measurement, evidence_of
from seqscale.claims.predicate import number
from seqscale.claims.select import Notes, Tables, Untestable, as_text, curve_of, point
from seqscale.stats import fit_power_law, upper_part
from seqscale.stats.powerlaw import LEAST_POINTS

# Scans and steps made of PyTorch operations: right, but far from the best there is.
UNFUSED = {"chunked", "pytorch", "reference"}
LEAST_RANGE = 4.0  # an exponent over less than two octaves of length says little about scaling


class _Curve:
    """One benchmark curve of a trial."""

    def __init__(self, tables: Tables, trial: Trial, side: dict[str, Any], notes: Notes) -> None:
        wanted = {k: v for k, v in trial.select.items() if k != "table"} | side
        self.rows, taken = curve_of(tables, wanted, notes, trial.select["table"])
        first = self.rows.iloc[0]
        self.name, self.device, self.batch = str(first["model"]), str(first["device"]), first["batch"]
        self.quantity = f"{str(first['quantity']).replace('_', ' ')} ({first['suite']}, {first['direction']})"
        self.unit = str(first["unit"])
        kind = "benchmark" if trial.select["table"] == "bench" else "analysis"
        self.setting = f"{first['suite']} {kind}, {first['device']}, {first['dtype']}"
        self.setting += "" if pd.isna(first["batch"]) else f", batch {first['batch']}"
        self.evidence = as_text(taken)
        ran = sorted({str(i) for i in self.rows["implementation"].dropna()})
        self.unfused = bool(UNFUSED & set(ran)) and str(first["quantity"]) != "state"
        self.ran = f"{self.name} as {' and '.join(ran)}" if ran else ""

    def band(self, length: int | str) -> tuple[float, float, float, int, int]:
        """median, p20, p80 (the median itself where nothing was timed), repeats, length."""
        row = point(self.rows, length)
        median = float(row["median"])
        low, high = (median if pd.isna(row[p]) else float(row[p]) for p in ("p20", "p80"))
        return median, low, high, 1 if pd.isna(row["repeats"]) else int(row["repeats"]), int(row["length"])


def _band_of_ratio(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, float, float]:
    if min(a[1], b[1]) <= 0:
        raise Untestable("a ratio needs positive values; one of them is zero")
    return a[0] / b[0], a[1] / b[2], a[2] / b[1]


def _band_text(estimate: float, low: float, high: float, unit: str) -> str:
    spread = f" (20th to 80th percentile: {number(low)} to {number(high)})" if high > low else " (counted)"
    return f"is {number(estimate)}{f' {unit}' if unit else ''}{spread}"


BAND = "20th to 80th percentile of the repeats; a ratio takes the worst case of both bands"


def _same_setting(curves: list[_Curve]) -> None:
    for what in ("device", "batch", "quantity"):
        if len({str(getattr(c, what)) for c in curves}) > 1:
            told = ", ".join(f"{c.name}: {getattr(c, what)}" for c in curves)
            raise Untestable(f"the curves differ in {what} ({told}) and cannot be compared")


def _common_length(curves: list[_Curve], length: int | str) -> int | str:
    """ "longest" or "shortest" as a length that all curves measured (memory was not out for any)."""
    if length not in ("longest", "shortest"):
        return length
    shared = set.intersection(*({int(n) for n in c.rows.loc[~c.rows["oom"].fillna(False), "length"]} for c in curves))
    if not shared:
        raise Untestable("the curves share no length at which all could be measured")
    return max(shared) if length == "longest" else min(shared)


def value_at(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    curve = _Curve(tables, trial, {}, notes)
    scale = trial.options.get("scale", 1.0)
    median, low, high, repeats, length = curve.band(trial.options["length"])
    median, low, high = (scale * v for v in (median, low, high))
    phrase = f"{curve.quantity} of {curve.name} at {length:,} tokens {_band_text(median, low, high, trial.unit)}"
    data = f"{curve.setting}, length {length}"
    notes.ran([curve.ran])
    result = Measurement(median, low, high, repeats, phrase, BAND, data, evidence_of(trial, [curve]), notes)
    result.unfused_lowers = curve.name if curve.unfused else ""
    return result


def ratio_at(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    curves = [_Curve(tables, trial, trial.options[key], notes) for key in ("of", "over")]
    _same_setting(curves)
    length = _common_length(curves, trial.options["length"])
    a, b = (curve.band(length) for curve in curves)
    estimate, low, high = _band_of_ratio(a, b)
    value = _band_text(estimate, low, high, trial.unit)
    phrase = f"{curves[0].quantity} of {curves[0].name} over that of {curves[1].name} at {a[4]:,} tokens {value}"
    data = f"{curves[0].setting}, length {a[4]}"
    notes.ran([curve.ran for curve in curves])
    result = Measurement(estimate, low, high, min(a[3], b[3]), phrase, BAND, data, evidence_of(trial, curves), notes)
    result.unfused_lowers, result.unfused_raises = (curve.name if curve.unfused else "" for curve in curves)
    return result


def order_at(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    """Neighbours in the claimed order, least first; the ratio nearest to breaking it is reported."""
    curves = [_Curve(tables, trial, {"model": model}, notes) for model in trial.options["models"]]
    _same_setting(curves)
    length = _common_length(curves, trial.options["length"])
    bands = [curve.band(length) for curve in curves]
    ratios = [_band_of_ratio(a, b) for a, b in pairwise(bands)]
    worst = max(range(len(ratios)), key=lambda i: ratios[i][2])
    estimate, low, high = ratios[worst]
    told = ", ".join(f"{c.name} {number(b[0])}" for c, b in zip(curves, bands, strict=True))
    phrase = (
        f"{curves[0].quantity} at {bands[0][4]:,} tokens is {told} {curves[0].unit}; the pair nearest to breaking the "
        f"order, {curves[worst].name} over {curves[worst + 1].name}, {_band_text(estimate, low, high, trial.unit)}"
    )
    data = f"{curves[0].setting}, length {bands[0][4]}"
    repeats = min(b[3] for b in bands)
    result = Measurement(estimate, low, high, repeats, phrase, BAND, data, evidence_of(trial, curves), notes)
    result.checks = [(r[1], r[2], r[1], r[2]) for r in ratios]
    notes.ran([curve.ran for curve in curves])
    pair = curves[worst], curves[worst + 1]
    result.unfused_lowers, result.unfused_raises = (curve.name if curve.unfused else "" for curve in pair)
    return result


def _range(curve: _Curve, trial: Trial, notes: Notes) -> pd.DataFrame:
    """The points of a curve between min_length and max_length; those out of memory are named and left out."""
    low, high = trial.options.get("min_length", 0), trial.options.get("max_length", math.inf)
    rows = curve.rows[(curve.rows["length"] >= low) & (curve.rows["length"] <= high)]
    lost = rows.loc[rows["oom"].fillna(False), "length"]
    if len(lost):
        notes.caveat(f"{curve.name} ran out of memory at {', '.join(f'{n:,}' for n in lost)} tokens.")
    return rows[~rows["oom"].fillna(False)]


def growth(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    curve = _Curve(tables, trial, {}, notes)
    rows = _range(curve, trial, notes)
    if len(rows) < 2:
        raise Untestable(f"growth needs two lengths and {curve.name} has {len(rows)} in the range asked for")
    first, last = (curve.band(int(rows["length"].iloc[i])) for i in (0, -1))
    estimate, low, high = _band_of_ratio(last, first)
    value = _band_text(estimate, low, high, trial.unit)
    phrase = f"{curve.quantity} of {curve.name} at {last[4]:,} tokens over that at {first[4]:,} {value}"
    data = f"{curve.setting}, lengths {first[4]} to {last[4]}"
    evidence = evidence_of(trial, [curve])
    return Measurement(estimate, low, high, min(first[3], last[3]), phrase, BAND, data, evidence, notes)


def exponent(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    """Exponent of value ~ length ** exponent; by default of the upper part of the curve (see stats.powerlaw)."""
    curve = _Curve(tables, trial, {}, notes)
    rows = _range(curve, trial, notes)
    lengths, values = rows["length"].to_numpy(float), rows["median"].to_numpy(float)
    if len(lengths) < LEAST_POINTS:
        there = ", ".join(f"{n:,}" for n in curve.rows["length"])
        low, high = trial.options.get("min_length"), trial.options.get("max_length")
        span = f"{f' from {low}' if low else ''}{f' up to {high}' if high else ''}"
        raise Untestable(
            f"an exponent needs at least {LEAST_POINTS} lengths{span} and {curve.name} has {len(lengths)}; "
            f"lengths measured: {there}"
        )
    start = upper_part(lengths) if trial.options.get("upper", True) else 0.0
    try:
        fit = fit_power_law(lengths, values, min_length=start)
    except ValueError as error:
        raise Untestable(f"no exponent for {curve.name}: {error}") from error
    if fit.length_max / fit.length_min < LEAST_RANGE:
        notes.doubt(f"lengths of {fit.length_min:,.0f} to {fit.length_max:,.0f} tokens are less than two octaves")
    reach = trial.options.get("reach")
    if reach and fit.length_max < reach:
        notes.doubt(f"the claim speaks of {reach:,} tokens and the longest measured is {fit.length_max:,.0f}")
    trend = "rising" if fit.still_rising else "falling" if fit.still_falling else ""
    if trend:
        notes.caveat(
            f"The exponent is still {trend} with the length: {number(fit.local_first)} between the shortest, "
            f"{number(fit.local_last)} between the longest two of these lengths."
        )
    phrase = (
        f"{curve.quantity} of {curve.name} grows with length to the power {number(fit.exponent)} (95% interval "
        f"{number(fit.low)} to {number(fit.high)}, {fit.points} lengths from {fit.length_min:,.0f} to "
        f"{fit.length_max:,.0f} tokens)"
    )
    data = f"{curve.setting}, lengths {fit.length_min:.0f} to {fit.length_max:.0f}"
    evidence = evidence_of(trial, [curve])
    notes.ran([curve.ran])
    every = curve.rows.loc[~curve.rows["oom"].fillna(False), "median"].to_numpy(float)
    timed = curve.rows["p20"].notna().any()
    return Measurement(
        fit.exponent, fit.low, fit.high, fit.points, phrase, fit.method, data, evidence, notes,
        trend=trend, local_last=fit.local_last, fixed_share=float(every[0] / values[-1]) if timed else 0.0,
    )  # fmt: skip
