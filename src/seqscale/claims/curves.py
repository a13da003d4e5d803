"""Measures over benchmark curves: a value against the length.

    value_at, ratio_at, order_at   at one length; the latter two also in the median over a range of lengths
    growth                         value at the longest over that at the shortest
    exponent                       of a power law in the length

A benchmark is one measurement with many repeats, so its interval is the band of the 20th to 80th percentile, and that
of a ratio the worst case of two bands, which from seven repeats on (the least that benchmarks take) sets equal medians
apart in under 5 % of cases.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from seqscale.claims.load import Trial
from seqscale.claims.measurement import Measurement, evidence_of
from seqscale.claims.predicate import number
from seqscale.claims.select import Notes, Tables, Untestable, as_text, curve_of, point
from seqscale.stats import fit_power_law, upper_part
from seqscale.stats.powerlaw import LEAST_POINTS

# Scans and steps made of PyTorch operations: right, but far from the best there is.
UNFUSED = {"chunked", "pytorch", "reference"}
OUTLIER = 1.6  # times what the neighbouring lengths suggest
NEIGHBOUR = 2.1  # a length further off, as a factor, says too little about the time between
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
        self.timed = "time" in str(first["quantity"])
        kind = "benchmark" if trial.select["table"] == "bench" else "analysis"
        self.setting = f"{first['suite']} {kind}, {first['device']}, {first['dtype']}"
        self.setting += "" if pd.isna(first["batch"]) else f", batch {first['batch']}"
        self.evidence = as_text(taken)
        ran = sorted({str(i) for i in self.rows["implementation"].dropna()})
        self.unfused = bool(UNFUSED & set(ran)) and str(first["quantity"]) != "state"
        self.ran = f"{self.name} as {' and '.join(ran)}" if ran else ""

    def doubt_an_outlier(self, length: int | str, notes: Notes) -> None:
        """A doubt, where one timing stands far above the line through its neighbours: something else was running then.

        On logarithms, and only where both neighbours are an octave away or less: sound curves bend more over longer
        steps. Nothing makes a time too short, and a sound curve that bends upwards lies below that line.
        """
        good = self.rows[~self.rows["oom"].fillna(False) & self.rows["median"].notna() & self.rows["p20"].notna()]
        lengths, values = good["length"].to_numpy(float), good["median"].to_numpy(float)
        at = np.flatnonzero(lengths == float(point(self.rows, length)["length"]))
        if not self.timed or not at.size or not 0 < (i := int(at[0])) < len(lengths) - 1 or min(values) <= 0:
            return
        if max(lengths[i] / lengths[i - 1], lengths[i + 1] / lengths[i]) > NEIGHBOUR:
            return
        x, y = np.log(lengths[i - 1 : i + 2]), np.log(values[i - 1 : i + 2])
        off = math.exp(y[1] - np.interp(x[1], x[[0, 2]], y[[0, 2]]))
        if off >= OUTLIER:
            notes.doubt(
                f"the time of {self.name} at {lengths[i]:,.0f} tokens is {number(off)} times what those at "
                f"{lengths[i - 1]:,.0f} and {lengths[i + 1]:,.0f} suggest, so that one measurement was disturbed"
            )

    def band(self, length: int | str) -> tuple[float, float, float, int, int]:
        """median, p20, p80 (the median itself where nothing was timed), repeats, length."""
        row = point(self.rows, length)
        middle = float(row["median"])
        low, high = (middle if pd.isna(row[p]) else float(row[p]) for p in ("p20", "p80"))
        return middle, low, high, 1 if pd.isna(row["repeats"]) else int(row["repeats"]), int(row["length"])


@dataclass(frozen=True)
class _Place:
    """Where curves are compared: at one length, or over several, of which the medians count."""

    lengths: tuple[int, ...]

    @property
    def text(self) -> str:
        first, last = self.lengths[0], self.lengths[-1]
        if len(self.lengths) == 1:
            return f"at {first:,} tokens"
        return f"in the median over {len(self.lengths)} lengths from {first:,} to {last:,} tokens"

    @property
    def data(self) -> str:
        first, last = self.lengths[0], self.lengths[-1]
        return f"length {first}" if first == last else f"lengths {first} to {last}"

    @property
    def method(self) -> str:
        return BAND if len(self.lengths) == 1 else f"{BAND}; {OVER_LENGTHS}"


def _band_of_ratio(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, float, float]:
    if min(a[1], b[1]) <= 0:
        raise Untestable("a ratio needs positive values; one of them is zero")
    return a[0] / b[0], a[1] / b[2], a[2] / b[1]


def _band_text(estimate: float, low: float, high: float, unit: str) -> str:
    spread = f" (20th to 80th percentile: {number(low)} to {number(high)})" if high > low else " (counted)"
    return f"is {number(estimate)}{f' {unit}' if unit else ''}{spread}"


OVER_LENGTHS = "each end and the number itself the median over the lengths"
BAND = "20th to 80th percentile of the repeats; a ratio takes the worst case of both bands"


def _same_setting(curves: list[_Curve]) -> None:
    for what in ("device", "batch", "quantity"):
        if len({str(getattr(c, what)) for c in curves}) > 1:
            told = ", ".join(f"{c.name}: {getattr(c, what)}" for c in curves)
            raise Untestable(f"the curves differ in {what} ({told}) and cannot be compared")


def _shared_lengths(curves: list[_Curve]) -> list[int]:
    """The lengths at which all curves were measured (memory was not out for any), ascending."""
    there = ({int(n) for n in c.rows.loc[~c.rows["oom"].fillna(False), "length"]} for c in curves)
    return sorted(set.intersection(*there))


def _common_length(curves: list[_Curve], length: int | str) -> int | str:
    """ "longest" or "shortest" as a length that all curves measured."""
    if length not in ("longest", "shortest"):
        return length
    shared = _shared_lengths(curves)
    if not shared:
        raise Untestable("the curves share no length at which all could be measured")
    return shared[-1] if length == "longest" else shared[0]


def _count(curves: list[_Curve], place: _Place) -> int:
    """What a number rests on: the repeats at its length, or the lengths of its median."""
    return len(place.lengths) if len(place.lengths) > 1 else min(c.band(place.lengths[0])[3] for c in curves)


def _large_enough(tables: Tables, trial: Trial, curves: list[_Curve], notes: Notes) -> None:
    """A claim about large models (`needs_params`, without embeddings) is neither met nor refuted by small ones."""
    wanted = trial.options.get("needs_params")
    if not wanted:
        return
    models = tables["models"]
    for curve in curves:
        sizes = models.loc[(models["model"] == curve.name).fillna(False), "params_nonembedding"].dropna()
        if sizes.empty:
            notes.doubt(f"the claim speaks of {wanted:,.0f} parameters, and the size of {curve.name} is not known")
        elif sizes.max() < wanted:
            notes.doubt(f"the claim speaks of {wanted:,.0f} parameters and {curve.name} has {int(sizes.max()):,}")


def value_at(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    curve = _Curve(tables, trial, {}, notes)
    scale = trial.options.get("scale", 1.0)
    value, low, high, repeats, length = curve.band(trial.options["length"])
    value, low, high = (scale * v for v in (value, low, high))
    curve.doubt_an_outlier(length, notes)
    phrase = f"{curve.quantity} of {curve.name} at {length:,} tokens {_band_text(value, low, high, trial.unit)}"
    data = f"{curve.setting}, length {length}"
    notes.ran([curve.ran])
    result = Measurement(value, low, high, repeats, phrase, BAND, data, evidence_of(trial, [curve]), notes)
    result.unfused_lowers = curve.name if curve.unfused else ""
    return result


def _place(curves: list[_Curve], trial: Trial, notes: Notes) -> _Place:
    """The length that a trial names, or those of its range at which every curve was measured."""
    if "length" in trial.options:
        length = _common_length(curves, trial.options["length"])
        for curve in curves:
            curve.doubt_an_outlier(length, notes)
        return _Place((curves[0].band(length)[4],))
    low, high = trial.options.get("min_length", 0), trial.options.get("max_length", math.inf)
    lengths = tuple(n for n in _shared_lengths(curves) if low <= n <= high)
    if not lengths:
        there = ", ".join(f"{n:,}" for n in _shared_lengths(curves)) or "none"
        raise Untestable(f"no length from {low:,} to {high:,} was measured for all; lengths shared: {there}")
    if len(lengths) < LEAST_POINTS:
        notes.doubt(f"{len(lengths)} of the lengths asked for were measured, and a median needs {LEAST_POINTS}")
    return _Place(lengths)


def _ratio_over(a: _Curve, b: _Curve, place: _Place) -> tuple[float, float, float]:
    """Ratio, low and high: each the median over the lengths, so that one disturbed measurement moves none of them."""
    found = [_band_of_ratio(a.band(n), b.band(n)) for n in place.lengths]
    estimate, low, high = (median(column) for column in zip(*found, strict=True))
    return estimate, low, high


def ratio_at(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    curves = [_Curve(tables, trial, trial.options[key], notes) for key in ("of", "over")]
    _same_setting(curves)
    place = _place(curves, trial, notes)
    estimate, low, high = _ratio_over(curves[0], curves[1], place)
    value = _band_text(estimate, low, high, trial.unit)
    phrase = f"{curves[0].quantity} of {curves[0].name} over that of {curves[1].name} {place.text} {value}"
    data = f"{curves[0].setting}, {place.data}"
    notes.ran([curve.ran for curve in curves])
    _large_enough(tables, trial, curves, notes)
    n = _count(curves, place)
    result = Measurement(estimate, low, high, n, phrase, place.method, data, evidence_of(trial, curves), notes)
    result.unfused_lowers, result.unfused_raises = (curve.name if curve.unfused else "" for curve in curves)
    return result


def order_at(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    """Neighbours in the claimed order, least first; the ratio nearest to breaking it is reported."""
    curves = [_Curve(tables, trial, {"model": model}, notes) for model in trial.options["models"]]
    _same_setting(curves)
    place = _place(curves, trial, notes)
    ratios = [_ratio_over(a, b, place) for a, b in pairwise(curves)]
    worst = max(range(len(ratios)), key=lambda i: ratios[i][2])
    estimate, low, high = ratios[worst]
    told = ", ".join(f"{c.name} {number(median(c.band(n)[0] for n in place.lengths))}" for c in curves)
    phrase = (
        f"{curves[0].quantity} {place.text} is {told} {curves[0].unit}; the pair nearest to breaking the "
        f"order, {curves[worst].name} over {curves[worst + 1].name}, {_band_text(estimate, low, high, trial.unit)}"
    )
    data = f"{curves[0].setting}, {place.data}"
    n = _count(curves, place)
    result = Measurement(estimate, low, high, n, phrase, place.method, data, evidence_of(trial, curves), notes)
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
