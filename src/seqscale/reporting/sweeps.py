"""Figures about settings: how much a result depends on them, and what size buys for the same FLOPs.

A sweep is an experiment `sweep_NAME` with models NAME_VALUE, or one experiment `sweep_NAME_VALUE` per value; with
`published_SOURCE_` before it, it is the source's own.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from seqscale.reporting.chart import OVER_SEEDS, Axis, Chart, Lines, Series, nothing
from seqscale.reporting.intervals import estimate
from seqscale.reporting.source import Tables
from seqscale.reporting.summaries import finished

SWEEP = re.compile(r"(published_(?P<source>\d+)_)?sweep_(?P<name>[a-z]+)(_(?P<value>\d+))?")
VALUE = re.compile(r"_(\d+)$")
WORDS = {
    "linear": ("Linear", "context: only tokens a batch"),
    "mlp": ("MLP", "hidden width"),
    "attention": ("Self-attention", "heads"),
    "transformer": ("Transformer", "layers"),
    "mamba": ("Mamba", "d_state"),
}
AS_PUBLISHED, FAIR, PRINTED = "rerun as published", "fair protocol", "as printed"
LOOKS = {PRINTED: "@printed", AS_PUBLISHED: "@published", FAIR: "@fair"}


class Point(NamedTuple):
    """One swept value under one protocol; `low` and `high` NaN where there is one run or a printed figure."""

    sweep: str
    protocol: str
    value: int
    test_loss: float
    low: float
    high: float
    seeds: int


def sweep_points(tables: Tables) -> pd.DataFrame:
    """Every point of every sweep: reruns as published, fair runs, and the figures that the sources print."""
    points: list[Point] = []
    runs = finished(tables)
    for (experiment, model), group in runs[runs["test_loss"].notna()].groupby(["experiment", "model"], sort=True):
        sweep, own = SWEEP.fullmatch(str(experiment)), VALUE.search(str(model))
        value = sweep and (sweep["value"] or (own and own[1]))
        if not sweep or not value:
            continue
        e = estimate(group["test_loss"].tolist())
        protocol = AS_PUBLISHED if sweep["source"] else FAIR
        points.append(Point(sweep["name"], protocol, int(value), e.mean, e.low, e.high, e.n))
    shown = {point.sweep for point in points}
    for claim, figures in tables.published.items():
        name = claim.rpartition(".sweep.")[2]
        if name in shown and isinstance(figures, dict):
            points += [Point(name, PRINTED, int(v), float(f), np.nan, np.nan, 1) for v, f in figures.items()]
    return pd.DataFrame(points, columns=list(Point._fields)).sort_values(["sweep", "protocol", "value"])


def sensitivity(tables: Tables, title: str) -> Chart:
    """Test loss against the swept setting, a panel per sweep: printed, rerun as published, and fair."""
    points = sweep_points(tables)
    if points.empty:
        return nothing(title, "the runs table holds no sweep of a setting.")
    names = [n for n in WORDS if n in set(points["sweep"])] + sorted(set(points["sweep"]) - WORDS.keys())
    alt = [f"{title}: test loss against each setting that source 000 sweeps; lower is better."]
    panels = []
    for name in names:
        here = points[points["sweep"] == name]
        series = []
        for protocol, look in LOOKS.items():
            rows = here[here["protocol"] == protocol]
            x, y, low, high = (rows[c].tolist() for c in ("value", "test_loss", "low", "high"))
            if len(rows):
                series.append(Series(look, protocol, x, y, low, high, published=protocol == PRINTED, spread=OVER_SEEDS))
        heading, setting = WORDS.get(name, (name, "value"))
        across, up = Axis(setting, log=True, lengths=True), Axis("test loss (nats per token)")
        panels.append(Lines(heading, across, up, tuple(series), header="mean, 95 % interval"))
        told = [f"{row.protocol} {row.value}: {row.test_loss:.3f}" for row in here.itertuples()]
        alt.append(f"{heading} by {setting}: {', '.join(told)}.")
    return Chart(title, tuple(panels), points, " ".join(alt))


def loss_frontier(tables: Tables, title: str) -> Chart:
    """Validation loss against training FLOPs for one model at several widths, its frontier and the law fitted to it."""
    points, fits = tables.frontier, tables.frontier_fits
    experiments = list(dict.fromkeys(points["experiment"].dropna()))
    if not experiments:
        return nothing(title, "the frontier table is empty: no model was trained at three widths.")
    alt, panels = [f"{title}; both axes logarithmic, lower is better."], []
    for experiment in experiments:
        here = points[points["experiment"] == experiment]
        series: list[Series] = []
        for family, mine in here.groupby("family", sort=True):
            name, look = tables.model_title(str(family)), str(family)
            for model, line in mine.groupby("model", sort=True):
                told = tables.model_title(str(model))
                series.append(Series(look, told, line["flops"].tolist(), line["valid_loss"].tolist(), faint=True))
            law = fits[(fits["experiment"] == experiment) & (fits["family"] == family)].iloc[0]
            words = "no law fitted"
            if np.isfinite(law["exponent"]):
                words = f"FLOPs^{law['exponent']:.3f} [{law['ci_low']:.3f}, {law['ci_high']:.3f}]"
                flops = np.geomspace(law["flops_min"], law["flops_max"], 20)
                loss = law["coefficient"] * flops ** law["exponent"]
                series.append(Series(look, f"{name}, law fitted", flops.tolist(), loss.tolist(), faint=True))
            best = mine[mine["on_frontier"]].sort_values("flops")
            series.append(
                Series(look, f"{name}: {words}", best["flops"].tolist(), best["valid_loss"].tolist(), name=name)
            )
            alt.append(f"{tables.experiment_title(experiment)}, {name}, {mine['model'].nunique()} widths: {words}.")
        x_axis, y_axis = Axis("training FLOPs, counted", log=True), Axis("validation loss (nats per token)", log=True)
        heading = tables.experiment_title(experiment)
        panels.append(Lines(heading, x_axis, y_axis, tuple(series), header="faint: single widths and the law"))
    return Chart(title, tuple(panels), points, " ".join(alt))


BUILD: dict[str, Callable[[Tables, str], Chart]] = {"sensitivity": sensitivity, "loss_frontier": loss_frontier}
