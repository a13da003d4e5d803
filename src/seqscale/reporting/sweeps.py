"""Figures about settings: how much a result depends on them, and what size buys for the same FLOPs.

A sweep is an experiment `sweep_NAME` with models NAME_VALUE, or one experiment `sweep_NAME_VALUE` per value; with
`published_SOURCE_` before it, it is the source's own.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from seqscale.reporting.canvas import Drawing, EndLabel, end_labels, log_axis, nothing_to_draw, sheet, title_of
from seqscale.reporting.intervals import estimate
from seqscale.reporting.learning import finished
from seqscale.reporting.source import Tables
from seqscale.reporting.style import ModelStyle, Style

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


def sensitivity(tables: Tables, style: Style, title: str) -> Drawing:
    """Test loss against the swept setting, a panel per sweep: printed, rerun as published, and fair."""
    points = sweep_points(tables)
    if points.empty:
        return nothing_to_draw(style, title, "the runs table holds no sweep of a setting.")
    names = [n for n in WORDS if n in set(points["sweep"])] + sorted(set(points["sweep"]) - WORDS.keys())
    figure, panels = sheet(len(names))
    alt = [f"{title}: test loss against each setting that source 000 sweeps; lower is better."]
    for axes, name in zip(panels, names, strict=True):
        here = points[points["sweep"] == name]
        values = sorted(here["value"].unique())
        look = style.model(name)
        looks = {
            PRINTED: replace(look, tone=style.ground["ink"], marker="x", dash="dotted"),
            AS_PUBLISHED: replace(look, dash="solid"),
            FAIR: replace(look, marker="o" if look.marker != "o" else "s", dash="dashed"),
        }
        labels = [_line(axes, here[here["protocol"] == p], values, p, looks[p]) for p in looks]
        heading, setting = WORDS.get(name, (name, "value"))
        title_of(axes, heading)
        axes.set_xlabel(setting)
        axes.set_ylabel("test loss (nats per token)")
        axes.set_xticks(range(len(values)), [str(v) for v in values])
        axes.set_xlim(-0.3, len(values) - 0.7)
        axes.margins(y=0.15)
        end_labels(axes, [label for label in labels if label], style, "mean, 95 % interval")
        told = [f"{row.protocol} {row.value}: {row.test_loss:.3f}" for row in here.itertuples()]
        alt.append(f"{heading} by {setting}: {', '.join(told)}.")
    return Drawing(figure, points, " ".join(alt))


def _line(axes: Axes, rows: pd.DataFrame, values: list[int], protocol: str, look: ModelStyle) -> EndLabel | None:
    if rows.empty:
        return None
    x = [values.index(v) for v in rows["value"]]
    spread = np.vstack([rows["test_loss"] - rows["low"], rows["high"] - rows["test_loss"]])
    axes.errorbar(x, rows["test_loss"], yerr=np.nan_to_num(spread.astype(float)), color=look.color, ls=look.linestyle,
                  marker=look.marker, elinewidth=1, capsize=2, zorder=3)  # fmt: skip
    return EndLabel(protocol, look, float(rows["test_loss"].iloc[-1]))


def loss_frontier(tables: Tables, style: Style, title: str) -> Drawing:
    """Validation loss against training FLOPs for one model at several widths, its frontier and the law fitted to it."""
    points, fits = tables.frontier, tables.frontier_fits
    experiments = list(dict.fromkeys(points["experiment"].dropna()))
    if not experiments:
        return nothing_to_draw(style, title, "the frontier table is empty: no model was trained at three widths.")
    figure, panels = sheet(len(experiments))
    alt = [f"{title}; both axes logarithmic, lower is better."]
    for axes, experiment in zip(panels, experiments, strict=True):
        here = points[points["experiment"] == experiment]
        log_axis(axes, "x", here["flops"].tolist(), "")
        log_axis(axes, "y", here["valid_loss"].tolist(), "")
        labels = []
        for family, mine in here.groupby("family", sort=True):
            look = style.model(str(family))
            for _, line in mine.groupby("model", sort=True):
                axes.plot(line["flops"], line["valid_loss"], color=look.color, lw=0.7, alpha=0.5, zorder=2)
            best = mine[mine["on_frontier"]].sort_values("flops")
            axes.plot(best["flops"], best["valid_loss"], color=look.color, ls="none", marker=look.marker, zorder=4)
            law = fits[(fits["experiment"] == experiment) & (fits["family"] == family)].iloc[0]
            words = "no law fitted"
            if np.isfinite(law["exponent"]):
                x = np.geomspace(law["flops_min"], law["flops_max"], 20)
                axes.plot(x, law["coefficient"] * x ** law["exponent"], color=look.color, ls=look.linestyle, zorder=3)
                words = f"FLOPs^{law['exponent']:.3f} [{law['ci_low']:.3f}, {law['ci_high']:.3f}]"
            name = tables.model_title(str(family))
            labels.append(EndLabel(f"{name}: {words}", look, float(best["valid_loss"].iloc[-1])))
            alt.append(f"{tables.experiment_title(experiment)}, {name}, {mine['model'].nunique()} widths: {words}.")
        title_of(axes, tables.experiment_title(experiment))
        axes.set_xlabel("training FLOPs, counted")
        axes.set_ylabel("validation loss (nats per token)")
        end_labels(axes, labels, style, "thin: single widths\nmarked: the frontier")
    return Drawing(figure, points, " ".join(alt))


DRAW: dict[str, Callable[[Tables, Style, str], Drawing]] = {"sensitivity": sensitivity, "loss_frontier": loss_frontier}
