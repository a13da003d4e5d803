"""Files of the analyses -> one table.

A number that is not finite (a kernel that overflowed) is no number of a table: its row stays, with an empty median, the
status "overflow" and a reason.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from seqscale.tables.columns import OK
from seqscale.tables.matrix import Matrix
from seqscale.tables.measured import collect_measured, misplaced
from seqscale.tables.runs import Reader

OVERFLOW = "overflow"


def collect_analyses(results: Path, matrix: Matrix, reader: Reader) -> pd.DataFrame:
    """All files of the analyses; an absent one as a row with status "missing" where that is allowed."""
    return collect_measured(
        "analyses", matrix.analyses, results, reader,
        absent=lambda key, path: {"suite": key.name, "reason": f"{path.name} of the analysis is not there"},
        wrong=lambda table, key: misplaced(table, "suite", key.name, "the file is"),
        judge=_judge,
    )  # fmt: skip


def _judge(table: pd.DataFrame) -> None:
    finite = np.isfinite(table["median"].to_numpy(float))
    table.loc[~finite, ["median", "p20", "p80"]] = np.nan
    table["status"] = pd.Series(np.where(finite, OK, OVERFLOW), index=table.index, dtype="string")
    table.loc[~finite, "reason"] = "the result was not finite"
