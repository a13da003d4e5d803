"""The length from which Mamba is cheaper than attention, on the machine that was measured: one row per pair of curves.

Every suite of every kind, every model of Mamba's kind against every attention model of its size in the suite. How a
crossing is found and what its interval is for: `seqscale.stats.crossing`. A pair that does not cross within the
lengths measured is a row as well, with its status and the words for it.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seqscale.reporting.scaling import DIRECTION_WORDS, PLANS, Plan, device_name
from seqscale.reporting.source import Tables, records
from seqscale.reporting.suites import filled, opponents, size, suites_of
from seqscale.stats.crossing import Crossing, Curve, crossing, last_above, log_ratio

CROSSES, ALWAYS, NEVER = "overtakes", "ahead at every length", "behind at the longest length"
LOSES = "ahead on short ones only"  # cheaper at the shortest length and not at the longest
CUT = "cut short by out of memory"  # not cheaper as far as both ran; one of them ran out of memory beyond
FEW = "too few lengths in common"
# Spread of medians between processes that intervals allow for: stated, not measured in the run itself. On one H200 two
# runs differed by 0.5 % (root mean square of 104 medians); four times that leaves room for another machine of the kind.
# `make compare` measures it from two runs and says where this is too little.
BETWEEN = {"cpu": 0.10}
BETWEEN_ELSEWHERE = 0.02
COLUMNS = [
    "suite", "kind", "size", "quantity", "direction", "what", "device", "batch", "subject", "model", "label", "status",
    "length", "ci_low", "ci_high", "words", "length_min", "length_max", "subject_longest", "other_longest",
    "ratio_longest", "unit", "other_out_of_memory_at", "subject_out_of_memory_at", "between",
]  # fmt: skip
ORDER = {"prefill": 0, "train_step": 1, "decode": 2, "memory": 3, "flops": 4}


class Pair(NamedTuple):
    """Two models measured side by side: their rows (fastest implementation) at the lengths that both finished."""

    plan: Plan
    suite: str
    direction: str
    device: str
    batch: float
    subject: str
    model: str
    lengths: list[float]
    mine: Curve
    theirs: Curve
    unit: str
    failed: tuple[float, float]  # the first length at which the subject, the other ran out of memory; NaN: none

    @property
    def between(self) -> float:
        """The spread between processes that is allowed for; counts of operations and bytes of a state have none."""
        if self.plan.unit != "s":
            return 0.0
        return BETWEEN.get(str(self.device).lower(), BETWEEN_ELSEWHERE)

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells a pair from others of the same run."""
        batch = None if self.batch != self.batch else self.batch
        return self.suite, self.plan.quantity, self.direction, batch, self.subject, self.model


def pairs(tables: Tables, config: Mapping[str, Any] | None = None) -> list[Pair]:
    """Every pair, for every cost, suite, device and batch that both were measured at (at no common length, too)."""
    found = []
    for plan in PLANS.values():
        for suite in suites_of(plan.kind, tables.bench):
            rows = tables.bench
            rows = rows[(rows["suite"] == suite) & (rows["quantity"] == plan.quantity)]
            for direction in plan.directions:
                there = rows[rows["direction"] == direction]
                if filled(there):
                    there = there.assign(batch=math.nan)
                for (device, batch), part in there.groupby(["device", "batch"], dropna=False, sort=True):
                    models = sorted({str(m) for m in part["model"].dropna()})
                    for subject, other in opponents(models, tables, config):
                        found.append(_pair(part, plan, suite, direction, device, batch, subject, other))
    return found


def _pair(rows: pd.DataFrame, plan: Plan, suite: str, direction: str, device: Any, batch: Any, subject: str,
          other: str) -> Pair:  # fmt: skip
    best = [_fastest(rows, model) for model in (subject, other)]
    lengths = [float(length) for length in best[0].index.intersection(best[1].index)]
    failed = [rows[(rows["model"] == model) & rows["oom"]]["length"].min() for model in (subject, other)]
    curves = [
        Curve(*(frame.loc[lengths, c].to_numpy(float) for c in ("median", "p20", "p80", "repeats"))) for frame in best
    ]
    return Pair(plan, suite, direction, device, float(batch), subject, other, lengths, curves[0], curves[1], plan.unit,
                (float(failed[0]), float(failed[1])))  # fmt: skip


def _fastest(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    """The model's best implementation at every length: attention gets its best, and so does Mamba."""
    mine = rows[(rows["model"] == model) & ~rows["oom"] & (rows["median"] > 0)].sort_values("median", kind="stable")
    best = mine.drop_duplicates("length").set_index("length").sort_index()
    repeats = best["repeats"] if "repeats" in best else pd.Series(math.nan, index=best.index)
    return best.assign(
        p20=best["p20"].fillna(best["median"]), p80=best["p80"].fillna(best["median"]), repeats=repeats.fillna(1)
    )


def status_of(pair: Pair) -> str:
    """What the medians say, in one of the six words."""
    if len(pair.lengths) < 2:
        return FEW
    ratio = log_ratio(pair.mine, pair.theirs)
    if ratio[-1] < 0:
        return ALWAYS if (ratio < 0).all() else CROSSES
    if ratio[0] < 0:
        return LOSES
    return CUT if any(n > pair.lengths[-1] for n in pair.failed) else NEVER


def found_at(pair: Pair, status: str) -> Crossing:
    """The crossing with its interval; where Mamba is ahead on short lengths only, that of the other overtaking it."""
    if status == FEW:
        return Crossing(math.nan, math.nan, math.nan)
    first, second = (pair.theirs, pair.mine) if status == LOSES else (pair.mine, pair.theirs)
    return crossing(pair.lengths, first, second, pair.between)


def place(pair: Pair, status: str) -> float:
    """Where the pair crosses, in the sense of a `status` that another run found; 0 and inf as in `Crossing`."""
    ratio = log_ratio(pair.mine, pair.theirs)
    return last_above(pair.lengths, -ratio if status == LOSES else ratio)


def tokens(value: float) -> str:
    """ "1,024": a length in words."""
    return f"{value:,.0f}"


def words_of(pair: Pair, status: str, at: Crossing) -> str:
    """The answer in one line, whatever it is."""
    if status == FEW:
        both = zip(("Mamba", "attention"), pair.failed, strict=True)
        lost = [f"{who} out of memory at {tokens(n)}" for who, n in both if n == n]
        return FEW + (f" ({', '.join(lost)})" if lost else "")
    first, last = tokens(pair.lengths[0]), tokens(pair.lengths[-1])
    low = tokens(at.low) if at.low > 0 else f"below {first}"
    high = tokens(at.high) if math.isfinite(at.high) else f"beyond {last}"
    spread = f"{low} to {high}"
    ratio = float(np.exp(log_ratio(pair.mine, pair.theirs)[-1]))
    if status == CROSSES:
        return f"from {tokens(at.length)} tokens on ({spread})"
    if status == LOSES:
        return f"only up to {tokens(at.length)} tokens ({spread}); at {last} {ratio:.3g} times as much"
    if status == ALWAYS:
        edge = f"; a rerun may cross as late as {high}" if at.high < math.inf else "; a rerun may find it behind"
        edge = edge if at.high > 0 else ""
        return f"at every length, {first} to {last}{edge}"
    edge = f"; a rerun may cross from {low} on" if at.low > 0 else "; a rerun may find it ahead"
    edge = edge if math.isfinite(at.low) else ""
    who = [f"{name} out of memory at {tokens(n)}" for name, n in zip(("Mamba", "attention"), pair.failed, strict=True)
           if n > pair.lengths[-1]]  # fmt: skip
    cut = f"; {', '.join(who)}" if who else ""
    return f"not up to {last} tokens, there {ratio:.3g} times as much{cut}{edge}"


def crossovers(tables: Tables, config: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The table crossovers, columns COLUMNS. `config`: the resolved configuration, for what the models are."""
    rows = [_row(pair, tables, config) for pair in pairs(tables, config)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"status": object})


def _row(pair: Pair, tables: Tables, config: Mapping[str, Any] | None) -> dict[str, Any]:
    status = status_of(pair)
    at = found_at(pair, status)
    crossed = status in (CROSSES, LOSES)
    known = bool(pair.lengths)
    ends = [float(c.median[-1]) if known else math.nan for c in (pair.mine, pair.theirs)]
    words = f", {DIRECTION_WORDS[pair.direction]}" if len(pair.plan.directions) > 1 else ""
    suite = "" if pair.suite == pair.plan.kind else f" ({pair.suite})"
    return {
        "suite": pair.suite, "kind": pair.plan.kind,
        "size": size(pair.subject, tables, config) or size(pair.model, tables, config),
        "quantity": pair.plan.quantity, "direction": pair.direction, "what": f"{pair.plan.y_label}{words}{suite}",
        "device": device_name(pair.device), "batch": pair.batch, "subject": pair.subject, "model": pair.model,
        "label": f"{tables.model_title(pair.subject)} against {tables.model_title(pair.model)}", "status": status,
        "length": at.length if crossed else math.nan,
        "ci_low": at.low if 0 < at.low < math.inf else math.nan,
        "ci_high": at.high if 0 < at.high < math.inf else math.nan,
        "words": words_of(pair, status, at),
        "length_min": pair.lengths[0] if known else math.nan, "length_max": pair.lengths[-1] if known else math.nan,
        "subject_longest": ends[0], "other_longest": ends[1], "ratio_longest": ends[0] / ends[1], "unit": pair.unit,
        "other_out_of_memory_at": pair.failed[1], "subject_out_of_memory_at": pair.failed[0], "between": pair.between,
    }  # fmt: skip


def answers(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a crossovers table as dictionaries, times and memory that people ask for first."""
    kinds = frame["kind"].fillna(frame["suite"]) if "kind" in frame else frame["suite"]
    order = kinds.map(ORDER).fillna(9)
    return records(frame.assign(_order=order).sort_values("_order", kind="stable").drop(columns="_order"))
