"""What the suites of a benchmark table measure, and whom they measure: told from the rows, whatever a suite is called.

A suite's kind is what it measures (prefill, decode, ...); a configuration may have several of one kind under names of
their own (`prefill_130m`, `decode_batch16`). The table has no column for it, but every kind leaves rows that no other
leaves. Models are taken by what they mix with, from the configuration or the table of models, and by their names only
where both are silent (a folder of committed tables).
"""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from seqscale.reporting.source import Tables

KINDS = ("prefill", "train_step", "decode", "memory", "flops")
SCAN = "selective_scan"  # what a suite of kind "kernels" has in place of models
MARKS = {  # (quantity, direction) that only this kind leaves; kernels have times, too, but no model
    ("time", "forward"): "prefill",
    ("time_per_token", "forward"): "prefill",
    ("time", "forward+backward"): "train_step",
    ("time_per_token", "step"): "decode",
    ("peak_memory", "forward"): "memory",
    ("peak_memory", "forward+backward"): "memory",
    ("state", "step"): "memory",
    ("flops", "forward"): "flops",
    ("flops", "forward+backward"): "flops",
    ("mean_time", "forward"): "as_published",
}
MAMBAS = {"mamba", "mamba2"}
ATTENTION = {"attention"}


def kinds(bench: pd.DataFrame) -> dict[str, str]:
    """The kind of every suite of a benchmark table; a suite that leaves no telling row is not in it."""
    found: dict[str, str] = {}
    for suite, rows in bench[bench["suite"].notna()].groupby("suite", sort=False):
        if (rows["model"] == SCAN).any():
            found[str(suite)] = "kernels"
            continue
        seen = set(zip(rows["quantity"], rows["direction"], strict=True))
        told = next((kind for mark, kind in MARKS.items() if mark in seen), None)
        if told:
            found[str(suite)] = told
    return found


def suites_of(kind: str, bench: pd.DataFrame) -> list[str]:
    """The suites of one kind: the one with the kind's own name first, the others by name."""
    return sorted((s for s, k in kinds(bench).items() if k == kind), key=lambda s: (s != kind, s))


def filled(rows: pd.DataFrame) -> bool:
    """Whether the batch shrinks as the length grows, so that rows of several batches are one curve (calls of so many
    tokens). `rows` of one suite; a call holds over half of what the fullest holds, or is one sequence and longer."""
    if rows["batch"].nunique() < 2 or rows.groupby("length")["batch"].nunique().max() > 1:
        return False
    held = rows["batch"] * rows["length"]
    return bool((held > held[rows["batch"] > 1].max() / 2).all())


def _described(model: str, config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    models = ((config or {}).get("config") or {}).get("models") or {}
    return models.get(model) or {}


def mixers(model: str, tables: Tables, config: Mapping[str, Any] | None = None) -> set[str]:
    """Every mixer of a model's layers: by the configuration, else by the table of models, else by its name."""
    told = _described(model, config)
    if told.get("mixer"):
        blocks = told.get("blocks") or [{}]
        return {str(block.get("mixer") or told["mixer"]) for block in blocks}
    listed = tables.models.loc[tables.models["model"] == model, "mixer"].dropna()
    if len(listed) and not model.startswith("hybrid"):  # the table names a hybrid's first mixer
        return {str(m) for m in listed}
    first = model.split("_")[0]
    return {"attention"} if first in ("attention", "transformer") else {first}


def size(model: str, tables: Tables, config: Mapping[str, Any] | None = None) -> str:
    """A model's size as people say it: the 130M of `mamba_130m`, else its width; nothing where that is not known."""
    named = re.search(r"_(\d+(?:\.\d+)?[mb])(?:_|$)", model)
    if named:
        return named.group(1).upper()
    width = _described(model, config).get("d_model")
    for table in ("models", "cards"):
        if width is None:
            frame = tables.table(table, "model", "d_model")
            listed = frame.loc[frame["model"] == model, "d_model"].dropna().unique()
            width = listed[0] if len(listed) == 1 else None
    return "" if width is None else f"d_model {float(width):g}"


def opponents(models: list[str], tables: Tables, config: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
    """Who is held against whom in a suite: each model of Mamba's kind against each of attention alone, of one size.

    Hybrids are neither. Two sizes of which one is not known count as one.
    """
    mambas = [m for m in models if mixers(m, tables, config) <= MAMBAS]
    others = [m for m in models if mixers(m, tables, config) <= ATTENTION]
    sizes = {m: size(m, tables, config) for m in (*mambas, *others)}
    return [(a, b) for a in mambas for b in others if sizes[a] == sizes[b] or not (sizes[a] and sizes[b])]
