"""Metrics of classifiers -> accuracy (by split and length), confusion, examples, counterfactuals."""

from collections import defaultdict
from itertools import combinations
from typing import Any

import numpy as np

from seqscale.stats import Interval
from seqscale.stats.proportions import as_share, crossed_interval, share_interval, wilson_interval
from seqscale.tables.matrix import RunKey

Rows = list[dict[str, Any]]
NAMES = ("accuracy", "confusion", "examples", "counterfactuals")


def label_tables(found: dict[RunKey, dict[str, Any]]) -> dict[str, Rows]:
    """The rows of the four tables from `labels` of each run's metrics.json, with the name of its `dataset`."""
    tables: dict[str, Rows] = {name: [] for name in NAMES}
    groups: dict[tuple[str, str], list[RunKey]] = defaultdict(list)
    for key, labels in found.items():
        groups[key.experiment, key.model].append(key)
        base = {"experiment": key.experiment, "model": key.model, "seed": key.seed}
        for split, counts in labels["splits"].items():
            where = {**base, "dataset": labels["dataset"], "split": split}
            for bucket in _buckets(counts):
                interval = wilson_interval(bucket["correct"], bucket["examples"])
                tables["accuracy"].append({**where, **bucket, **_ci(interval)})
            tables["confusion"] += [{**base, "split": split, **row} for row in counts["confusion"]]
        if labels.get("probes"):
            tables["examples"] += [
                {**base, **row, "correct": row["answer"] == row["truth"]} for row in labels["probes"]["examples"]
            ]
    for (experiment, model), keys in groups.items():
        base = {"experiment": experiment, "model": model}
        tables["accuracy"] += [
            {**base, "dataset": found[keys[0]]["dataset"], **row} for row in _over_seeds([found[key] for key in keys])
        ]
        probed = [probes["counterfactuals"] for key in keys if (probes := found[key].get("probes"))]
        tables["counterfactuals"] += [{**base, **row} for row in _counterfactuals(probed)]
    return tables


def _buckets(counts: dict[str, Any]) -> Rows:
    """The whole split, then its length buckets."""
    return [{"examples": counts["examples"], "correct": counts["correct"]}, *counts["lengths"]]


def _ci(interval: Interval) -> dict[str, Any]:
    return {
        "accuracy": interval.estimate,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "method": interval.method,
    }


def _over_seeds(runs: list[dict[str, Any]]) -> Rows:
    """One row per split and bucket, without a seed: the mean over seeds."""
    shares: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    sizes: dict[tuple[Any, ...], int] = {}
    for run in runs:
        for split, counts in run["splits"].items():
            for bucket in _buckets(counts):
                place = (split, bucket.get("length_min"), bucket.get("length_max"))
                shares[place].append(bucket["correct"] / bucket["examples"])
                sizes[place] = bucket["examples"]
    rows = []
    for (split, low, high), values in shares.items():
        interval = share_interval(values, sizes[split, low, high])
        where = {"split": split, "length_min": low, "length_max": high, "examples": sizes[split, low, high]}
        rows.append({**where, "seeds": len(values), **_ci(interval)})
    return rows


def _counterfactuals(runs: list[list[list[Any]]]) -> Rows:
    """One row per attribute (term empty): flips over all pairs of terms. One per term: its score against the others'.

    `runs`, one per seed, are rows of template, attribute, term, score (log odds of positive, in nats; the answer is
    positive above 0, and negative at 0 as the first of two equal classes is taken).
    """
    scores: dict[str, dict[str, dict[tuple[int, int], float]]] = defaultdict(lambda: defaultdict(dict))
    for seed, rows in enumerate(runs):
        for template, attribute, term, score in rows:
            scores[attribute][term][seed, template] = score
    table = []
    for attribute, by_term in scores.items():
        places = sorted(next(iter(by_term.values())))
        shape = (len({seed for seed, _ in places}), len({template for _, template in places}))
        values = np.array([[by_term[term][place] for place in places] for term in by_term]).reshape(-1, *shape)
        pairs = list(combinations(range(len(values)), 2))
        flips = np.mean([(values[a] > 0) != (values[b] > 0) for a, b in pairs], axis=0)
        apart = np.mean([np.abs(values[a] - values[b]) for a, b in pairs], axis=0)
        flip, gap = as_share(crossed_interval(np.asarray(flips, dtype=float))), crossed_interval(apart)
        base = {"attribute": attribute, "templates": shape[1], "seeds": shape[0], "method": flip.method}
        table.append(
            {
                **base,
                "pairs": len(pairs) * flips.size,
                "flips": round(float(flips.sum()) * len(pairs)),
                "flip_share": flip.estimate,
                "flip_low": flip.low,
                "flip_high": flip.high,
                "score_gap": gap.estimate,
                "score_gap_low": None if gap.low is None else max(0.0, gap.low),
                "score_gap_high": gap.high,
            }
        )
        for index, term in enumerate(by_term):
            shift = crossed_interval(values[index] - np.delete(values, index, axis=0).mean(0))
            table.append(
                {
                    **base,
                    "term": term,
                    "positive_share": float((values[index] > 0).mean()),
                    "shift": shift.estimate,
                    "shift_low": shift.low,
                    "shift_high": shift.high,
                }
            )
    return table
