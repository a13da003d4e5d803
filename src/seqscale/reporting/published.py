"""Curves that a source printed, as a table, so that figures can draw them on ours: claim, name, model, unit, x, y.

In config/claims.yaml a claim's `published` has such curves where it has `lengths` and beside them lists that are as
long. A name that ends in _s is in seconds; any other has no unit. The model says whose colour a curve takes.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

COLUMNS = ["claim", "name", "model", "unit", "x", "y"]
MODELS = {"ssm": "lti_ssm"}  # names of the sources that are not ours


def published_table(content: Mapping[str, Any]) -> pd.DataFrame:
    """Every printed curve of the claims file `content`, one row per point."""
    rows = []
    for entry in content.get("claims") or []:
        printed = entry.get("published")
        lengths = printed.get("lengths") if isinstance(printed, Mapping) else None
        if not isinstance(lengths, list):
            continue
        for key, values in printed.items():
            if key == "lengths" or not isinstance(values, list) or len(values) != len(lengths):
                continue
            name, unit = (key.removesuffix("_s"), "s") if key.endswith("_s") else (key, "")
            rows += [
                (entry["id"], name, MODELS.get(name, name), unit, x, y) for x, y in zip(lengths, values, strict=True)
            ]
    return pd.DataFrame(rows, columns=COLUMNS)
