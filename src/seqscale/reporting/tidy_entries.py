"""The entries of report/figures.yaml: figures that need no code. What they say is drawn by tidy.

Imports nothing heavy, so that Snakemake can read the list of figures while it parses its rules.
"""

from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parents[3] / "report" / "figures.yaml"
KEYS = {
    "name": "file name without suffix", "title": "heading", "category": "heading above it", "caption": "words below it",
    "table": "of results/tables", "x": "column", "y": "column", "series": "column that tells lines apart (model)",
    "panel": "column that tells panels apart", "low": "column", "high": "column", "spread": "what low and high are",
    "where": "column: value or values",
    "log": "list of x and y", "lengths": "x is a sequence length", "share": "y is a share, shown in per cent",
    "x_label": "words", "y_label": "words", "x_unit": "s, B, FLOP", "y_unit": "s, B, FLOP",
    "published": "column with what a source printed, drawn hollow",
    "kind": "lines (default) or dots: one row per series, y its value",
}  # fmt: skip
NEEDED = ("name", "title", "category", "caption", "table", "y")


def load_entries(path: Path = FILE) -> list[dict[str, Any]]:
    """The entries of report/figures.yaml; ValueError names the entry and the key that is wrong."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    for number, entry in enumerate(entries, 1):
        who = f"{path.name}, entry {number} ({entry.get('name', 'without a name')})"
        if unknown := set(entry) - set(KEYS):
            raise ValueError(f"{who}: unknown key {sorted(unknown)[0]!r}. Keys are: {', '.join(KEYS)}.")
        if lacking := [key for key in NEEDED if key not in entry]:
            raise ValueError(f"{who}: lacks {', '.join(lacking)}.")
        if entry.get("kind", "lines") == "lines" and "x" not in entry:
            raise ValueError(f"{who}: lacks x (or say kind: dots).")
    return list(entries)
