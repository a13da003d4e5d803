"""Which rows a trial is about, and whether they can be trusted.

Nothing is dropped silently here: a run that diverged, a benchmark that ran out of memory, a row that should be there
and is not, each either makes the trial untestable or leaves a `doubt`, and a doubt makes the verdict inconclusive.
"""

import fnmatch
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from seqscale.tables.columns import MISSING, OK

Tables = dict[str, pd.DataFrame]
LEAST_SEEDS = 3  # fair protocol: three is the least that gives an interval worth the name
NEAREST = 0.05  # a length of 1,024 tokens stands for "1,000 tokens"


class Untestable(Exception):
    """The tables cannot bear this trial; the text says why."""


@dataclass
class Notes:
    """What is to be said beside a number: caveats are told, doubts make the verdict inconclusive."""

    caveats: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def caveat(self, words: str) -> None:
        if words not in self.caveats:
            self.caveats.append(words)

    def ran(self, implementations: list[str]) -> None:
        """Say what ran: "mamba as chunked, transformer as flash"."""
        if told := ", ".join(dict.fromkeys(words for words in implementations if words)):
            self.caveat(f"Ran: {told}.")

    def doubt(self, words: str) -> None:
        if words not in self.doubts:
            self.doubts.append(words)


def pick(table: pd.DataFrame, wanted: dict[str, Any], what: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of `table` that match, and the value found for each column.

    A value may hold * as a wildcard. A list is a preference: the first of its entries that has rows is taken. Raises
    Untestable, naming what is there instead, where nothing matches.
    """
    taken: dict[str, Any] = {}
    for column, value in wanted.items():
        for choice in value if isinstance(value, list) else [value]:
            rows = table[_matches(table[column], choice)]
            if len(rows):
                break
        else:
            there = ", ".join(str(v) for v in sorted(table[column].dropna().unique(), key=str)) or "none"
            names = " or ".join(repr(v) for v in (value if isinstance(value, list) else [value]))
            before = f" (with {', '.join(f'{k} {v}' for k, v in taken.items())})" if taken else ""
            raise Untestable(f"no {what} of {column} {names} in this configuration{before}; there is: {there}")
        table, taken[column] = rows, choice
    return table, taken


def _matches(values: pd.Series, choice: Any) -> Any:
    if isinstance(choice, str) and "*" in choice:
        return values.map(lambda v: isinstance(v, str) and fnmatch.fnmatchcase(v, choice)).astype(bool)
    if isinstance(choice, str) and choice.isdigit() and pd.api.types.is_numeric_dtype(values):
        choice = int(choice)  # a part's name, such as "4096"
    return (values == choice).fillna(False).astype(bool)


def as_text(wanted: dict[str, Any]) -> str:
    """A filter as text: experiment=text, model=mamba."""
    return ", ".join(f"{k}={' or '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in wanted.items())


def runs_of(tables: Tables, wanted: dict[str, Any], protocol: str, notes: Notes) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The runs that finished, one row per seed; what did not finish is a doubt, or Untestable if nothing did."""
    rows, taken = pick(tables["runs"], wanted, "run")
    pairs = rows[["experiment", "model"]].drop_duplicates()
    if len(pairs) > 1:
        names = ", ".join(f"{r.experiment}/{r.model}" for r in pairs.itertuples())
        raise Untestable(f"the selection {as_text(wanted)} holds several models or experiments ({names})")
    other = rows["protocol"].dropna()
    if (other != protocol).any():
        raise Untestable(
            f"experiment {rows['experiment'].iloc[0]!r} follows the {other.iloc[0]} protocol, not the {protocol} one"
        )
    name = str(rows["model"].iloc[0])
    failed = rows[rows["status"] != OK]
    told = "; ".join(
        f"seed {r.seed}: {r.status}{f', {r.reason}' if _given(r.reason) else ''}" for r in failed.itertuples()
    )
    good = rows[rows["status"] == OK].sort_values("seed")
    absent = bool((failed["status"] == MISSING).all())  # not run, failed or lost: nobody knows which
    if good.empty:
        where = f"of the {len(rows)} runs of {name} in {rows['experiment'].iloc[0]}"
        if absent:
            raise Untestable(f"none {where} is there (not run, failed, or lost)")
        raise Untestable(f"none {where} succeeded ({told})")
    if len(failed):
        some = f"{len(failed)} of {len(rows)} runs of {name}"
        if absent:
            seeds = ", ".join(str(seed) for seed in failed["seed"])
            notes.doubt(f"{some} are not there (seed {seeds}: not run, failed, or lost), and the rest may flatter it")
        else:
            notes.doubt(f"{some} failed ({told}), and survivors alone would flatter it")
    if protocol == "fair":
        if len(good) < LEAST_SEEDS and not len(failed):
            notes.doubt(f"the fair protocol asks for at least {LEAST_SEEDS} seeds and {name} has {len(good)}")
        if good["lr_at_edge"].fillna(False).any():
            notes.caveat(f"The learning rate of {name} lies at the edge of its grid.")
    return good, taken


def _given(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def series(frame: pd.DataFrame, column: str, scale: float = 1.0) -> dict[int, float]:
    """`column` (or a product, "params*train_tokens") by seed, times `scale`; Untestable where it is empty."""
    values = np.ones(len(frame))
    for factor in column.split("*"):
        values = values * frame[factor.strip()].to_numpy(float, na_value=np.nan)
    if not np.isfinite(values).all():
        where = f"{frame['model'].iloc[0]} in experiment {frame['experiment'].iloc[0]!r}"
        raise Untestable(f"{column} is empty or not finite for {where}: it does not apply there or was not measured")
    return {int(s): float(v) * scale for s, v in zip(frame["seed"], values, strict=True)}


def histories(tables: Tables, runs: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The history of each of `runs` by seed, in the order of the steps; Untestable where one has none."""
    table = tables["history"]
    found: dict[int, pd.DataFrame] = {}
    for run in runs.itertuples():
        mine = (table["experiment"] == run.experiment) & (table["model"] == run.model) & (table["seed"] == run.seed)
        rows = table[mine.fillna(False).astype(bool)].sort_values("step")
        if rows.empty:
            raise Untestable(f"the history of {run.experiment}/{run.model}/seed{run.seed} is empty")
        found[int(str(run.seed))] = rows
    return found


def details(tables: Tables, table: str, runs: pd.DataFrame, wanted: dict[str, Any], column: str) -> dict[int, float]:
    """By seed, `column` of the one row that each of `runs` has in `table` with the values `wanted`.

    Raises Untestable where a run has no such row, or one without a number; it says what there is.
    """
    found: dict[int, float] = {}
    for run in runs.itertuples():
        rows = tables[table]
        mine = (rows["experiment"] == run.experiment) & (rows["model"] == run.model) & (rows["seed"] == run.seed)
        rows, _ = pick(rows[mine.fillna(False).astype(bool)], wanted, f"row of {table}")
        name = f"{run.experiment}/{run.model}/seed{run.seed}"
        if len(rows) != 1:
            raise Untestable(f"table {table} has {len(rows)} rows of {name} with {as_text(wanted) or 'no further key'}")
        value = float(rows[column].to_numpy(float, na_value=np.nan)[0])
        if not np.isfinite(value):
            why = rows["reason"].iloc[0] if "reason" in rows and _given(rows["reason"].iloc[0]) else "it is empty"
            raise Untestable(f"{column} of {name} with {as_text(wanted)} was not measured: {why}")
        found[int(str(run.seed))] = value
    return found


def curve_of(
    tables: Tables, wanted: dict[str, Any], notes: Notes, table: str = "bench"
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One curve of the bench (or analyses) table: one row per length, sorted; rows out of memory stay, with `oom` true.

    Where a length was measured with several implementations or dtypes, the fastest (smallest) counts: every model gets
    its best. Several devices or batch sizes are ambiguous and Untestable.
    """
    first: dict[str, Any] = {k: wanted[k] for k in ("suite", "model") if k in wanted}
    what = "benchmark" if table == "bench" else "analysis"
    rows, taken = pick(tables[table], first, what)
    if (rows["status"] == MISSING).all():
        raise Untestable(str(rows["reason"].iloc[0]))
    rows = rows[rows["status"] != MISSING]
    rows, rest = pick(rows, {k: v for k, v in wanted.items() if k not in first}, what)
    if rows["median"].isna().all() and not rows["oom"].fillna(False).any():
        raise Untestable(f"{rows['model'].iloc[0]} has no number there ({rows['reason'].iloc[0]})")
    for column in ("suite", "model", "device", "batch", "direction", "quantity", "unit", "d_state"):
        values = rows[column].dropna().unique()
        if len(values) > 1:
            raise Untestable(
                f"the selection {as_text(wanted)} holds several values of {column}: {', '.join(map(str, values))}"
            )
    if rows["length"].duplicated().any():
        variants = rows[["implementation", "dtype"]].drop_duplicates()
        names = ", ".join(f"{v.implementation} {v.dtype}" for v in variants.itertuples())
        notes.caveat(f"Of {names} the best at each length counts.")
        rows = rows.sort_values("median", na_position="last").drop_duplicates("length")
    return rows.sort_values("length"), taken | rest


def point(curve: pd.DataFrame, length: int | str) -> pd.Series:
    """The row of `curve` at `length` (within 5 %), or at its "longest" or "shortest"; Untestable if not measured."""
    name, lengths = str(curve["model"].iloc[0]), curve["length"].to_numpy(float)
    if length == "longest" or length == "shortest":
        at = int(lengths.argmax() if length == "longest" else lengths.argmin())
    else:
        at = int(np.abs(lengths - float(length)).argmin())
        if abs(lengths[at] - float(length)) > NEAREST * float(length):
            there = ", ".join(f"{n:.0f}" for n in lengths)
            raise Untestable(f"{name} was not measured at {length} tokens; lengths measured: {there}")
    row = curve.iloc[at]
    if bool(row["oom"]):
        raise Untestable(f"{name} ran out of memory at {row['length']} tokens")
    return row
