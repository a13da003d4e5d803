"""The length from which Mamba is cheaper than attention, on the machine that was measured: one row per curve pair.

Between two measured lengths both curves are taken as power laws, so the crossing is linear in logarithms. The interval
comes from the spread of the repeats: the crossing of the curves' best case and of their worst case.
"""

import math
from typing import Any

import pandas as pd

from seqscale.reporting.scaling import DIRECTION_WORDS, PLANS, Plan, device_name
from seqscale.reporting.source import Tables, records

SUBJECTS = ("mamba", "mamba2")
CROSSES, ALWAYS, NEVER = "overtakes", "ahead at every length", "behind at the longest length"
LOSES = "ahead on short ones only"  # cheaper at the shortest length and not at the longest
COLUMNS = [
    "suite", "quantity", "direction", "what", "device", "batch", "subject", "model", "label", "status", "length",
    "ci_low", "ci_high", "length_min", "length_max", "subject_longest", "other_longest", "ratio_longest", "unit",
    "other_out_of_memory_at",
]  # fmt: skip


def is_attention(model: str, tables: Tables) -> bool:
    """Whether the model mixes by attention alone: by the models table, or by its name where that is not there."""
    mixers = tables.models.loc[tables.models["model"] == model, "mixer"].dropna()
    if len(mixers):
        return bool((mixers == "attention").all())
    return model.startswith(("attention", "transformer"))


def crossing(lengths: list[float], ratios: list[float]) -> float:
    """Where the ratio (subject over other) falls below 1 and stays there; NaN if it never does or always is.

    `lengths` ascending. Interpolated linearly between logarithms of length and ratio.
    """
    above = [i for i, ratio in enumerate(ratios) if not ratio < 1]
    if not above or above[-1] == len(ratios) - 1:
        return math.nan
    i = above[-1]
    x0, x1, y0, y1 = (math.log(v) for v in (lengths[i], lengths[i + 1], ratios[i], ratios[i + 1]))
    return math.exp(x0 + (x1 - x0) * y0 / (y0 - y1))


def _fastest(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    """The model's best implementation at every length: attention gets its best, and so does Mamba."""
    mine = rows[(rows["model"] == model) & ~rows["oom"] & (rows["median"] > 0)].sort_values("median", kind="stable")
    best = mine.drop_duplicates("length").set_index("length").sort_index()
    return best.assign(p20=best["p20"].fillna(best["median"]), p80=best["p80"].fillna(best["median"]))


def crossovers(tables: Tables) -> pd.DataFrame:
    """Every pair of a subject and an attention model, for every cost, device and batch that both were measured at."""
    found: list[dict[str, Any]] = []
    for plan in PLANS.values():
        for direction in plan.directions:
            rows = tables.bench
            rows = rows[
                (rows["suite"] == plan.suite) & (rows["quantity"] == plan.quantity) & (rows["direction"] == direction)
            ]
            for (device, batch), part in rows.groupby(["device", "batch"], dropna=False, sort=True):
                for subject in SUBJECTS:
                    for other in sorted(set(part["model"].dropna())):
                        if is_attention(str(other), tables):
                            found += _pair(part, plan, direction, subject, str(other), device, batch, tables)
    frame = pd.DataFrame(found, columns=COLUMNS)
    return frame.astype({"status": object})


def _status(ratio: list[float]) -> str:
    if ratio[-1] < 1:
        return ALWAYS if all(r < 1 for r in ratio) else CROSSES
    return LOSES if ratio[0] < 1 else NEVER


def _pair(rows: pd.DataFrame, plan: Plan, direction: str, subject: str, other: str, device: Any, batch: Any,
          tables: Tables) -> list[dict[str, Any]]:  # fmt: skip
    mine, theirs = _fastest(rows, subject), _fastest(rows, other)
    lengths = [float(length) for length in mine.index.intersection(theirs.index)]
    if len(lengths) < 2:
        return []
    a, b = mine.loc[lengths], theirs.loc[lengths]
    ratio = (a["median"] / b["median"]).tolist()
    best, worst = (a["p20"] / b["p80"]).tolist(), (a["p80"] / b["p20"]).tolist()
    status = _status(ratio)
    if status == LOSES:  # the length from which the other is cheaper, which is where the inverse falls below 1
        turned = [[1 / r for r in curve] for curve in (ratio, worst, best)]
        found, low, high = (crossing(lengths, curve) for curve in turned)
    elif status == CROSSES:
        found, low, high = (crossing(lengths, curve) for curve in (ratio, best, worst))
    else:
        found = low = high = math.nan
    failed = rows[(rows["model"] == other) & rows["oom"]]["length"]
    words = f", {DIRECTION_WORDS[direction]}" if len(plan.directions) > 1 else ""
    what = f"{plan.y_label}{words}"
    return [{
        "suite": plan.suite, "quantity": plan.quantity, "direction": direction, "what": what,
        "device": device_name(device), "batch": batch, "subject": subject, "model": other,
        "label": f"{tables.model_title(subject)} against {tables.model_title(other)}", "status": status,
        "length": found, "ci_low": low, "ci_high": high,
        "length_min": lengths[0], "length_max": lengths[-1], "subject_longest": float(a["median"].iloc[-1]),
        "other_longest": float(b["median"].iloc[-1]), "ratio_longest": ratio[-1], "unit": plan.unit,
        "other_out_of_memory_at": float(failed.min()) if len(failed) else math.nan,
    }]  # fmt: skip


def answers(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a crossovers table as dictionaries, times and memory that people ask for first."""
    order = {"prefill": 0, "train_step": 1, "decode": 2, "memory": 3, "flops": 4}
    return records(frame.sort_values("suite", key=lambda s: s.map(order).fillna(9), kind="stable"))
