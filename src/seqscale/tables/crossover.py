"""Where one model's curve falls below another's: from which length on the cheaper-scaling model is cheaper.

Between measured lengths the ratio of two curves is taken as a power of the length (a straight line on logarithms). The
crossover is the last length at which the ratio passes 1 downwards; its interval comes from the bands of the repeats:
the same crossing of the ratio at its least (20th percentile over 80th) and at its greatest (80th over 20th). Where the
ratio is on one side throughout, there is no crossover, and the row says which side, over which lengths.
"""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd

from seqscale.tables.columns import MISSING, as_table
from seqscale.tables.matrix import Matrix

SAME = ["suite", "direction", "quantity", "device", "dtype"]  # what two curves must share
LESS_IS_BETTER = ("time", "time_per_token", "peak_memory", "state")
ATTENTION = "attention"  # the mixer that the others are held against
METHOD = "last downward crossing of the ratio, straight on logarithms; interval: 20th to 80th percentiles of both"


def crossovers(bench: pd.DataFrame, matrix: Matrix) -> pd.DataFrame:
    """One row for each curve of a model without attention and each of a model with it that were measured alike."""
    mixers = {name: model.get("mixer") for name, model in matrix.config.get("models", {}).items()}
    measured = bench[(bench["status"] != MISSING) & bench["quantity"].isin(LESS_IS_BETTER)]
    rows: list[dict[str, Any]] = []
    for shared, group in measured.groupby(SAME, dropna=False, sort=False):
        curves = {str(model): curve for model, curve in group.groupby("model", sort=False) if model in mixers}
        others = [name for name in curves if mixers[name] != ATTENTION]
        for name, against in itertools.product(others, [n for n in curves if mixers[n] == ATTENTION]):
            row = dict(zip(SAME, shared, strict=True)) | {"model": name, "against": against, "method": METHOD}
            rows.append(row | compare(curves[name], curves[against]))
    return as_table("crossover", rows)


def compare(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, Any]:
    """The crossover of two curves (rows of the bench table): what `columns.COLUMNS` says of it, from `batch` on."""
    best = [
        curve[~curve["oom"].fillna(False).astype(bool)].sort_values("median").drop_duplicates(["length", "batch"])
        for curve in (a, b)
    ]
    both = best[0].merge(best[1], on=["length", "batch"], suffixes=("_a", "_b")).sort_values("length")
    found: dict[str, Any] = {"points": len(both), "batch": _one(both["batch"])}
    for side, curve in (("against", b), ("model", a)):
        lost = curve.loc[curve["oom"].fillna(False).astype(bool), "length"]
        found[f"{side}_out_of_memory_from"] = int(lost.min()) if len(lost) else None
    if len(both) < 2:
        return found | {"status": "not tested", "reason": f"{len(both)} lengths were measured with both"}
    lengths = both["length"].to_numpy(float)
    found |= {"length_min": int(lengths[0]), "length_max": int(lengths[-1])}
    if (both[["median_a", "median_b"]] <= 0).any(axis=None):
        return found | {"status": "not tested", "reason": "a value is zero"}
    ratio = np.log((both["median_a"] / both["median_b"]).to_numpy(float))
    found |= {"ratio_first": float(np.exp(ratio[0])), "ratio_last": float(np.exp(ratio[-1]))}
    crossing = last_crossing(lengths, ratio)
    if crossing is None:
        side = "below" if ratio[-1] < 0 else "above"
        return found | {"status": side, "reason": f"{side} at every length measured with both"}
    least = np.log((both["p20_a"] / both["p80_b"]).to_numpy(float))
    most = np.log((both["p80_a"] / both["p20_b"]).to_numpy(float))
    return found | {
        "status": "crosses",
        "crossover": crossing,
        "ci_low": last_crossing(lengths, least),  # empty: the interval reaches beyond the lengths measured
        "ci_high": last_crossing(lengths, most),
        "crossings": int((np.diff(np.sign(ratio)) != 0).sum()),
    }


def last_crossing(lengths: np.ndarray, log_ratio: np.ndarray) -> float | None:
    """The length after which `log_ratio` stays below 0; None if it is not below 0 at the end, or always was."""
    if log_ratio[-1] >= 0 or (log_ratio < 0).all():
        return None
    at = int(np.flatnonzero(log_ratio >= 0)[-1])
    x0, x1 = math.log(lengths[at]), math.log(lengths[at + 1])
    y0, y1 = float(log_ratio[at]), float(log_ratio[at + 1])
    return math.exp(x0 + (x1 - x0) * y0 / (y0 - y1))


def _one(batches: pd.Series) -> int | None:
    """The batch of a curve; None where it shrinks as the length grows."""
    values = batches.dropna().unique()
    return int(values[0]) if len(values) == 1 else None
