"""Figures about training: curves, loss against its costs, the learning-rate search, the final results.

Loss is in nats per token throughout. Lines are means over the seeds that finished, bands their 95 % intervals;
a run that diverged is drawn by itself up to where it ended, with a cross.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from seqscale.reporting.canvas import (
    Drawing,
    EndLabel,
    end_labels,
    log_axis,
    nothing_to_draw,
    sheet,
    short_count,
    title_of,
)
from seqscale.reporting.intervals import estimate
from seqscale.reporting.source import Tables, records
from seqscale.reporting.style import Style

CROSS = "X"


def finished(tables: Tables) -> pd.DataFrame:
    """The runs with status ok (a table without statuses counts as all ok)."""
    return tables.runs[tables.runs["status"].fillna("ok") == "ok"]


def _curves(tables: Tables, experiment: str) -> pd.DataFrame:
    """model, step, tokens, flops, seconds, valid_loss, ci_low, ci_high, seeds: means over finished seeds."""
    history = tables.history[(tables.history["experiment"] == experiment) & tables.history["valid_loss"].notna()]
    ok = finished(tables)[["experiment", "model", "seed"]].drop_duplicates()
    if len(tables.runs):
        history = history.merge(ok, on=["experiment", "model", "seed"])
    rows = []
    for (model, tokens), group in history.groupby(["model", "tokens"], sort=True):
        e = estimate(group["valid_loss"].tolist())
        means = group[["step", "flops", "seconds"]].mean()
        rows.append(
            (experiment, model, means["step"], tokens, means["flops"], means["seconds"], e.mean, e.low, e.high, e.n)
        )
    names = ["experiment", "model", "step", "tokens", "flops", "seconds", "valid_loss", "ci_low", "ci_high", "seeds"]
    return pd.DataFrame(rows, columns=names)


@dataclass(frozen=True)
class Broken:
    """A run that did not finish: its trace and why."""

    model: str
    seed: int
    status: str
    trace: pd.DataFrame


def _broken(tables: Tables, experiment: str) -> list[Broken]:
    bad = tables.runs[(tables.runs["experiment"] == experiment) & (tables.runs["status"].fillna("ok") != "ok")]
    found = []
    for row in records(bad):
        h = tables.history
        trace = h[(h["experiment"] == experiment) & (h["model"] == row["model"]) & (h["seed"] == row["seed"])]
        # Validation is rare; the training loss shows how the run went in between.
        trace = trace.assign(loss=trace["valid_loss"].where(trace["valid_loss"].notna(), trace["train_loss"]))
        found.append(Broken(str(row["model"]), int(row["seed"]), str(row["status"]), trace[np.isfinite(trace["loss"])]))
    return found


def _curve_figure(tables: Tables, style: Style, title: str, x: str, x_label: str, log: bool, unit: str) -> Drawing:
    per_experiment = {e: _curves(tables, e) for e in tables.experiments}
    shown = [e for e, curves in per_experiment.items() if len(curves) or _broken(tables, e)]
    if not shown:
        return nothing_to_draw(style, title, "the history table holds no validation loss.")
    figure, panels = sheet(len(shown))
    alt = [f"{title}, one panel per experiment; lower is better."]
    data = []
    for axes, experiment in zip(panels, shown, strict=True):
        curves = per_experiment[experiment]
        curves = curves[curves[x] > 0] if log else curves[curves[x].notna()]
        labels = _draw_curves(axes, curves, tables, style, x)
        title_of(axes, tables.experiment_title(experiment))
        axes.set_xlabel(x_label)
        axes.set_ylabel("validation loss (nats per token)")
        if log:
            log_axis(axes, "x", curves[x].tolist(), unit)
        else:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if len(curves):
            low, high = curves["valid_loss"].min(), curves["valid_loss"].max()
            margin = 0.06 * (high - low) or 0.1
            axes.set_ylim(low - margin, high + margin)
        _draw_broken(axes, _broken(tables, experiment), tables, style, x)
        end_labels(axes, labels, style, "by final loss", leaders=x == "tokens")
        data.append(curves)
        alt.append(_describe_curves(tables, experiment, curves))
    return Drawing(figure, pd.concat(data, ignore_index=True), " ".join(alt))


def _draw_curves(axes: Axes, curves: pd.DataFrame, tables: Tables, style: Style, x: str) -> list[EndLabel]:
    labels = []
    for model, line in curves.groupby("model", sort=True):
        look = style.model(str(model))
        every = max(1, len(line) // 6)
        # Markers start at different points, so that lines lying on each other can still be told apart.
        start = sorted(curves["model"].unique()).index(model) % every
        axes.plot(line[x], line["valid_loss"], color=look.color, ls=look.linestyle, marker=look.marker,
                  markevery=(start, every), zorder=3)  # fmt: skip
        if line["ci_low"].notna().any():
            axes.fill_between(line[x], line["ci_low"], line["ci_high"], color=look.color, alpha=0.16, lw=0, zorder=2)
        labels.append(EndLabel(tables.model_title(str(model)), look, float(line["valid_loss"].iloc[-1])))
    return labels


def _draw_broken(axes: Axes, broken: list[Broken], tables: Tables, style: Style, x: str) -> None:
    """Each run that did not finish: a thin line as far as it went, a cross and words where it ended."""
    bottom, top = axes.get_ylim()
    left, right = axes.get_xlim()
    for k, run in enumerate(broken):
        look = style.model(run.model)
        words = f"{tables.model_title(run.model)}, seed {run.seed}: {run.status}"
        trace = run.trace[run.trace[x] > 0] if axes.get_xscale() == "log" else run.trace
        if trace.empty:
            axes.text(0.02, 0.03 + 0.06 * k, words, transform=axes.transAxes, fontsize=7.5, color=style.ink)
            continue
        axes.plot(trace[x], trace["loss"], color=look.color, lw=0.8, ls=look.linestyle, zorder=2)
        x_end = float(np.clip(trace[x].iloc[-1], left, right))
        y_end = float(np.clip(trace["loss"].iloc[-1], bottom, top))
        axes.plot([x_end], [y_end], marker=CROSS, ms=9, mec=style.paper, mew=0.8, color=look.color, ls="none",
                  clip_on=False, zorder=5)  # fmt: skip
        right_half = axes.transAxes.inverted().transform(axes.transData.transform((x_end, y_end)))[0] > 0.5
        axes.annotate(words, (x_end, y_end), xytext=(-9 if right_half else 9, -2 - 11 * k), textcoords="offset points",
                      ha="right" if right_half else "left", va="top", fontsize=7.5, color=style.ink,
                      bbox={"fc": style.paper, "ec": "none", "pad": 1}, zorder=4)  # fmt: skip
    axes.set_ylim(bottom, top)
    axes.set_xlim(left, right)


def _describe_curves(tables: Tables, experiment: str, curves: pd.DataFrame) -> str:
    if curves.empty:
        return f"{tables.experiment_title(experiment)}: no finished run."
    last = curves.groupby("model")["valid_loss"].last().sort_values()
    order = ", ".join(f"{tables.model_title(str(m))} {v:.3f}" for m, v in last.items())
    return f"{tables.experiment_title(experiment)}, final loss from lowest to highest: {order}."


def training_curves(tables: Tables, style: Style, title: str) -> Drawing:
    """Validation loss against training tokens."""
    return _curve_figure(tables, style, title, "tokens", "training tokens", log=False, unit="")


def loss_vs_flops(tables: Tables, style: Style, title: str) -> Drawing:
    """Validation loss against counted training FLOPs."""
    return _curve_figure(tables, style, title, "flops", "training FLOPs (counted)", log=True, unit="")


def loss_vs_seconds(tables: Tables, style: Style, title: str) -> Drawing:
    """Validation loss against wall-clock training seconds."""
    return _curve_figure(tables, style, title, "seconds", "training time", log=True, unit="s")


def _metric(tables: Tables, experiment: str) -> tuple[str, str]:
    if tables.uses_accuracy(experiment):
        return "test_accuracy", "test accuracy"
    return "test_loss", "test loss (nats per token)"


def summary(tables: Tables, experiment: str) -> pd.DataFrame:
    """One row per model, best first: the experiment's test metric over finished seeds, and what else was run.

    Columns: model, metric, mean, ci_low, ci_high, seeds (finished), seeds_all, broken (their statuses),
    params_nonembedding. Models without a finished run come last with NaN.
    """
    metric, _ = _metric(tables, experiment)
    rows = []
    for model, runs in tables.runs[tables.runs["experiment"] == experiment].groupby("model", sort=True):
        ok = runs[runs["status"].fillna("ok") == "ok"]
        bad = runs[runs["status"].fillna("ok") != "ok"]["status"]
        e = estimate(ok[metric].tolist())
        broken = ", ".join(f"{n} {status}" for status, n in bad.value_counts().sort_index().items())
        rows.append((experiment, model, metric, e.mean, e.low, e.high, e.n, len(runs), broken,
                     runs["params_nonembedding"].max()))  # fmt: skip
    names = [
        "experiment",
        "model",
        "metric",
        "mean",
        "ci_low",
        "ci_high",
        "seeds",
        "seeds_all",
        "broken",
        "params_nonembedding",
    ]
    frame = pd.DataFrame(rows, columns=names)
    return frame.sort_values(
        "mean", ascending=metric == "test_loss", na_position="last", kind="stable", ignore_index=True
    )


def final_loss(tables: Tables, style: Style, title: str) -> Drawing:
    """Dot plot of the test result with its interval, best on top; small dots are single seeds."""
    shown = [e for e in tables.experiments if (tables.runs["experiment"] == e).any()]
    if not shown:
        return nothing_to_draw(style, title, "the runs table is empty.")
    tables_by = {e: summary(tables, e) for e in shown}
    figure, panels = sheet(len(shown), height=1.15 + 0.29 * max(len(t) for t in tables_by.values()))
    alt = [f"{title}: mean and 95 % interval over seeds, best on top."]
    for axes, experiment in zip(panels, shown, strict=True):
        frame = tables_by[experiment]
        metric, label = _metric(tables, experiment)
        runs = finished(tables)
        runs = runs[runs["experiment"] == experiment]
        for y, row in enumerate(records(frame)):
            look = style.model(str(row["model"]))
            seeds = runs.loc[runs["model"] == row["model"], metric].dropna()
            if math.isfinite(row["ci_low"]):
                axes.plot(
                    [row["ci_low"], row["ci_high"]], [y, y], color=look.color, lw=3.2, alpha=0.45, solid_capstyle="butt"
                )
            axes.plot(seeds, [y] * len(seeds), ls="none", marker=".", ms=4, color=style.ink, zorder=4)
            axes.plot(
                [row["mean"]], [y], marker=look.marker, ms=7.5, color=look.color, mec=style.paper, mew=0.7, zorder=3
            )
            if row["broken"]:
                axes.plot([0.985], [y], marker=CROSS, ms=8, color=look.color, mec=style.paper, mew=0.8, ls="none",
                          transform=axes.get_yaxis_transform(), zorder=5)  # fmt: skip
                axes.text(0.955, y, row["broken"], transform=axes.get_yaxis_transform(), ha="right", va="center",
                          fontsize=7.5, bbox={"fc": style.paper, "ec": "none", "pad": 1.2}, zorder=4)  # fmt: skip
        axes.set_yticks(range(len(frame)), [tables.model_title(str(m)) for m in frame["model"]])
        for tick in axes.get_yticklabels():
            tick.set_color(style.ink)
        axes.set_ylim(len(frame) - 0.4, -0.6)
        title_of(axes, tables.experiment_title(experiment))
        axes.set_xlabel(label + (" → higher is better" if metric == "test_accuracy" else " ← lower is better"))
        if metric == "test_accuracy":
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        good = frame.dropna(subset=["mean"])
        values = ", ".join(f"{tables.model_title(str(r['model']))} {r['mean']:.3f}" for r in records(good))
        alt.append(f"{tables.experiment_title(experiment)}: {values or 'no finished run'}.")
    return Drawing(figure, pd.concat(tables_by.values(), ignore_index=True), " ".join(alt))


def loss_vs_params(tables: Tables, style: Style, title: str) -> Drawing:
    """Mean test loss against non-embedding parameters."""
    runs = finished(tables)
    shown = [e for e in tables.experiments if runs.loc[runs["experiment"] == e, "test_loss"].notna().any()]
    if not shown:
        return nothing_to_draw(style, title, "the runs table holds no test loss.")
    figure, panels = sheet(len(shown))
    data, alt = [], [f"{title}: mean over seeds with 95 % interval."]
    for axes, experiment in zip(panels, shown, strict=True):
        labels = []
        for model, group in runs[runs["experiment"] == experiment].groupby("model", sort=True):
            look, e = style.model(str(model)), estimate(group["test_loss"].tolist())
            params = float(group["params_nonembedding"].max())
            if e.n == 0 or not params > 0:
                continue
            if e.n > 1:
                axes.plot([params, params], [e.low, e.high], color=look.color, lw=3, alpha=0.4, solid_capstyle="butt")
            axes.plot([params], [e.mean], marker=look.marker, ms=7.5, color=look.color, mec=style.paper, mew=0.7)
            labels.append(EndLabel(f"{tables.model_title(str(model))}, {short_count(params)}", look, e.mean))
            data.append((experiment, model, params, e.mean, e.low, e.high, e.n))
        here = [row for row in data if row[0] == experiment]
        log_axis(axes, "x", [row[2] for row in here], "")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short_count(v)))
        title_of(axes, tables.experiment_title(experiment))
        axes.set_xlabel("non-embedding parameters")
        axes.set_ylabel("test loss (nats per token)")
        end_labels(axes, labels, style, "by loss, with parameters", leaders=False)
        told = ", ".join(f"{tables.model_title(str(r[1]))} {r[3]:.3f} at {short_count(r[2])}" for r in here)
        alt.append(f"{tables.experiment_title(experiment)}: {told or 'no parameter counts'}.")
    names = ["experiment", "model", "params_nonembedding", "test_loss", "ci_low", "ci_high", "seeds"]
    return Drawing(figure, pd.DataFrame(data, columns=names), " ".join(alt))


def learning_rate_search(tables: Tables, style: Style, title: str) -> Drawing:
    """Validation loss of the search against learning rate; the chosen one ringed, choices at the grid's edge named."""
    search = tables.search
    shown = [e for e in tables.experiments if (search["experiment"] == e).any()]
    if not shown:
        return nothing_to_draw(style, title, "no learning rate was searched for.")
    figure, panels = sheet(len(shown))
    alt = [f"{title}: validation loss against learning rate, the chosen rate ringed."]
    for axes, experiment in zip(panels, shown, strict=True):
        here = search[search["experiment"] == experiment]
        labels, told, failed = [], [], 0
        axes.set_xscale("log")
        ok = here[(here["status"].fillna("ok") == "ok") & here["valid_loss"].notna()]
        if len(ok):
            low, high = ok["valid_loss"].min(), ok["valid_loss"].max()
            axes.set_ylim(low - 0.08 * (high - low or 1), high + 0.16 * (high - low or 1))
        for model, tried in here.sort_values("lr").groupby("model", sort=True):
            look = style.model(str(model))
            line = ok[ok["model"] == model].groupby("lr", as_index=False)["valid_loss"].mean()
            axes.plot(line["lr"], line["valid_loss"], color=look.color, ls=look.linestyle, marker=look.marker, zorder=3)
            for row in records(tried[~tried.index.isin(ok.index)]):
                axes.plot([row["lr"]], [0.97 - 0.05 * failed], marker=CROSS, ms=8, color=look.color, mec=style.paper,
                          mew=0.8, transform=axes.get_xaxis_transform(), ls="none", zorder=5)  # fmt: skip
                axes.annotate(f"{tables.model_title(str(model))}: {row['status']} ", (row["lr"], 0.97 - 0.05 * failed),
                              xycoords=axes.get_xaxis_transform(), xytext=(-6, 0), textcoords="offset points",
                              ha="right", va="center", fontsize=7.5)  # fmt: skip
                failed += 1
            chosen = tried[tried["chosen"]]
            edge = ""
            if len(chosen) and len(line):
                rate = float(chosen["lr"].iloc[0])
                loss = line.loc[line["lr"] == rate, "valid_loss"]
                axes.plot(
                    [rate] * len(loss),
                    loss,
                    marker="o",
                    ms=11,
                    mfc="none",
                    mec=look.color,
                    mew=1.3,
                    ls="none",
                    zorder=4,
                )
                edge = " (edge)" if rate in (tried["lr"].min(), tried["lr"].max()) else ""
                told.append(f"{tables.model_title(str(model))} {rate:g}{edge}")
            end = float(line["valid_loss"].iloc[-1]) if len(line) else float("nan")
            labels.append(EndLabel(tables.model_title(str(model)) + edge, look, end))
        rates = sorted(here["lr"].dropna().unique())
        axes.set_xlim(rates[0] / 1.35, rates[-1] * 1.35)
        axes.xaxis.set_major_locator(FixedLocator([float(r) for r in rates]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        title_of(axes, tables.experiment_title(experiment))
        axes.set_xlabel("learning rate")
        axes.set_ylabel("validation loss (nats per token)")
        end_labels(axes, labels, style, "(edge): chosen at the grid's end", leaders=True)
        alt.append(f"{tables.experiment_title(experiment)}, chosen: {', '.join(told) or 'none'}.")
    keep = ["experiment", "model", "lr", "seed", "valid_loss", "status", "chosen"]
    return Drawing(figure, search[keep].reset_index(drop=True), " ".join(alt))


DRAW: dict[str, Callable[[Tables, Style, str], Drawing]] = {
    "final_loss": final_loss,
    "training_curves": training_curves,
    "learning_rate_search": learning_rate_search,
    "loss_vs_flops": loss_vs_flops,
    "loss_vs_seconds": loss_vs_seconds,
    "loss_vs_params": loss_vs_params,
}
