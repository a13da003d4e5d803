"""Evaluations of published checkpoints: one table from results/checkpoints, and its section of the page."""

from pathlib import Path
from typing import Any

import pandas as pd

from seqscale.files import read_table
from seqscale.reporting.html import MISSING, Cell, data, esc, fixed, length, share, si, table
from seqscale.reporting.source import Tables, records

TABLE = "checkpoints"
COLUMNS = ["checkpoint", "path", "mixer", "d_model", "n_layers", "params", "params_nonembedding", "task", "dataset",
           "length", "quantity", "value", "unit", "count", "device", "git_commit"]  # fmt: skip
TEXTS = "checkpoint mixer task dataset quantity unit device"
NUMBERS = "params d_model n_layers length value count"
TASKS = {"text": "Text", "induction": "Induction, without training", "associative_recall": "Associative recall, "
         "without training"}  # fmt: skip
SHOWN = {"loss": "Loss (nats per token)", "perplexity": "Perplexity", "bits_per_byte": "Bits per byte",
         "accuracy": "Accuracy"}  # fmt: skip


def checkpoint_table(folder: Path | None) -> pd.DataFrame:
    """All rows of the tables in `folder`, one after the other; none where there is no such folder."""
    files = sorted(folder.glob("*.csv")) if folder else []
    found = [frame for file in files if len(frame := read_table(file))]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)


def section(tables: Tables) -> str:
    """Every checkpoint beside the others, a table per task and text; nothing where none was evaluated."""
    frame = tables.table(TABLE, TEXTS, NUMBERS)
    frame = frame[frame["value"].notna()]
    if frame.empty:
        return ""
    html = [
        '<h2 id="checkpoints">Published checkpoints</h2><p>Weights that others trained, evaluated by the measure of '
        "all models here: a text’s test split whole, in windows that each start afresh; recall on sequences made of "
        "the checkpoint’s own tokens. Bits per byte can be compared between tokenizers, losses and perplexities "
        "cannot. One evaluation of one set of weights has no seeds and so no interval over them.</p>"
    ]
    for (task, dataset), part in frame.groupby(["task", "dataset"], sort=False, dropna=False):
        title = esc(TASKS.get(str(task), task)) + (f": {esc(dataset)}" if dataset == dataset and dataset else "")
        quantities = [q for q in SHOWN if (part["quantity"] == q).any()]
        rows = [
            _row(records(one), quantities)
            for _, one in part.groupby(["checkpoint", "length"], sort=False, dropna=False)
        ]
        header = ["Checkpoint", "Parameters", "Context", *(SHOWN[q] for q in quantities), "Tokens or answers"]
        html.append(f"<h3>{title}</h3>" + table(f"{title}, by checkpoint and context", header, rows, "stack"))
    return "".join(html)


def _row(rows: list[dict[str, Any]], quantities: list[str]) -> list[Cell | str]:
    first = rows[0]
    value = {r["quantity"]: float(r["value"]) for r in rows}
    shown = {q: (share(v) if q == "accuracy" else fixed(v)) for q, v in value.items()}
    layers = [(first[k], words) for k, words in (("n_layers", "layers"), ("d_model", "wide")) if first[k] == first[k]]
    about = ", ".join([esc(first["mixer"]), *(f"{data(v, f'{v:.0f}')} {words}" for v, words in layers)])
    return [
        f'<span class="model">{esc(first["checkpoint"])}</span><span class="what">{about}</span>',
        Cell(si(first["params"], ""), "num"),
        Cell(length(first["length"]), "num"),
        *(Cell(shown.get(q, MISSING), "num") for q in quantities),
        Cell(length(first["count"]), "num"),
    ]
