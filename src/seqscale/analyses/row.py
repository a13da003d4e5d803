"""A row of the table `analyses`, in the form of a benchmark's."""

from typing import Any

import numpy as np

COLUMNS = (
    *("suite", "model", "implementation", "device", "dtype", "batch", "length", "d_inner", "d_state", "direction"),
    *("quantity", "unit", "median", "p20", "p80", "repeats", "oom", "experiment"),
)


def row(suite: str, model: str, quantity: str, values: np.ndarray, **more: Any) -> dict[str, Any]:
    """Median, 20th and 80th percentile of `values` (one per repetition: signals, channels), and what else is known."""
    p20, median, p80 = (float(v) for v in np.percentile(values, [20, 50, 80], method="nearest"))
    known = {"suite": suite, "model": model, "quantity": quantity, "median": median, "p20": p20, "p80": p80}
    return {**dict.fromkeys(COLUMNS), **known, "repeats": len(values), "oom": False, **more}
