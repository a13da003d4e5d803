"""Figures that need no code: a tidy table, and an entry of report/figures.yaml that says which column goes where.

One row of the table is one point. Columns `x` and `y` are numbers, `series` (default: model) tells the lines apart,
`panel` the panels; `low` and `high` are the ends of the interval. A table that is not there gives a figure that says
so.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from seqscale.reporting.chart import Axis, Chart, Dot, Dots, Lines, Series, nothing
from seqscale.reporting.source import Tables, records


def _rows(entry: Mapping[str, Any], tables: Tables) -> pd.DataFrame:
    texts = [entry.get("series", "model"), *([entry["panel"]] if "panel" in entry else [])]
    numbers = [entry[key] for key in ("x", "y", "low", "high", "published") if key in entry]
    frame = tables.table(entry["table"], " ".join(texts), " ".join(numbers))
    for column, wanted in (entry.get("where") or {}).items():
        if wanted is None:  # only rows where it is empty
            frame = frame[frame[column].isna() | (frame[column] == "")] if column in frame else frame
            continue
        values = wanted if isinstance(wanted, list) else [wanted]
        found = frame[column].astype(str) if column in frame else pd.Series("", index=frame.index)
        frame = frame[found.isin([str(v) for v in values])]
    return frame[frame[entry["y"]].notna()]


def build(entry: Mapping[str, Any]) -> Callable[[Tables, str], Chart]:
    """The builder of the figure that `entry` describes."""

    def make(tables: Tables, title: str) -> Chart:
        rows = _rows(entry, tables)
        if rows.empty:
            return nothing(title, f"the table {entry['table']} holds no {entry['y'].replace('_', ' ')} for it.")
        panel = entry.get("panel")
        parts = [(str(k), g) for k, g in rows.groupby(panel, sort=False)] if panel else [(title, rows)]
        panels = tuple(_panel(entry, tables, name, part) for name, part in parts)
        told = [f"{p.title}: {_told(p)}" for p in panels]
        return Chart(title, panels, rows.dropna(axis="columns", how="all"), f"{title}. " + " ".join(told))

    return make


def _panel(entry: Mapping[str, Any], tables: Tables, title: str, rows: pd.DataFrame) -> Lines | Dots:
    by, log = entry.get("series", "model"), entry.get("log") or []
    heading = tables.experiment_title(title)
    heading = heading[:1].upper() + heading[1:]
    y_axis = Axis(entry.get("y_label", entry["y"]), entry.get("y_unit", ""), "y" in log, share=bool(entry.get("share")))
    low, high, printed = (entry.get(key) for key in ("low", "high", "published"))

    def at(row: Mapping[str, Any], column: str | None) -> float:
        return float(row[column]) if column else math.nan

    if entry.get("kind") == "dots":
        dots = tuple(
            Dot(_name(by, str(r[by]), tables), str(r.get("model") or r[by]), r[entry["y"]], at(r, low), at(r, high),
                published=at(r, printed), spread=entry.get("spread", ""))
            for r in records(rows)
        )  # fmt: skip
        return Dots(heading, y_axis, dots)
    series = []
    for key, line in rows.groupby(by, sort=True):
        line = line.sort_values(entry["x"])
        look, name = str(key), _name(by, str(key), tables)
        x, y = (line[c].tolist() for c in (entry["x"], entry["y"]))
        bars = [line[end].tolist() if end else [] for end in (low, high)]
        series.append(Series(look, name, x, y, bars[0], bars[1], spread=entry.get("spread", "")))
        if printed and line[printed].notna().any():
            known = line[line[printed].notna()]
            xs, ys = known[entry["x"]].tolist(), known[printed].tolist()
            series.append(Series(look, f"{name}, published", xs, ys, published=True))
    x_axis = Axis(entry.get("x_label", entry["x"]), entry.get("x_unit", ""), "x" in log, bool(entry.get("lengths")))
    return Lines(heading, x_axis, y_axis, tuple(series))


def _name(by: str, key: str, tables: Tables) -> str:
    return tables.model_title(key) if by == "model" else key


def _told(panel: Lines | Dots) -> str:
    if isinstance(panel, Dots):
        return ", ".join(f"{row.label} {row.value:.4g}" for row in panel.rows) + "."
    ends = [f"{s.label} {s.y[0]:.4g} at {s.x[0]:g} to {s.y[-1]:.4g} at {s.x[-1]:g}" for s in panel.series if len(s.y)]
    return "; ".join(ends) + "."
