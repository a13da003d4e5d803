"""Experiments that train nothing: one file each, from a few settings to rows of the table `analyses`.

hippo_memory     how well a HiPPO state of a given size recalls a long signal
nplr_kernel      time and error of S4's kernel against dense ways to compute it
scipy_response   channels of trained models as SciPy's systems: the same impulse response

Each module has `rows(config, runs, data)`, an iterator of rows (`row.COLUMNS`):

    config   settings (its part of `analyses:` in config.yaml), device and threads
    runs     folders of trained runs, for an analysis of what was trained
    data     the prepared data that they were trained on
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

NAMES = ("hippo_memory", "nplr_kernel", "scipy_response")
Rows = Callable[[dict[str, Any], Sequence[Path], str | None], Iterator[dict[str, Any]]]


def get(name: str) -> Rows:
    """The analysis called `name`; imported by name, so that one analysis's code is no concern of another's results.

    Raises:
        ValueError: there is none.
    """
    if name not in NAMES:
        raise ValueError(f"unknown analysis {name!r}; choose from {', '.join(NAMES)}")
    rows: Rows = importlib.import_module(f"{__name__}.{name}").rows
    return rows
