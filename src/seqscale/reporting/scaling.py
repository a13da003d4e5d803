"""Figures about time, memory and FLOPs against length, all from the bench and scaling tables.

Axes are logarithmic, so a power law is a straight line and its exponent the slope. Points are medians, bars the 20th
and 80th percentile. Running out of memory is a point, too: a cross at the top edge.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from seqscale.reporting.canvas import length_text
from seqscale.reporting.chart import OF_REPEATS, OVER_SEEDS, Axis, Chart, Dot, Dots, Lines, Mark, Series, nothing
from seqscale.reporting.source import Tables, records
from seqscale.reporting.suites import filled, suites_of

VARIANTS = ("implementation", "dtype", "batch", "d_state", "d_inner")  # told in a label only where a model has several


class Plan(NamedTuple):
    """What a figure shows: rows of the bench table, and words. `suite` is the kind, and the name of its first suite."""

    suite: str
    quantity: str
    directions: tuple[str, ...]
    y_label: str
    unit: str
    x_label: str

    @property
    def kind(self) -> str:
        """What its suites measure, however they are called."""
        return self.suite


PLANS: dict[str, Plan] = {
    "prefill_scaling": Plan("prefill", "time", ("forward",), "time per forward pass", "s", "sequence length (tokens)"),
    "decode_scaling": Plan("decode", "time_per_token", ("step",), "time per generated token", "s", "context (tokens)"),
    "train_step_scaling": Plan(
        "train_step", "time", ("forward+backward",), "time per training step", "s", "sequence length (tokens)"
    ),
    "memory_scaling": Plan(
        "memory", "peak_memory", ("forward", "forward+backward"), "peak memory", "B", "sequence length (tokens)"
    ),
    "state_size": Plan("memory", "state", ("step",), "state or cache", "B", "tokens read so far"),
    "flops_scaling": Plan(
        "flops", "flops", ("forward", "forward+backward"), "FLOPs per sequence", "", "sequence length (tokens)"
    ),
}
DIRECTION_WORDS = {"forward": "forward", "forward+backward": "forward and backward", "step": "one token at a time"}


def series_of(rows: pd.DataFrame, tables: Tables) -> list[tuple[str, str, pd.DataFrame]]:
    """(model, label, rows by length): one per model, or per model and variant where a model was measured in several."""
    found = []
    for model, group in rows.groupby("model", sort=True):
        variants = [column for column in VARIANTS if column != "batch" or not filled(group)]
        varying = [column for column in variants if group[column].nunique(dropna=False) > 1]
        if not varying:
            found.append((str(model), tables.model_title(str(model)), group.sort_values("length")))
            continue
        for key, part in group.groupby(varying, dropna=False, sort=True):
            words = " ".join(f"{k:g}" if isinstance(k, float) else str(k) for k in key)
            found.append((str(model), f"{tables.model_title(str(model))}, {words}", part.sort_values("length")))
    return found


def _exponent(tables: Tables, plan: Plan, line: pd.DataFrame, direction: str, brief: bool) -> str:
    """ "1.02 [0.98, 1.05]" from the scaling table for the curve `line`, or nothing; `brief` leaves the interval out."""
    s = tables.scaling
    row = s[s["suite"].isin(line["suite"]) & (s["quantity"] == plan.quantity) & s["exponent"].notna()]
    for column in ("model", "implementation", "device", "dtype", "batch"):
        row = row[row[column].isna() | row[column].isin(line[column])]  # a column left empty speaks for all variants
    row = row[row["direction"].isna() | (row["direction"] == direction)]
    if len(row) != 1:
        return ""
    value, low, high = (float(row[c].iloc[0]) for c in ("exponent", "ci_low", "ci_high"))
    exact = brief or not (np.isfinite(low) and np.isfinite(high)) or high - low < 0.005
    text = f"{value:.2f}" if exact else f"{value:.2f} [{low:.2f}, {high:.2f}]"
    return text.replace("-0.00", "0.00") + (" ↑" if bool(row["still_rising"].iloc[0]) else "")


def panel(rows: pd.DataFrame, tables: Tables, plan: Plan, direction: str, title: str, brief: bool) -> tuple[Lines, str]:
    """One panel and its description. `brief`: labels without intervals, where panels are narrow."""
    series, marks, told, zeros = [], [], [], []
    for model, label, line in series_of(rows, tables):
        failed = line[line["oom"]]
        first = float(failed["length"].min()) if len(failed) else math.nan
        for length in failed["length"]:
            words = f"{label}: out of memory at {length_text(first)}"
            marks.append(Mark(model, label, float(length), math.nan, words))
        line = line[~line["oom"] & line["median"].notna()]
        if len(line) and (line["median"] <= 0).all():
            zeros.append(label)
            continue
        line = line[line["median"] > 0]
        exponent = _exponent(tables, plan, line, direction, brief) if len(line) else ""
        name = f"{label}  {exponent}".rstrip() if len(line) else f"{label}  no point"
        x, y, low, high = (line[c].tolist() for c in ("length", "median", "p20", "p80"))
        series.append(Series(model, name, x, y, low, high, name=label, spread=OF_REPEATS))
        told.append(f"{label} {'exponent ' + exponent if exponent else 'no exponent fitted'}")
        if len(failed):
            told.append(f"{label} ran out of memory at {length_text(first)}")
    if zeros:
        told.append(f"none at all: {', '.join(zeros)}")
    header = "fitted exponent" if brief else "fitted exponent [95 %]"
    if any("↑" in s.label for s in series):
        header += "\n↑ still rising: at least this"
    x_axis, y_axis = Axis(plan.x_label, log=True, lengths=True), Axis(plan.y_label, plan.unit, log=True)
    return Lines(title, x_axis, y_axis, tuple(series), tuple(marks), slopes=not filled(rows), header=header), "; ".join(
        told
    ) + "."


def device_name(name: str | None) -> str:
    """A device as people say it."""
    return "unknown device" if not name else "CPU" if name.lower() == "cpu" else name


def batch_words(rows: pd.DataFrame) -> list[str]:
    """ "batch 1", or how many tokens a call holds where the batch shrinks as the length grows; nothing if unknown."""
    if filled(rows):
        return [f"{float((rows['batch'] * rows['length']).min()):,.0f} tokens a call"]
    batches = ", ".join(f"{b:g}" for b in sorted(rows["batch"].dropna().unique()))
    return [f"batch {batches}"] if batches else []


def _bench_figure(name: str) -> Callable[[Tables, str], Chart]:
    plan = PLANS[name]

    def build(tables: Tables, title: str) -> Chart:
        rows = tables.bench[tables.bench["quantity"] == plan.quantity]
        rows = rows[rows["length"].notna() & (rows["oom"] | rows["median"].notna())]
        rows = rows.assign(place=rows["device"].map(device_name))
        parts = [
            (suite, str(device), direction, part)
            for suite in suites_of(plan.kind, tables.bench)
            for device, at in rows[rows["suite"] == suite].groupby("place", sort=True)
            for direction in plan.directions
            if len(part := at[at["direction"] == direction])
        ]
        if not parts:
            why = f"the bench table holds no {plan.quantity.replace('_', ' ')} of the suite {plan.suite}."
            return nothing(title, why)
        panels, alt = [], [f"{title}, both axes logarithmic."]
        for suite, device, direction, part in parts:
            words = [DIRECTION_WORDS[direction]] if len(plan.directions) > 1 else []
            heading = ", ".join([*words, device, *batch_words(part)])
            heading = f"{suite}: {heading}" if suite != plan.suite else heading[:1].upper() + heading[1:]
            lines, told = panel(part, tables, plan, direction, heading, len(parts) > 1)
            panels.append(lines)
            alt.append(f"{heading}: {told}")
        data = pd.concat([part for *_, part in parts], ignore_index=True)
        return Chart(title, tuple(panels), data.drop(columns="place").dropna(axis="columns", how="all"), " ".join(alt))

    build.__doc__ = f"{plan.y_label} against {plan.x_label}."
    return build


def scaling_exponents(tables: Tables, title: str) -> Chart:
    """Dot plot of every fitted exponent with its interval; guides at 0 (constant), 1 (linear) and 2 (quadratic)."""
    fits = tables.scaling.dropna(subset=["exponent"])
    groups = [
        (plan, suite, direction, _labelled(part, tables))
        for plan in PLANS.values()
        for suite in suites_of(plan.kind, tables.bench) or [plan.suite]
        for direction in plan.directions
        if len(part := fits[(fits["suite"] == suite) & (fits["quantity"] == plan.quantity)
                            & (fits["direction"].fillna(direction) == direction)])
    ]  # fmt: skip
    if not groups:
        return nothing(title, "no exponent was fitted (the scaling table is empty).")
    fits = pd.concat([part for *_, part in groups], ignore_index=True)
    # Wide intervals may leave the panel.
    view = (min(0.0, float(fits["exponent"].min())) - 0.25, max(2.0, float(fits["exponent"].max())) + 0.25)
    panels, alt = [], [f"{title} with 95 % intervals; 0 is constant, 1 linear, 2 quadratic."]
    for plan, suite, direction, part in groups:
        rows = tuple(
            Dot(r["label"], str(r["model"]), r["exponent"], r["ci_low"], r["ci_high"], spread=OVER_SEEDS)
            for r in records(part)
        )
        heading = plan.y_label + (f", {DIRECTION_WORDS[direction]}" if len(plan.directions) > 1 else "")
        heading = heading[:1].upper() + heading[1:]
        if suite != plan.suite:
            heading = suite if plan.unit == "s" else f"{suite}: {heading}"
        axis = Axis("exponent of length")
        panels.append(Dots(heading, axis, rows, guides=(0, 1, 2), view=view))
        alt.append(f"{heading}: " + ", ".join(f"{r['label']} {r['exponent']:.2f}" for r in records(part)) + ".")
    data = fits.drop(columns="label").dropna(axis="columns", how="all")
    return Chart(title, tuple(panels), data, " ".join(alt))


def _labelled(part: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """Rows of one panel, least exponent first, with a label that tells variants of a model and rising curves apart."""
    part = part.sort_values(["exponent", "model"]).reset_index(drop=True)
    varying = [c for c in ("implementation", "device", "dtype", "batch") if part[c].nunique(dropna=False) > 1]
    labels = []
    for row in records(part):
        words = [tables.model_title(str(row["model"])), *(str(row[c]) for c in varying if row[c] is not None)]
        labels.append(", ".join(words) + ("\u00a0↑" if row["still_rising"] else ""))
    return part.assign(label=labels)


BUILD: dict[str, Callable[[Tables, str], Chart]] = {
    **{name: _bench_figure(name) for name in PLANS},
    "scaling_exponents": scaling_exponents,
}
