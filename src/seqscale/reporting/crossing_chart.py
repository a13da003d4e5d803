"""The figure of the crossovers: for every pair and size the length from which Mamba is cheaper, and its interval.

The pale strip behind a row is the range of lengths measured. A pair that does not cross within it has no point, and
its label says what was found instead.
"""

import math
from typing import Any

import pandas as pd

from seqscale.reporting.chart import Axis, Chart, Dot, Dots, nothing
from seqscale.reporting.crossovers import ALWAYS, CROSSES, CUT, LOSES, NEVER, answers
from seqscale.reporting.source import Tables, records

PANELS = {  # kind, quantity: heading; the other costs are in the table
    ("prefill", "time"): "Prefill",
    ("train_step", "time"): "Training step",
    ("decode", "time_per_token"): "Decoding",
}
SAID = {
    ALWAYS: "at every length",
    NEVER: "at none",
    CUT: "at none, out of memory",
    LOSES: "only below",
}
TEXTS = "suite kind size quantity device subject model status words"
NUMBERS = "batch length ci_low ci_high length_min length_max"


def crossings(tables: Tables, title: str) -> Chart:
    """One panel for each cost and device, one row for each pair, smallest models first."""
    frame = tables.table("crossovers", TEXTS, NUMBERS)
    frame["kind"] = frame["kind"].fillna(frame["suite"])
    frame["cost"] = [PANELS.get(key) for key in zip(frame["kind"], frame["quantity"].fillna("time"), strict=True)]
    frame = frame[frame["cost"].notna()]
    if frame.empty:
        return nothing(title, "the bench table holds no length at which Mamba and an attention model can be compared.")
    frame = pd.DataFrame(answers(frame))
    panels, told = [], [f"{title}: the length from which Mamba is cheaper."]
    several = frame["device"].nunique() > 1
    for (cost, device), part in frame.groupby(["cost", "device"], sort=False, dropna=False):
        part = part.assign(_size=part["size"].map(_magnitude)).sort_values("_size", kind="stable")
        sizes = part["size"].nunique() > 1
        rows = tuple(_dot(r, tables, sizes) for r in records(part))
        heading = f"{cost}, {device}" if several else str(cost)
        panels.append(Dots(heading, Axis("tokens", log=True), rows))
        told.append(f"{heading}: " + "; ".join(f"{_name(r, tables, sizes)} {r['words']}" for r in records(part)) + ".")
    data = frame.drop(columns="cost").dropna(axis="columns", how="all")
    return Chart(title, tuple(panels), data, " ".join(told))


def _magnitude(size: str | None) -> float:
    """The order of sizes: widths first, then 130M, 370M, 1.3B."""
    text = str(size or "")
    digits = "".join(c for c in text if c.isdigit() or c == ".")
    value = float(digits) if digits else 0.0
    return value * {"M": 1e6, "B": 1e9}.get(text[-1:], 1.0)


def _name(row: dict[str, Any], tables: Tables, sizes: bool) -> str:
    size = row["size"] or ""
    first, second = (
        tables.model_title(str(row[k])).replace(f", {size} shape", "") if size else tables.model_title(str(row[k]))
        for k in ("subject", "model")
    )
    extra = str(row["suite"]).removeprefix(str(row["kind"])).strip("_").replace("_", " ")
    extra = "" if extra.upper() == size else extra
    return ", ".join(w for w in (f"{first} / {second}", size if sizes else "", extra) if w)


def _dot(row: dict[str, Any], tables: Tables, sizes: bool) -> Dot:
    name, status = _name(row, tables, sizes), str(row["status"])
    region = (row["length_min"], row["length_max"]) if math.isfinite(row["length_min"]) else None
    said = SAID.get(status, "" if status == CROSSES else status)
    low, high = row["ci_low"], row["ci_high"]
    if status in (CROSSES, LOSES) and region:  # an end beyond what was measured is drawn to the edge
        low, high = (edge if end != end else end for end, edge in zip((low, high), region, strict=True))
    elif region and (low == low or high == high):  # what a rerun may find although this run did not
        low, high = (low, region[1]) if status != ALWAYS else (region[0], high)
    label = f"{name}: {said}" if said else name
    return Dot(label, str(row["subject"]), row["length"], low, high, region=region)


BUILD = {"crossovers": crossings}
