"""Figures about training: curves, loss against its costs, the learning-rate search, the final results.

Loss is in nats per token throughout. Lines are means over the seeds that finished, bands their 95 % intervals;
a run that diverged is drawn by itself up to where it ended, with a cross.
"""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from seqscale.reporting.canvas import short_count
from seqscale.reporting.chart import OVER_SEEDS, Axis, Chart, Dot, Dots, Lines, Mark, Series, nothing
from seqscale.reporting.intervals import estimate
from seqscale.reporting.source import Tables, records
from seqscale.reporting.summaries import curves, finished, metric_of, summary, with_runs

LOSS = Axis("validation loss (nats per token)")


def _broken(tables: Tables, experiment: str, x: str, log: bool) -> tuple[list[Series], list[Mark]]:
    """Runs that did not finish: a thin line as far as each went, a cross and words where it ended."""
    bad = tables.runs[(tables.runs["experiment"] == experiment) & (tables.runs["status"].fillna("ok") != "ok")]
    lines, marks = [], []
    for row in records(bad):
        h, model = tables.history, str(row["model"])
        trace = h[(h["experiment"] == experiment) & (h["model"] == model) & (h["seed"] == row["seed"])]
        # Validation is rare; the training loss shows how the run went in between.
        loss = trace["valid_loss"].where(trace["valid_loss"].notna(), trace["train_loss"])
        keep = np.isfinite(loss) & (trace[x] > 0 if log else trace[x].notna())
        trace, loss = trace[keep], loss[keep]
        if trace.empty:
            continue
        label = f"{tables.model_title(model)}, seed {row['seed']:g}"
        lines.append(Series(model, label, trace[x].tolist(), loss.tolist(), faint=True))
        at = float(trace[x].iloc[-1])
        marks.append(Mark(model, label, at, float(loss.iloc[-1]), f"{label}: {row['status']}"))
    return lines, marks


def _curve_figure(tables: Tables, title: str, x: str, axis: Axis) -> Chart:
    panels, data = [], []
    alt = [f"{title}, one panel per experiment; lower is better."]
    for experiment in tables.experiments:
        frame = curves(tables, experiment)
        frame = frame[frame[x] > 0] if axis.log else frame[frame[x].notna()]
        faint, marks = _broken(tables, experiment, x, axis.log)
        if frame.empty and not faint:
            continue
        series = [
            Series(str(model), tables.model_title(str(model)), line[x].tolist(), line["valid_loss"].tolist(),
                   line["ci_low"].tolist(), line["ci_high"].tolist(), band=True, spread=OVER_SEEDS)
            for model, line in frame.groupby("model", sort=True)
        ]  # fmt: skip
        name = tables.experiment_title(experiment)
        panels.append(Lines(name, axis, LOSS, (*series, *faint), tuple(marks), header="by final loss", clip=True))
        data.append(frame)
        last = frame.groupby("model")["valid_loss"].last().sort_values()
        order = ", ".join(f"{tables.model_title(str(m))} {v:.3f}" for m, v in last.items())
        alt.append(f"{name}, final loss from lowest to highest: {order or 'no finished run'}.")
    if not panels:
        return nothing(title, "the history table holds no validation loss.")
    return Chart(title, tuple(panels), pd.concat(data, ignore_index=True), " ".join(alt))


def training_curves(tables: Tables, title: str) -> Chart:
    """Validation loss against training tokens."""
    return _curve_figure(tables, title, "tokens", Axis("training tokens"))


def loss_vs_flops(tables: Tables, title: str) -> Chart:
    """Validation loss against counted training FLOPs."""
    return _curve_figure(tables, title, "flops", Axis("training FLOPs (counted)", log=True))


def loss_vs_seconds(tables: Tables, title: str) -> Chart:
    """Validation loss against wall-clock training seconds."""
    return _curve_figure(tables, title, "seconds", Axis("training time", "s", log=True))


def final_loss(tables: Tables, title: str) -> Chart:
    """Dot plot of the test result with its interval, best on top; small dots are single seeds."""
    shown = with_runs(tables)
    if not shown:
        return nothing(title, "the runs table holds no run.")
    panels, data = [], []
    alt = [f"{title}: mean and 95 % interval over seeds, best on top."]
    for experiment in shown:
        frame, metric = summary(tables, experiment), metric_of(tables, experiment)
        runs = finished(tables)
        runs = runs[runs["experiment"] == experiment]
        rows = [
            Dot(tables.model_title(str(r["model"])), str(r["model"]), r["mean"], r["ci_low"], r["ci_high"],
                runs.loc[runs["model"] == r["model"], metric].dropna().tolist(), note=r["broken"], spread=OVER_SEEDS)
            for r in records(frame)
        ]  # fmt: skip
        share = metric == "test_accuracy"
        label = "test accuracy → higher is better" if share else "test loss (nats per token) ← lower is better"
        name = tables.experiment_title(experiment)
        panels.append(Dots(name, Axis(label, share=share), tuple(rows)))
        data.append(frame)
        good = frame.dropna(subset=["mean"])
        values = ", ".join(f"{tables.model_title(str(r['model']))} {r['mean']:.3f}" for r in records(good))
        alt.append(f"{name}: {values or 'no finished run'}.")
    return Chart(title, tuple(panels), pd.concat(data, ignore_index=True), " ".join(alt))


def loss_vs_params(tables: Tables, title: str) -> Chart:
    """Mean test loss against non-embedding parameters."""
    runs = finished(tables)
    panels, data = [], []
    alt = [f"{title}: mean over seeds with 95 % interval."]
    for experiment in tables.experiments:
        series, told = [], []
        for model, group in runs[runs["experiment"] == experiment].groupby("model", sort=True):
            e, params = estimate(group["test_loss"].tolist()), float(group["params_nonembedding"].max())
            if e.n == 0 or not params > 0:
                continue
            name = tables.model_title(str(model))
            series.append(
                Series(
                    str(model),
                    f"{name}, {short_count(params)}",
                    [params],
                    [e.mean],
                    [e.low],
                    [e.high],
                    name=name,
                    spread=OVER_SEEDS,
                )
            )
            data.append((experiment, model, params, e.mean, e.low, e.high, e.n))
            told.append(f"{name} {e.mean:.3f} at {short_count(params)}")
        if not series:
            continue
        heading = tables.experiment_title(experiment)
        x, y = Axis("non-embedding parameters", log=True), Axis("test loss (nats per token)")
        panels.append(Lines(heading, x, y, tuple(series), header="by loss, with parameters"))
        alt.append(f"{heading}: {', '.join(told)}.")
    if not panels:
        return nothing(title, "the runs table holds no test loss.")
    names = ["experiment", "model", "params_nonembedding", "test_loss", "ci_low", "ci_high", "seeds"]
    return Chart(title, tuple(panels), pd.DataFrame(data, columns=names), " ".join(alt))


def learning_rate_search(tables: Tables, title: str) -> Chart:
    """Validation loss of the search against learning rate; the chosen one ringed, choices at the grid's edge named."""
    search = tables.search
    panels = []
    alt = [f"{title}: validation loss against learning rate, the chosen rate ringed."]
    for experiment in tables.experiments:
        here = search[search["experiment"] == experiment]
        if (here["status"].fillna("ok") == "missing").all():  # of none, too: nothing was tried
            continue
        ok = here[(here["status"].fillna("ok") == "ok") & here["valid_loss"].notna()]
        series, marks, told = [], [], []
        for model, tried in here.sort_values("lr").groupby("model", sort=True):
            name = tables.model_title(str(model))
            line = ok[ok["model"] == model].groupby("lr", as_index=False)["valid_loss"].mean()
            for row in records(tried[~tried.index.isin(ok.index)]):
                marks.append(Mark(str(model), name, row["lr"], math.nan, f"{name}: {row['status']}"))
            chosen, edge = tried[tried["chosen"]], ""
            rate = float(chosen["lr"].iloc[0]) if len(chosen) and len(line) else math.nan
            if math.isfinite(rate):
                edge = " (edge)" if rate in (tried["lr"].min(), tried["lr"].max()) else ""
                told.append(f"{name} {rate:g}{edge}")
            ring = (line["lr"] == rate).tolist()
            series.append(
                Series(str(model), name + edge, line["lr"].tolist(), line["valid_loss"].tolist(), ring=ring, name=name)
            )
        heading = tables.experiment_title(experiment)
        header = "(edge): chosen at the grid's end"
        panels.append(Lines(heading, Axis("learning rate", log=True), LOSS, tuple(series), tuple(marks), header=header))
        alt.append(f"{heading}, chosen: {', '.join(told) or 'none'}.")
    if not panels:
        return nothing(title, "no learning rate was searched for.")
    keep = ["experiment", "model", "lr", "seed", "valid_loss", "status", "chosen"]
    return Chart(title, tuple(panels), search[keep].reset_index(drop=True), " ".join(alt))


BUILD: dict[str, Callable[[Tables, str], Chart]] = {
    "final_loss": final_loss,
    "training_curves": training_curves,
    "learning_rate_search": learning_rate_search,
    "loss_vs_flops": loss_vs_flops,
    "loss_vs_seconds": loss_vs_seconds,
    "loss_vs_params": loss_vs_params,
}
