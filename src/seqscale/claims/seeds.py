"""Measures over training runs: one value per seed, intervals from seqscale.stats.

mean           of a column                              difference   of - minus, paired by seed
ratio          of / over, paired by seed                order        models from least to greatest
difference_at  of - minus at equal FLOPs, seconds or tokens: at the largest that both reached, from the history.
               Under the fair protocol a validation loss there is the lowest so far, as runs report their best weights
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from seqscale.claims.load import Trial
from seqscale.claims.measurement import Measurement, evidence_of
from seqscale.claims.predicate import number
from seqscale.claims.select import Notes, Tables, Untestable, as_text, details, histories, runs_of, series
from seqscale.stats import Interval, mean_interval, paired_difference, paired_ratio
from seqscale.stats.intervals import LEVEL
from seqscale.stats.proportions import share_interval


def _seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


def _value(interval: Interval, unit: str) -> str:
    text = f"is {number(interval.estimate)}{f' {unit}' if unit else ''}"
    if interval.low is None or interval.high is None:
        return f"{text} without an interval"
    return f"{text} ({interval.level:.0%} interval {number(interval.low)} to {number(interval.high)})"


class _Runs:
    """The training runs of one side of a trial, with what is said about them."""

    def __init__(self, tables: Tables, trial: Trial, side: dict[str, Any], notes: Notes) -> None:
        wanted = {k: v for k, v in trial.select.items() if k != "table"} | side
        self.further = {k: wanted.pop(k) for k in list(wanted) if k not in tables["runs"]}
        self.rows, taken = runs_of(tables, wanted, trial.protocol, notes)
        self.name = str(self.rows["model"].iloc[0])
        self.dataset = str(self.rows["dataset"].iloc[0])
        self.evidence = as_text(taken | self.further)
        self.tables, self.trial = tables, trial
        if trial.corpus and self.dataset != trial.corpus:
            notes.caveat(f"Measured on {self.dataset}, not on the published {trial.corpus}.")
            if trial.options.get("needs_corpus"):
                notes.doubt(f"a figure of {trial.corpus} is neither met nor refuted on {self.dataset}")

    def values(self) -> dict[int, float]:
        """The column of the trial by seed; from a history, the mean over the `last` share of the steps."""
        options = self.trial.options
        column, scale = options["column"], options.get("scale", 1.0)
        if self.trial.select["table"] == "runs":
            return series(self.rows, column, scale)
        if self.trial.select["table"] != "history":
            table = str(self.trial.select["table"])
            return {s: v * scale for s, v in details(self.tables, table, self.rows, self.further, column).items()}
        last = options.get("last", 0.1)
        found: dict[int, float] = {}
        for seed, history in histories(self.tables, self.rows).items():
            end = history[history["step"] > (1.0 - last) * history["step"].max()][column].dropna()
            if end.empty:
                raise Untestable(f"the history of {self.name}, seed {seed}, has no {column} near its end")
            found[seed] = float(end.mean()) * scale
        return found


def _unequal(sides: list[_Runs], trial: Trial, notes: Notes) -> None:
    """Say aloud where models of a fair comparison differ in size."""
    if trial.protocol != "fair":
        return
    for side in sides:
        ratio, matched = side.rows["params_ratio"].iloc[0], side.rows["matched"].iloc[0]
        if not pd.isna(matched) and not bool(matched):
            reference = side.rows["reference_model"].iloc[0]
            notes.caveat(f"{side.name} has {number(ratio)} times the non-embedding parameters of {reference}.")


def _data(sides: list[_Runs]) -> str:
    return ", ".join(dict.fromkeys(side.dataset for side in sides))


def _over_seeds(sides: list[_Runs], trial: Trial, notes: Notes, interval: Interval, phrase: str) -> Measurement:
    """What the measures over seeds have in common."""
    if interval.n < max(len(side.rows) for side in sides):
        notes.doubt(f"only {_seeds(interval.n)} of both could be paired")
    unit = trial.unit
    text = f"{phrase} over {_seeds(interval.n)} {_value(interval, unit)}"
    data, evidence = _data(sides), evidence_of(trial, sides)
    return Measurement(
        interval.estimate, interval.low, interval.high, interval.n, text, interval.method, data, evidence, notes
    )


def mean(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    side = _Runs(tables, trial, {}, notes)
    values, scale = list(side.values().values()), trial.options.get("scale", 1.0)
    if trial.options["column"].endswith("accuracy") and min(values) >= 0.0 and max(values) <= scale:
        found = share_interval([value / scale for value in values])  # one that stays between 0 and 100 %
        low, high = (None if end is None else end * scale for end in (found.low, found.high))
        interval = Interval(found.estimate * scale, low, high, found.n, found.level, found.method)
    else:
        interval = mean_interval(values)
    return _over_seeds([side], trial, notes, interval, f"the mean {trial.options['column']} of {side.name}")


def _pair(tables: Tables, trial: Trial, notes: Notes, other: str) -> list[_Runs]:
    sides = [_Runs(tables, trial, trial.options[key], notes) for key in ("of", other)]
    _unequal(sides, trial, notes)
    return sides


def difference(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    a, b = sides = _pair(tables, trial, notes, "minus")
    phrase = f"{trial.options['column']} of {a.name} minus that of {b.name}"
    return _over_seeds(sides, trial, notes, paired_difference(a.values(), b.values()), phrase)


def ratio(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    a, b = sides = _pair(tables, trial, notes, "over")
    try:
        interval = paired_ratio(a.values(), b.values())
    except ValueError as error:
        raise Untestable(str(error)) from error
    return _over_seeds(sides, trial, notes, interval, f"{trial.options['column']} of {a.name} over that of {b.name}")


def difference_at(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    """Difference at the largest x (FLOPs, ...) that both reached; straight lines in log x between evaluations.

    Under the fair protocol a run reports the weights of its lowest validation loss, so there the lowest so far counts.
    """
    a, b = sides = _pair(tables, trial, notes, "minus")
    x, column = trial.options["x"], trial.options["column"]
    lowest = column == "valid_loss" and trial.protocol == "fair"
    left, right = ({s: h[[x, column]].dropna() for s, h in histories(tables, side.rows).items()} for side in sides)
    seeds = sorted(left.keys() & right.keys())
    if not seeds:
        raise Untestable(f"{a.name} and {b.name} have no seed in common")
    values: list[dict[int, float]] = [{}, {}]
    for seed in seeds:
        pair = (left[seed], right[seed])
        if min(len(h) for h in pair) < 2:
            raise Untestable(f"{column} was recorded less than twice in a run of seed {seed}")
        at = min(float(h[x].max()) for h in pair)
        if at < max(float(h[x].min()) for h in pair):
            raise Untestable(f"the histories of {a.name} and {b.name} share no range of {x}")
        for side, history in zip(values, pair, strict=True):
            order = history.sort_values(x)
            y = order[column].cummin() if lowest else order[column]
            side[seed] = float(np.interp(math.log(at), np.log(order[x].to_numpy(float)), y.to_numpy(float)))
    gap = paired_difference(values[0], values[1])
    dearer = max((0, 1), key=lambda i: max(float(h[x].max()) for h in (left, right)[i].values()))
    short = "The model that is stopped short there had not finished its learning-rate schedule."
    against_it = gap.estimate > 0 if dearer == 0 else gap.estimate < 0  # it may lose for that reason alone
    if against_it:
        notes.doubt("the model that loses was stopped short there, before its learning-rate schedule had ended")
    else:
        notes.caveat(short)
    phrase = f"at equal {x}, {column}{' (lowest so far)' if lowest else ''} of {a.name} minus that of {b.name}"
    return _over_seeds(sides, trial, notes, gap, phrase)


def order(tables: Tables, trial: Trial, notes: Notes) -> Measurement:
    """Neighbours in the claimed order, each pair a paired difference; the pair nearest to breaking it is reported.

    All k pairs must hold, each at 95 %: a claim of "all" is then tested at 95 % itself (an intersection-union test).
    That *some* pair breaks the order is a claim of "any", so there each pair is held to 1 - 0.05 / k (Bonferroni).
    """
    sides = [_Runs(tables, trial, {"model": model}, notes) for model in trial.options["models"]]
    _unequal(sides, trial, notes)
    pairs = list(pairwise(sides))
    strict_level = 1.0 - (1.0 - LEVEL) / len(pairs)
    found: list[tuple[Interval, Interval, str]] = []
    for a, b in pairs:
        both = a.values(), b.values()
        found.append((paired_difference(*both), paired_difference(*both, strict_level), f"{a.name} minus {b.name}"))
    worst = max(found, key=lambda f: f[0].estimate if f[0].high is None else f[0].high)
    interval, _, name = worst
    told = ", ".join(f"{side.name} {number(float(np.mean(list(side.values().values()))))}" for side in sides)
    phrase = f"{trial.options['column']} is {told}; the pair nearest to breaking the order, {name},"
    result = _over_seeds(sides, trial, notes, interval, phrase)
    result.checks = [(f.low, f.high, g.low, g.high) for f, g, _ in found]
    return result
