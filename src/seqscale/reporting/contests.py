"""Where Mamba is ahead of the model it is compared with, and where behind: one row per quantity that both have.

Test results: paired over seeds, separated where the 95 % interval excludes zero. Benchmarks: at the greatest length
that both have, separated where their ranges from the 20th to the 80th percentile do not overlap.
"""

import math
from typing import Any

import pandas as pd

from seqscale.reporting.canvas import length_text
from seqscale.reporting.scaling import DIRECTION_WORDS, PLANS
from seqscale.reporting.source import Tables, records
from seqscale.reporting.summaries import finished, metric_of
from seqscale.stats import paired_difference

SUBJECT = "mamba"  # whose part the claims take; its losses are shown as large as its wins
AHEAD, BEHIND, OPEN = "ahead", "behind", "not separated"
COLUMNS = ["what", "kind", "subject", "other", "outcome", "difference", "ci_low", "ci_high", "seeds", "length", "mine",
           "theirs", "ratio", "unit"]  # fmt: skip


def contests(tables: Tables) -> pd.DataFrame:
    """Every comparison of Mamba with its reference that the tables hold: test results first, then the benchmarks."""
    return pd.DataFrame([*_trained(tables), *_benched(tables)], columns=COLUMNS)


def _trained(tables: Tables) -> list[dict[str, Any]]:
    found = []
    ok = finished(tables)
    for experiment in tables.experiments:
        metric = metric_of(tables, experiment)
        other = tables.reference(experiment)
        here = ok[(ok["experiment"] == experiment) & ok[metric].notna()]
        mine, theirs = (
            {int(r["seed"]): float(r[metric]) for r in records(here[here["model"] == m])} for m in (SUBJECT, other)
        )
        if other == SUBJECT or not set(mine) & set(theirs):
            continue
        gap = paired_difference(mine, theirs)
        low, high = (math.nan if bound is None else bound for bound in (gap.low, gap.high))
        better = 1 if metric == "test_accuracy" else -1
        sign = better if low > 0 else -better if high < 0 else 0
        words = metric.replace("_", " ")
        found.append({
            "what": f"{tables.experiment_title(experiment)}: {words}", "kind": metric, "subject": SUBJECT,
            "other": other, "outcome": AHEAD if sign > 0 else BEHIND if sign < 0 else OPEN, "difference": gap.estimate,
            "ci_low": low, "ci_high": high, "seeds": gap.n, "unit": "" if better > 0 else "nats per token",
        })  # fmt: skip
    return found


def _benched(tables: Tables) -> list[dict[str, Any]]:
    found = []
    keys = ["device", "dtype", "batch"]
    for plan in PLANS.values():
        for direction in plan.directions:
            rows = tables.bench
            rows = rows[
                (rows["suite"] == plan.suite) & (rows["quantity"] == plan.quantity) & (rows["direction"] == direction)
            ]
            rows = rows[~rows["oom"] & rows["median"].notna()].sort_values("median", kind="stable")
            rows = rows.drop_duplicates(["model", *keys, "length"])  # the fastest implementation of each
            mine, theirs = rows[rows["model"] == SUBJECT], rows[rows["model"] == "transformer"]
            pairs = mine.merge(theirs, on=[*keys, "length"], suffixes=("", "_other"))
            if pairs.empty:
                continue
            row = pairs.sort_values("length").iloc[-1]
            a, b = float(row["median"]), float(row["median_other"])
            low, high, low_b, high_b = (
                float(row[c]) if row[c] == row[c] else float(row[m])
                for c, m in (("p20", "median"), ("p80", "median"), ("p20_other", "median_other"),
                             ("p80_other", "median_other"))
            )  # fmt: skip
            sign = 1 if high < low_b else -1 if low > high_b else 0
            words = f", {DIRECTION_WORDS[direction]}" if len(plan.directions) > 1 else ""
            what = f"{plan.y_label[:1].upper()}{plan.y_label[1:]}{words}, length {length_text(float(row['length']))}"
            found.append({
                "what": what, "kind": plan.suite, "subject": SUBJECT, "other": "transformer",
                "outcome": AHEAD if sign > 0 else BEHIND if sign < 0 else OPEN, "length": float(row["length"]),
                "mine": a, "theirs": b, "ratio": max(a, b) / min(a, b) if min(a, b) > 0 else math.nan,
                "unit": plan.unit,
            })  # fmt: skip
    return found
