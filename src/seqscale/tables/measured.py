"""Files of measurements (benchmarks, analyses), read into one table. What is wrong with one is told, not raised."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pandas as pd

from seqscale.tables.columns import COLUMNS, MISSING, as_table, with_types
from seqscale.tables.runs import Reader, Rows


class Key(Protocol):
    """What names a file of a results folder."""

    def file(self, results: Path) -> Path: ...


AnyKey = TypeVar("AnyKey", bound=Key)


def collect_measured(
    name: str,
    keys: Iterable[AnyKey],
    results: Path,
    reader: Reader,
    absent: Callable[[AnyKey, Path], dict[str, Any]],
    wrong: Callable[[pd.DataFrame, AnyKey], str | None],
    judge: Callable[[pd.DataFrame], None],
) -> pd.DataFrame:
    """All files of a table, one after the other; absent ones as a row with status "missing" where that is allowed.

    Args:
        name: of the table in `COLUMNS`. Its files lack the last two columns, status and reason: they are there or not.
        absent: what is known of a file that is not there, and the reason.
        wrong: what makes a file unfit, in words; None if nothing.
        judge: sets the status of each row, in place.
    """
    columns = list(COLUMNS[name])
    parts: list[pd.DataFrame] = []
    missing: Rows = []
    for key in keys:
        path = key.file(results)
        if reader.absent(path):
            missing.append({**absent(key, path), "status": MISSING})
            continue
        table = reader.csv(path, columns[:-2])
        if table is None:
            continue
        try:
            table = with_types(name, table)
        except (ValueError, TypeError) as error:
            reader.problems.append(f"{path}: a column of numbers holds something else ({error}).")
            continue
        if (words := wrong(table, key)) is not None:
            reader.problems.append(f"{path}: {words}")
            continue
        judge(table)
        parts.append(table[columns])
    parts = [part for part in [*parts, as_table(name, missing)] if len(part)]
    return with_types(name, pd.concat(parts, ignore_index=True)) if parts else as_table(name, [])


def misplaced(table: pd.DataFrame, column: str, expected: str, told_by: str) -> str | None:
    """The first row whose `column` is not what the file's place or name says, in words. Line 1 is the header."""
    other = table.index[table[column].fillna("") != expected]
    if not len(other):
        return None
    return f"line {other[0] + 2}: {column} is {table[column][other[0]]!r}, not {expected!r} as {told_by}."
