"""How large everything was that was measured: a row per experiment and benchmark, told at the top and beside claims.

A claim about models of 100 million parameters is not settled by models of 0.1 million, so the size stands where the
verdict does.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from seqscale.reporting.evidence import selections
from seqscale.reporting.html import data, esc, plural, si
from seqscale.reporting.source import Tables, records
from seqscale.reporting.words import PROTOCOLS

TABLE = "scale"
TEXTS = "kind name title protocol dataset device"
NUMBERS = "context batch steps train_tokens params_min params_max models seeds length_min length_max"
COLUMNS = [*TEXTS.split(), *NUMBERS.split()]
TRAINED, TIMED, ANALYSED = "training", "benchmark", "analysis"
AT_THE_TOP = 6  # experiments; further ones are folded away


def scale_table(tables: Tables) -> pd.DataFrame:
    """A row per experiment that was trained, per suite that was timed and per analysis (COLUMNS)."""
    ran = tables.runs[tables.runs["status"] != "missing"]  # a run that is not there has no size
    rows = [_trained(tables, e) for e in tables.experiments if (ran["experiment"] == e).any()]
    for kind, frame in ((TIMED, tables.bench), (ANALYSED, tables.analyses)):
        for suite in dict.fromkeys(frame["suite"].dropna()):
            rows.append(_timed(tables, kind, str(suite), frame[frame["suite"] == suite]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _trained(tables: Tables, experiment: str) -> dict[str, Any]:
    runs = tables.table("runs", "device", "context batch")
    runs = runs[(runs["experiment"] == experiment) & (runs["status"] != "missing")]
    first = records(runs)[0]
    return {
        "kind": TRAINED, "name": experiment, "title": tables.experiment_title(experiment),
        "protocol": first["protocol"], "dataset": first["dataset"], "device": _one(runs["device"]),
        **{column: runs[column].max() for column in ("context", "batch", "steps", "train_tokens")},
        "params_min": runs["params"].min(), "params_max": runs["params"].max(),
        "models": runs["model"].nunique(), "seeds": runs["seed"].nunique(),
    }  # fmt: skip


def _timed(tables: Tables, kind: str, suite: str, rows: pd.DataFrame) -> dict[str, Any]:
    sizes = tables.models.loc[tables.models["model"].isin(rows["model"]), "params"]
    return {
        "kind": kind, "name": suite, "title": suite.replace("_", " "), "device": _one(rows["device"]),
        "batch": rows["batch"].max() if rows["batch"].nunique() == 1 else math.nan,
        "params_min": sizes.min() if kind == TIMED else math.nan,
        "params_max": sizes.max() if kind == TIMED else math.nan, "models": rows["model"].nunique(),
        "length_min": rows["length"].min(), "length_max": rows["length"].max(),
    }  # fmt: skip


def _one(values: pd.Series) -> str:
    return ", ".join(sorted({str(v) for v in values.dropna() if v}))


def _count(value: float) -> str:
    return data(value, f"{value:,.0f}")


def _range(low: float, high: float, text: Any = _count) -> str:
    return text(low) if low == high else f"{text(low)} to {text(high)}"


def _parameters(low: float, high: float) -> str:
    """ "4.4 k to 100 k parameters"."""
    return f"{_range(low, high, lambda v: si(v, ''))} parameters" if high == high else ""


def words(row: dict[str, Any]) -> str:
    """One row of the table as a clause: context, steps, tokens seen, parameters, seeds; of a benchmark its lengths."""
    told: list[str] = []
    if row["kind"] == TRAINED:
        told += [f"context {_count(row['context'])}"] if row["context"] == row["context"] else []
        if row["steps"] == row["steps"]:
            batch = f" of {_count(row['batch'])} sequences" if row["batch"] == row["batch"] else ""
            told.append(f"{_count(row['steps'])} steps{batch}")
        if row["train_tokens"] == row["train_tokens"]:
            told.append(f"{si(row['train_tokens'], '')} tokens seen")
    else:
        told += [f"batch {_count(row['batch'])}"] if row["batch"] == row["batch"] else []
        if row["length_max"] == row["length_max"]:
            told.append(f"lengths {_range(row['length_min'], row['length_max'])}")
    told += [text] if (text := _parameters(row["params_min"], row["params_max"])) else []
    if row["seeds"] == row["seeds"]:
        told.append(f"{_count(row['seeds'])} {plural(int(row['seeds']), 'seed').split(' ', 1)[1]}")
    return ", ".join(told)


def at_the_top(tables: Tables) -> str:
    """One line per experiment; where there are many, the further ones are folded away."""
    frame = tables.table(TABLE, TEXTS, NUMBERS)
    rows = records(frame[frame["kind"] == TRAINED])
    if not rows:
        return ""

    def lines(some: Sequence[dict[str, Any]]) -> str:
        items = [
            f"<li><strong>{esc(r['title'])}</strong> ({esc(PROTOCOLS.get(str(r['protocol']), r['protocol']))}, "
            f"{esc(r['device'] or 'unknown device')}): {words(r)}, {_count(r['models'])} "
            f"{'model' if r['models'] == 1 else 'models'}.</li>"
            for r in some
        ]
        return f'<ul class="scale">{"".join(items)}</ul>'

    rest = rows[AT_THE_TOP:]
    folded = f"<details><summary>{len(rest)} further experiments</summary>{lines(rest)}</details>" if rest else ""
    return f'<section class="sizes-all" aria-label="Scale of the run">{lines(rows[:AT_THE_TOP])}{folded}</section>'


def measured_at(rows: Iterable[dict[str, Any]], tables: Tables) -> str:
    """The scale of what the rows of a claim were measured on: experiments with their models, benchmarks, analyses."""
    asked: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if row["measured"] is None or row["measured"] != row["measured"]:
            continue
        for s in selections(row["evidence"]):
            kind = {"bench": TIMED, "analyses": ANALYSED}.get(s["table"], TRAINED)
            name = s.get("experiment" if kind == TRAINED else "suite")
            if name:
                asked.setdefault((kind, name), set()).update([s["model"]] if "model" in s else [])
    frame = tables.table(TABLE, TEXTS, NUMBERS).set_index(["kind", "name"], drop=False)
    told = []
    for key, models in asked.items():
        if key not in frame.index:
            continue
        row = records(frame.loc[[key]])[0]
        if key[0] != ANALYSED and models:  # the claim's own models, and not all that the experiment has
            table = tables.runs[tables.runs["experiment"] == key[1]] if key[0] == TRAINED else tables.models
            sizes = table.loc[table["model"].isin(models), "params"].dropna()
            row |= {"params_min": sizes.min(), "params_max": sizes.max()} if len(sizes) else {}
        where = f"{esc(row['dataset'])} at " if row["dataset"] else f"{esc(row['title'])} {esc(row['kind'])}, "
        device = f" ({esc(row['device'])})" if row["device"] else ""
        told.append(f"{where}{words(row)}{device}")
    return "; ".join(told)
