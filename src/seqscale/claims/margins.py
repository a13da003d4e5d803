"""How far from the line a number must lie before it decides anything: margins of practical relevance.

They stand in the claims file (`margins`), explained there, so that a verdict never hangs on a third decimal. A margin
of a time, a memory or an error is a share of the line; that of an exponent or of a column of the runs is in its unit.
A ratio of two columns has not the unit of the column, so its test has to name a margin of its own.
"""

from collections.abc import Mapping
from typing import Any

from seqscale.claims.predicate import Region
from seqscale.tables.columns import COLUMNS

EXPONENT = "exponent"
CURVES = ("time", "mean_time", "time_per_token", "peak_memory", "error")  # quantities; as a share of the line
SHARES = ("value_at", "ratio_at", "order_at", "growth")  # measures whose margin is a share of the line
RATIO = "ratio"  # of a column, which has a unit that the ratio lacks
NUMBERS = {
    c
    for t in ("runs", "history", "accuracy", "examples")
    for c, kind in COLUMNS[t].items()
    if kind in ("float64", "Int64")
}
KNOWN = (EXPONENT, *CURVES, *sorted(NUMBERS))


def margin_of(test: Mapping[str, Any], region: Region, margins: Mapping[str, float]) -> float:
    """The margin of a test, in the unit of its number: its own (`margin`), else that of what it measures, else 0.

    Raises ValueError where the margin of what it measures is in a unit that the test's number has not.
    """
    if "margin" in test:
        return float(test["margin"])
    measure = test.get("measure", "")
    if measure == EXPONENT:
        return float(margins.get(EXPONENT, 0.0))
    if measure in SHARES:
        return float(margins.get(str(test.get("select", {}).get("quantity")), 0.0)) * region.line
    if measure == RATIO:
        if column := next((c for c in str(test.get("column")).split("*") if margins.get(c.strip())), ""):
            raise ValueError(
                f"the margin of {column.strip()} is in its unit, and a ratio of it has none: give this test a `margin` "
                "of its own (0: none)"
            )
        return 0.0
    return float(margins.get(str(test.get("column")), 0.0)) * abs(float(test.get("scale", 1.0)))
