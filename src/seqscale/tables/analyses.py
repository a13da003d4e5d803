"""Files of the analyses -> one table.

A number that is not finite (a kernel that overflowed) is no number of a table: its row stays, with an empty median, the
status "overflow" and a reason.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from seqscale.tables.columns import COLUMNS, MISSING, OK, as_table, with_types
from seqscale.tables.matrix import Matrix
from seqscale.tables.runs import Reader, Rows

OVERFLOW = "overflow"
FILE_COLUMNS = list(COLUMNS["analyses"])[:-2]  # a file has no status and reason: it is there or it is not


def collect_analyses(results: Path, matrix: Matrix, reader: Reader) -> pd.DataFrame:
    """All files of the analyses; an absent one as a row with status "missing" where that is allowed."""
    parts: list[pd.DataFrame] = []
    missing: Rows = []
    for key in matrix.analyses:
        path = key.file(results)
        if reader.absent(path):
            missing.append(
                {"suite": key.name, "status": MISSING, "reason": f"{path.name} of the analysis is not there"}
            )
            continue
        table = reader.csv(path, FILE_COLUMNS)
        if table is None:
            continue
        try:
            table = with_types("analyses", table)
        except (ValueError, TypeError) as error:
            reader.problems.append(f"{path}: a column of numbers holds something else ({error}).")
            continue
        other = table.index[table["suite"].fillna("") != key.name]
        if len(other):
            reader.problems.append(
                f"{path}: line {other[0] + 2}: suite is {table['suite'][other[0]]!r}, not {key.name!r} as the file is."
            )
            continue
        finite = np.isfinite(table["median"].to_numpy(float))
        table.loc[~finite, ["median", "p20", "p80"]] = np.nan
        table["status"] = pd.Series(np.where(finite, OK, OVERFLOW), index=table.index, dtype="string")
        table.loc[~finite, "reason"] = "the result was not finite"
        parts.append(table[list(COLUMNS["analyses"])])
    parts = [part for part in [*parts, as_table("analyses", missing)] if len(part)]
    return with_types("analyses", pd.concat(parts, ignore_index=True)) if parts else as_table("analyses", [])
