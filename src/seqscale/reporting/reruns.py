"""Whether a second run stands by the first: its crossovers inside the first's intervals, and how far medians moved."""

import math
from typing import Any

import numpy as np

from seqscale.reporting.crossovers import BETWEEN, BETWEEN_ELSEWHERE, FEW, crossovers, found_at, pairs, place, status_of
from seqscale.reporting.scaling import device_name
from seqscale.reporting.source import Tables, records

CURVE = ["suite", "quantity", "direction", "model", "implementation", "device", "dtype", "batch", "length"]
KIND, SPREAD = "crossover", "spread between runs"


def crossover_rows(a: Tables, b: Tables) -> list[dict[str, Any]]:
    """One row per pair of curves that both runs measured on one kind of device, in the columns of the comparison.

    `differs`: yes where the second run's crossing lies outside the first's interval. A crossing before the first or
    beyond the last length is told in words and is no number.
    """
    words, again = ({_key(r): str(r["words"]) for r in records(crossovers(t))} for t in (a, b))
    second = {(p.key, device_name(p.device)): p for p in pairs(b)}
    rows = []
    for pair in pairs(a):
        name = (pair.key, device_name(pair.device))
        other = second.get(name)
        if other is None or FEW in (status_of(pair), status_of(other)):
            continue
        status = status_of(pair)
        at, there = found_at(pair, status), place(other, status)
        back = found_at(other, status_of(other))
        title = f"{a.model_title(pair.subject)} against {a.model_title(pair.model)}"
        rows.append({
            "kind": KIND, "what": f"{title}, {pair.suite} {pair.plan.quantity}, {pair.direction}".replace("_", " "),
            "a": _known(at.length), "a_low": _known(at.low), "a_high": _known(at.high), "b": _known(there),
            "b_low": _known(back.low), "b_high": _known(back.high), "unit": "tokens",
            "ratio": _known(there) / _known(at.length), "differs": "no" if at.low <= there <= at.high else "yes",
            "a_words": words.get(name, ""), "b_words": again.get(name, ""),
        })  # fmt: skip
    return rows


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    batch = None if row["batch"] != row["batch"] else row["batch"]
    pair = (row["suite"], row["quantity"], row["direction"], batch, row["subject"], row["model"])
    return pair, row["device"]


def _known(length: float) -> float:
    """A crossing as a number; none where it lies outside of what was measured."""
    return length if 0 < length < math.inf else math.nan


def spread_rows(a: Tables, b: Tables) -> list[dict[str, Any]]:
    """For each kind of device how much medians of the same curve differ between the runs, beside what is allowed for.

    The spread of one run is the root mean square of the logarithms of the ratios over sqrt(2): it holds what the
    repeats show as well, so it is an upper bound of what processes add.
    """
    frames = [t.bench[(t.bench["unit"] == "s") & ~t.bench["oom"] & (t.bench["median"] > 0)] for t in (a, b)]
    both = frames[0].merge(frames[1], on=CURVE, suffixes=("_a", "_b"))
    rows = []
    for device, part in both.groupby("device", sort=True):
        moved = np.log((part["median_b"] / part["median_a"]).to_numpy(float))
        found = float(np.sqrt((moved**2).mean() / 2))
        allowed = BETWEEN.get(str(device).lower(), BETWEEN_ELSEWHERE)
        rows.append({
            "kind": SPREAD, "what": f"times on {device_name(str(device))}, one standard deviation of a run",
            "a": allowed, "a_low": math.nan, "a_high": math.nan, "b": found, "b_low": math.nan, "b_high": math.nan,
            "unit": "", "ratio": found / allowed, "differs": "yes" if found > allowed else "no",
            "a_words": "what intervals of crossovers allow for", "b_words": f"found over {len(moved)} medians",
        })  # fmt: skip
    return rows


def told(rows: list[dict[str, Any]]) -> str:
    """One line: how many crossovers the second run confirmed."""
    mine = [r for r in rows if r["kind"] == KIND]
    inside = sum(r["differs"] == "no" for r in mine)
    return f"{inside} of {len(mine)} crossovers of the second run lie inside the first's interval" if mine else ""
