"""Where Mamba is ahead of the Transformers, and where behind: one row per quantity and pair of models.

Each side has its forms: Mamba and Mamba-2, the Transformer that the experiment names and Transformer++. Every pair is a
row; the pair of both sides' strongest forms (best mean, or least cost) is marked and decides in which list a quantity
stands, as the fair protocol asks for the best of each.

Test results, training time and training FLOPs: paired over seeds, separated where the 95 % interval excludes equality.
Training times of models of which one was replayed from a CUDA graph and the other was not carry a word of caution: the
launches that a graph saves are then part of what is compared. Benchmarks: at the greatest length that both have,
separated where their ranges from the 20th to the 80th percentile do not overlap. A form is strongest by the same
numbers that are then compared, so of two nearly equal forms the luckier one stands for its side.
"""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from seqscale.reporting.canvas import length_text
from seqscale.reporting.scaling import DIRECTION_WORDS, PLANS, Plan
from seqscale.reporting.source import Tables, records
from seqscale.reporting.summaries import finished, metric_of
from seqscale.stats import Interval, paired_difference, paired_ratio

SUBJECT = "mamba"  # whose part the claims take; its losses are shown as large as its wins
SUBJECTS = (SUBJECT, "mamba2")
STRONG = "transformer_pp"  # stands beside the reference as the strongest form that is known
AHEAD, BEHIND, OPEN = "ahead", "behind", "not separated"
SPENT = {"train_seconds": ("training time", "s"), "train_flops": ("training FLOPs", "")}
WITHIN_COUNTING = 0.01  # counted FLOPs of models that are matched in size: less than a per cent is no difference
COLUMNS = ["what", "kind", "experiment", "subject", "other", "strongest", "outcome", "difference", "ci_low", "ci_high",
           "seeds", "length", "mine", "theirs", "ratio", "unit", "caution"]  # fmt: skip


def contests(tables: Tables) -> pd.DataFrame:
    """Every comparison of Mamba with a Transformer that the tables hold: test results, what they cost, benchmarks."""
    found = [*_trained(tables), *_benched(tables)]
    for what in {row["what"] for row in found}:
        _mark([row for row in found if row["what"] == what])
    return pd.DataFrame(found, columns=COLUMNS).astype({"strongest": bool})


def _mark(rows: list[dict[str, Any]]) -> None:
    """Say which row stands for its quantity: the best subject against the best other."""
    sign = -1.0 if rows[0]["kind"] == "test_accuracy" else 1.0
    mine = min(rows, key=lambda row: sign * row["mine"])["subject"]
    theirs = min(rows, key=lambda row: sign * row["theirs"])["other"]
    for row in rows:
        row["strongest"] = (row["subject"], row["other"]) == (mine, theirs)


def _outcome(better: int) -> str:
    return AHEAD if better > 0 else BEHIND if better < 0 else OPEN


def _opponents(reference: str, there: Iterable[str]) -> list[str]:
    """The Transformers that Mamba meets: the experiment's reference and Transformer++, where they were measured."""
    return [m for m in dict.fromkeys((reference, STRONG)) if m in set(there) and m not in SUBJECTS]


def _trained(tables: Tables) -> list[dict[str, Any]]:
    found = []
    ok = finished(tables)
    for experiment in tables.experiments:
        metric = metric_of(tables, experiment)
        here = ok[ok["experiment"] == experiment]
        for column in (metric, *SPENT):
            values = {
                str(model): {int(r["seed"]): float(r[column]) for r in records(runs[runs[column].notna()])}
                for model, runs in here.groupby("model")
            }
            for subject in SUBJECTS:
                for other in _opponents(tables.reference(experiment), values):
                    if set(values.get(subject, {})) & set(values[other]):
                        pair = values[subject], values[other]
                        row = _over_seeds(tables, experiment, column, subject, other, *pair)
                        caution = _caution(tables, here, (subject, other)) if column == "train_seconds" else ""
                        found.append(row | {"caution": caution})
    return found


def _caution(tables: Tables, runs: pd.DataFrame, models: tuple[str, str]) -> str:
    """What is to be said where steps of some runs of two models came from a CUDA graph and those of others did not."""
    graphs = {m: set(runs.loc[runs["model"] == m, "cuda_graph"].dropna().str.lower()) for m in models}
    if len(set.union(*graphs.values())) < 2:
        return ""
    words = {("true",): "with", ("false",): "without", ("false", "true"): "partly with", (): "not known whether with"}
    told = ", ".join(f"{tables.model_title(m)} {words[tuple(sorted(graphs[m]))]}" for m in models)
    return f"not run alike, {told} a CUDA graph, which by itself makes small models several times faster"


def _over_seeds(
    tables: Tables, experiment: str, column: str, subject: str, other: str, mine: dict[int, float],
    theirs: dict[int, float],
) -> dict[str, Any]:  # fmt: skip
    """One column of two models over the seeds that both have: a difference of results, a ratio of what was spent."""
    seeds = sorted(set(mine) & set(theirs))
    a, b = (sum(side[s] for s in seeds) / len(seeds) for side in (mine, theirs))
    words, unit = SPENT.get(column, (column.replace("_", " "), "" if column == "test_accuracy" else "nats per token"))
    row = {"what": f"{tables.experiment_title(experiment)}: {words}", "kind": column, "experiment": experiment,
           "subject": subject, "other": other, "mine": a, "theirs": b, "seeds": len(seeds), "unit": unit}  # fmt: skip
    if column not in SPENT:
        gap = paired_difference(mine, theirs)
        low, high = _ends(gap)
        better = 1 if column == "test_accuracy" else -1
        sign = better if low > 0 else -better if high < 0 else 0
        return row | {"outcome": _outcome(sign), "difference": gap.estimate, "ci_low": low, "ci_high": high}
    if min(a, b) <= 0:
        return row | {"outcome": OPEN}
    factor = paired_ratio(mine, theirs)
    low, high = _ends(factor)
    sign = -1 if low > 1 else 1 if high < 1 else 0
    if column == "train_flops" and abs(factor.estimate - 1) < WITHIN_COUNTING:
        sign = 0
    return row | {"outcome": _outcome(sign), "ratio": max(a, b) / min(a, b), "ci_low": low, "ci_high": high}


def _ends(interval: Interval) -> tuple[float, float]:
    low, high = (math.nan if bound is None else bound for bound in (interval.low, interval.high))
    return low, high


def _benched(tables: Tables) -> list[dict[str, Any]]:
    found = []
    for plan in PLANS.values():
        for direction in plan.directions:
            rows = tables.bench
            rows = rows[
                (rows["suite"] == plan.suite) & (rows["quantity"] == plan.quantity) & (rows["direction"] == direction)
            ]
            rows = rows[~rows["oom"] & rows["median"].notna()].sort_values("median", kind="stable")
            rows = rows.drop_duplicates(["model", "device", "dtype", "batch", "length"])  # the fastest implementation
            words = f", {DIRECTION_WORDS[direction]}" if len(plan.directions) > 1 else ""
            what = f"{plan.y_label[:1].upper()}{plan.y_label[1:]}{words}"
            found += _at_one_length(rows, plan, what)
    return found


def _at_one_length(rows: pd.DataFrame, plan: Plan, what: str) -> list[dict[str, Any]]:
    """Every pair at the greatest length that all have that meet there, so that their forms can be compared."""
    keys = ["device", "dtype", "batch", "length"]
    there = set(rows["model"])
    models = [m for m in SUBJECTS if m in there], _opponents("transformer", there)
    if not all(models):
        return []
    shared = rows[rows["model"].isin([*models[0], *models[1]])].groupby(keys, dropna=False)["model"].nunique()
    places = shared[shared == len(models[0]) + len(models[1])]
    if places.empty:
        return []
    place = max(places.index, key=lambda key: float(key[-1]))
    at = rows.set_index(keys).sort_index()
    here = {str(r["model"]): r for r in records(at.loc[[place]])}
    length = float(place[-1])
    found = []
    for subject in models[0]:
        for other in models[1]:
            (a, low, high), (b, low_b, high_b) = (_band(here[m]) for m in (subject, other))
            found.append({
                "what": f"{what}, length {length_text(length)}", "kind": plan.suite, "subject": subject,
                "other": other, "outcome": _outcome(1 if high < low_b else -1 if low > high_b else 0),
                "length": length, "mine": a, "theirs": b,
                "ratio": max(a, b) / min(a, b) if min(a, b) > 0 else math.nan, "unit": plan.unit,
            })  # fmt: skip
    return found


def _band(row: dict[str, Any]) -> tuple[float, float, float]:
    """Median, 20th and 80th percentile; the median itself where nothing was timed."""
    middle = float(row["median"])
    low, high = (float(row[c]) if row[c] == row[c] else middle for c in ("p20", "p80"))
    return middle, low, high
