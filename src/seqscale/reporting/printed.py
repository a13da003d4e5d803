"""The curves that sources 001 and 004 printed, drawn on what was measured here at the same lengths.

001 printed seconds of a forward pass, so its curves lie on ours as they are: once on its own models run by its own
clock (suite as_published), once on Mamba and the Transformer under the fair protocol. 004 printed a time per token
without a unit: its two curves are moved together, so that its Mamba meets ours at the shortest length that both have.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from seqscale.reporting.chart import Axis, Chart, Lines, Series, nothing
from seqscale.reporting.scaling import batch_words, device_name, series_of
from seqscale.reporting.source import Tables, records
from seqscale.reporting.suites import suites_of

SECONDS = ("001.speed", "001.speed.long")  # README, notebook
UNITLESS = "004.time"
NAMES = {"ssm": "SSM", "transformer": "Transformer", "mamba": "Mamba"}
X = Axis("sequence length (tokens)", log=True, lengths=True)


def printed(tables: Tables) -> pd.DataFrame:
    """The table of printed curves (reporting.published): claim, name, model, unit, x, y."""
    return tables.table("published", "claim name model unit", "x y").dropna(subset=["x", "y"])


def _measured(tables: Tables, kind: str, quantity: str, models: list[str]) -> pd.DataFrame:
    """Rows of the first suite of a kind (the one with its name, where there is one): a device, every length once."""
    bench = tables.bench
    suites = suites_of(kind, bench)
    rows = bench[bench["suite"].isin(suites[:1]) & (bench["quantity"] == quantity) & bench["model"].isin(models)]
    rows = rows[~rows["oom"] & (rows["median"] > 0)]
    rows = rows[rows["device"] == rows["device"].iloc[0]] if len(rows) else rows
    best = rows.sort_values("median", kind="stable").drop_duplicates(["model", "length"])
    return best.sort_values(["model", "length"])


def _ours(rows: pd.DataFrame, tables: Tables) -> list[Series]:
    found = []
    for model, label, line in series_of(rows.assign(implementation=""), tables):
        x, y, low, high = (line[c].tolist() for c in ("length", "median", "p20", "p80"))
        found.append(Series(model, f"{label}, here", x, y, low, high))
    return found


def _theirs(rows: pd.DataFrame, times: float, words: str, looks: dict[str, str]) -> list[Series]:
    """One hollow line for each name; `looks`: whose colour it takes, by name."""
    found = []
    for name, line in rows.groupby("name", sort=True):
        line = line.sort_values("x")
        look = looks.get(str(name), str(line["model"].iloc[0]))
        y = (line["y"] * times).tolist()
        found.append(Series(look, f"{NAMES.get(str(name), str(name))}, {words}", line["x"].tolist(), y, published=True))
    return found


def scale(theirs: pd.DataFrame, ours: pd.DataFrame) -> tuple[float, float]:
    """What a printed curve is multiplied by to meet ours, and the length where; NaN where they share no range.

    Ours between two measured lengths is taken as a power law.
    """
    x, y = (ours.sort_values("length")[c].to_numpy(float) for c in ("length", "median"))
    for row in records(theirs.sort_values("x")):
        if len(x) and x[0] <= row["x"] <= x[-1]:
            here = math.exp(float(np.interp(math.log(row["x"]), np.log(x), np.log(y))))
            return here / float(row["y"]), float(row["x"])
    return math.nan, math.nan


def published_curves(tables: Tables, title: str) -> Chart:
    """Up to three panels: 001 on its own models, 001 on the fair ones, 004 on the fair ones."""
    curves = printed(tables)
    seconds = curves[curves["claim"].isin(SECONDS) & (curves["unit"] == "s")]
    panels: list[Lines] = []
    kept: list[pd.DataFrame] = []
    told = [f"{title}."]

    def add(heading: str, rows: pd.DataFrame, theirs: list[Series], label: str) -> None:
        if rows.empty or not theirs:
            return
        ends = [x for s in theirs for x in s.x]
        rows = rows[rows["length"].between(min(ends), max(ends))]  # where there is something to compare
        if rows.empty:
            return
        where = ", ".join([device_name(rows["device"].iloc[0]), *batch_words(rows)])
        panel = Lines(
            f"{heading}, {where}", X, Axis(label, "s", log=True), (*_ours(rows, tables), *theirs), slopes=True
        )
        panels.append(panel)
        kept.extend(_data(panel))
        told.append(
            f"{panel.title}: "
            + "; ".join(
                f"{s.label} {s.y[0]:.3g} s at {s.x[0]:g} to {s.y[-1]:.3g} s at {s.x[-1]:g}" for s in panel.series
            )
            + "."
        )

    own = _measured(tables, "as_published", "mean_time", ["published_001_ssm", "published_001_transformer"])
    looks = {"ssm": "published_001_ssm", "transformer": "published_001_transformer"}
    add("001, its models by its clock", own, _theirs(seconds, 1.0, "printed", looks), "time of a forward pass")
    fair = _measured(tables, "prefill", "time", ["mamba", "transformer"])
    add("001, against the fair models", fair, _theirs(seconds, 1.0, "printed", {}), "time of a forward pass")
    each = _measured(tables, "prefill", "time_per_token", ["mamba", "transformer"])
    unitless = curves[curves["claim"] == UNITLESS]
    times, at = scale(unitless[unitless["name"] == "mamba"], each[each["model"] == "mamba"])
    if math.isfinite(times):
        theirs = _theirs(unitless, times, "printed", {})
        add(f"004, no unit: its Mamba set to ours at {at:,.0f} tokens", each, theirs, "time for each token")
    if not panels:
        return nothing(title, "the bench table holds no length that they printed.")
    return Chart(title, tuple(panels), pd.concat(kept, ignore_index=True), " ".join(told))


def _data(panel: Lines) -> list[pd.DataFrame]:
    """The numbers of a panel, one row per point."""

    def ends(values: Any, count: int) -> list[float]:
        return list(values) or [math.nan] * count

    return [
        pd.DataFrame({"panel": panel.title, "series": s.label, "printed": s.published, "length": list(s.x),
                      "seconds": list(s.y), "p20": ends(s.low, len(s.x)), "p80": ends(s.high, len(s.x))})
        for s in panel.series
    ]  # fmt: skip


BUILD = {"published_curves": published_curves}
