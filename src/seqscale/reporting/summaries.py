"""Means with intervals: what every model reached in every experiment, and its mean curve. Pure functions of tables."""

import numpy as np
import pandas as pd

from seqscale.reporting.intervals import estimate
from seqscale.reporting.source import Tables

CURVES = ["experiment", "model", "step", "tokens", "flops", "seconds", "valid_loss", "ci_low", "ci_high", "seeds"]
MEANS = ("valid_loss", "test_loss", "bits_per_character", "train_flops", "train_seconds", "train_tokens")
SUMMARY = ["experiment", "model", "metric", "mean", "ci_low", "ci_high", "seeds", "seeds_all", "broken",
           "params_nonembedding", "params_ratio", "lr", *(f"mean_{name}" for name in MEANS)]  # fmt: skip


def finished(tables: Tables) -> pd.DataFrame:
    """The runs with status ok (a table without statuses counts as all ok)."""
    return tables.runs[tables.runs["status"].fillna("ok") == "ok"]


def with_runs(tables: Tables) -> list[str]:
    """The experiments of which a run is there, finished or not, in order; status "missing" is none."""
    there = set(tables.runs.loc[tables.runs["status"].fillna("ok") != "missing", "experiment"])
    return [experiment for experiment in tables.experiments if experiment in there]


def metric_of(tables: Tables, experiment: str) -> str:
    """The column that an experiment is judged by: test_accuracy or test_loss."""
    return "test_accuracy" if tables.uses_accuracy(experiment) else "test_loss"


def summary(tables: Tables, experiment: str) -> pd.DataFrame:
    """One row per model, best first: the experiment's metric over finished seeds, and what else was run.

    Columns SUMMARY: `mean` with its 95 % interval, `seeds` (finished) of `seeds_all`, `broken` (their statuses),
    further means over finished seeds. Models without a finished run come last with NaN.
    """
    metric = metric_of(tables, experiment)
    rows = []
    for model, runs in tables.runs[tables.runs["experiment"] == experiment].groupby("model", sort=True):
        ok = runs[runs["status"].fillna("ok") == "ok"]
        bad = runs[runs["status"].fillna("ok") != "ok"]["status"]
        e = estimate(ok[metric].tolist(), share=metric == "test_accuracy")
        broken = ", ".join(f"{n} {status}" for status, n in bad.value_counts().sort_index().items())
        rates = runs["lr"].dropna()
        rows.append((experiment, model, metric, e.mean, e.low, e.high, e.n, len(runs), broken,
                     runs["params_nonembedding"].max(), runs["params_ratio"].max(),
                     rates.iloc[0] if len(rates) else np.nan,
                     *(estimate(ok[name].tolist()).mean for name in MEANS)))  # fmt: skip
    return pd.DataFrame(rows, columns=SUMMARY).sort_values(
        "mean", ascending=metric == "test_loss", na_position="last", kind="stable", ignore_index=True
    )


def curves(tables: Tables, experiment: str) -> pd.DataFrame:
    """Mean validation loss over finished seeds at every evaluation, with its 95 % interval; columns CURVES."""
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
    return pd.DataFrame(rows, columns=CURVES)
