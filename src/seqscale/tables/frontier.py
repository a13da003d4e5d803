"""One model at several widths -> the frontier of validation loss against training FLOPs, and its power law.

Models named NAME_wWIDTH in one experiment are one family. A point is the mean over seeds after one evaluation, under
the fair protocol of each run's lowest loss so far (a run reports the weights of its lowest validation loss); the points
that no cheaper point of the family equals or beats are its frontier. The law, loss ~ FLOPs ^ exponent, is fitted
to the frontier alone. Points inside a run come before the learning rate has come down, so the law is a little steeper
at its cheap end than runs made for each budget would show.
"""

import re

import numpy as np
import pandas as pd

from seqscale.stats import fit_power_law, frontier
from seqscale.tables.columns import OK, as_table
from seqscale.tables.runs import Rows

MEMBER = re.compile(r"(.+)_w(\d+)")
LEAST_SIZES = 3
FAIR = "fair"


def frontiers(runs: pd.DataFrame, history: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `frontier` (points) and `frontier_fits` (a row per experiment and family of three sizes or more)."""
    points: Rows = []
    fits: Rows = []
    families: dict[tuple[str, str], list[str]] = {}
    for experiment, model in runs[["experiment", "model"]].drop_duplicates().itertuples(index=False):
        if match := MEMBER.fullmatch(str(model)):
            families.setdefault((str(experiment), match[1]), []).append(str(model))
    good = runs[runs["status"] == OK][["experiment", "model", "seed", "protocol"]]
    seen = history[history["valid_loss"].notna()].merge(good, on=["experiment", "model", "seed"])
    seen = seen.sort_values("step", kind="stable")
    lowest = seen.groupby(["experiment", "model", "seed"])["valid_loss"].cummin()
    seen["valid_loss"] = lowest.where((seen["protocol"] == FAIR).fillna(False), seen["valid_loss"])
    for (experiment, family), models in families.items():
        if len(models) < LEAST_SIZES:
            continue
        mine = seen[(seen["experiment"] == experiment) & seen["model"].isin(models)]
        means = mine.groupby(["model", "step"], as_index=False).agg(
            flops=("flops", "mean"), valid_loss=("valid_loss", "mean"), seeds=("seed", "nunique")
        )
        fits.append({"experiment": experiment, "family": family, "sizes": len(models), **_fit(means)})
        if len(means):
            means["on_frontier"] = frontier(means["flops"].to_numpy(float), means["valid_loss"].to_numpy(float))
            rows = means.assign(experiment=experiment, family=family).to_dict("records")
            points += [{str(key): value for key, value in row.items()} for row in rows]
    return as_table("frontier", points), as_table("frontier_fits", fits)


def _fit(means: pd.DataFrame) -> dict[str, object]:
    """Exponent and interval of a family's frontier, or the reason why there is none."""
    if means.empty:
        return {"points": 0, "reason": "no run of it finished"}
    flops, loss = means["flops"].to_numpy(float), means["valid_loss"].to_numpy(float)
    chosen = frontier(flops, loss)
    flops, loss = flops[chosen], loss[chosen]
    found: dict[str, object] = {"points": len(flops), "flops_min": flops.min(), "flops_max": flops.max()}
    try:
        law = fit_power_law(flops, np.asarray(loss))
    except ValueError as error:
        return found | {"reason": str(error)}
    return found | {
        "exponent": law.exponent,
        "ci_low": law.low,
        "ci_high": law.high,
        "coefficient": law.coefficient,
        "r2": law.r2,
    }
