"""Tables of whatever is there: absent files are rows with status "missing", broken ones are left out and named.

For a report after a run that failed. A whole run goes through `collect`, which refuses broken files.
"""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd

from seqscale.tables.collect import collect
from seqscale.tables.matrix import Matrix, TablesError

KINDS = ("runs", "search", "bench")


def salvage(results: str | Path, matrix: Matrix) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Every table, as `collect` gives them, and words about each file that is there and could not be used.

    Jobs with a broken file are taken out of the matrix one by one, until the rest can be read.
    """
    results = Path(results)
    try:
        return collect(results, matrix, allow_missing=True), []
    except TablesError:
        pass
    told: list[str] = []
    for kind in KINDS:
        good = []
        for key in getattr(matrix, kind):
            only: dict[str, Any] = {**dict.fromkeys(KINDS, ()), kind: (key,)}
            alone = dataclasses.replace(matrix, **only)
            try:
                collect(results, alone, allow_missing=True)
                good.append(key)
            except TablesError as error:
                told += error.problems
        kept: dict[str, Any] = {kind: tuple(good)}
        matrix = dataclasses.replace(matrix, **kept)
    return collect(results, matrix, allow_missing=True), list(dict.fromkeys(told))
