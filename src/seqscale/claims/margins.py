"""How far from the line a number must lie before it decides anything: margins of practical relevance.

They stand in the claims file (`margins`), explained there, so that a verdict never hangs on a third decimal. A margin
of a time, a memory or an error is a share of the line; that of an exponent or of a column of the runs is in its unit.
"""

from collections.abc import Mapping
from typing import Any

from seqscale.claims.predicate import Region
from seqscale.tables.columns import COLUMNS

EXPONENT = "exponent"
CURVES = ("time", "mean_time", "time_per_token", "peak_memory", "error")  # quantities; as a share of the line
SHARES = ("ratio", "value_at", "ratio_at", "order_at", "growth")  # measures whose margin is a share of the line
NUMBERS = {
    c
    for t in ("runs", "history", "accuracy", "examples")
    for c, kind in COLUMNS[t].items()
    if kind in ("float64", "Int64")
}
KNOWN = (EXPONENT, *CURVES, *sorted(NUMBERS))


def margin_of(test: Mapping[str, Any], region: Region, margins: Mapping[str, float]) -> float:
    """The margin of a test, in the unit of its number: its own (`margin`), else that of what it measures, else 0."""
    if "margin" in test:
        return float(test["margin"])
    measure = test.get("measure", "")
    if measure == EXPONENT:
        return float(margins.get(EXPONENT, 0.0))
    if measure in SHARES:
        name = test.get("column") or test.get("select", {}).get("quantity")
        return float(margins.get(str(name), 0.0)) * region.line
    return float(margins.get(str(test.get("column")), 0.0)) * abs(float(test.get("scale", 1.0)))
