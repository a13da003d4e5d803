"""All result files of a run matrix -> all tables -> a folder."""

from pathlib import Path

import pandas as pd

from seqscale.files import write_table
from seqscale.tables.analyses import collect_analyses
from seqscale.tables.bench import collect_bench, scaling
from seqscale.tables.columns import TABLES, as_table, with_types
from seqscale.tables.frontier import frontiers
from seqscale.tables.matrix import Matrix, TablesError
from seqscale.tables.runs import Reader, collect_extrapolation, collect_runs, collect_search


def collect(results: str | Path, matrix: Matrix, *, allow_missing: bool = False) -> dict[str, pd.DataFrame]:
    """Every table of `columns.TABLES`, from the files below the folder `results`.

    Raises TablesError, naming all broken files at once, and all absent ones unless `allow_missing`; with it an absent
    run or benchmark becomes a row with status "missing".
    """
    results = Path(results)
    reader = Reader(allow_missing)
    runs, histories, samples, models, labels = collect_runs(results, matrix, reader)
    search = collect_search(results, matrix, reader)
    lengths = collect_extrapolation(results, matrix, reader)
    bench = collect_bench(results, matrix, reader)
    analyses = collect_analyses(results, matrix, reader)
    if reader.problems:
        raise TablesError(list(dict.fromkeys(reader.problems)))
    empty = as_table("history", [])
    pieces = [piece for piece in histories if len(piece)]
    history = with_types("history", pd.concat(pieces, ignore_index=True)) if pieces else empty
    history = history[list(empty)]
    points, fits = frontiers(as_table("runs", runs), history)
    return {
        "runs": as_table("runs", runs),
        "history": history,
        "search": as_table("search", search),
        "bench": bench,
        "analyses": analyses,
        "scaling": scaling(bench),
        "extrapolation": as_table("extrapolation", lengths),
        "frontier": points,
        "frontier_fits": fits,
        "samples": as_table("samples", samples),
        "models": as_table("models", models),
        **{name: as_table(name, rows) for name, rows in labels.items()},
    }


def write_tables(folder: str | Path, tables: dict[str, pd.DataFrame]) -> None:
    """Write each table as FOLDER/NAME.csv and FOLDER/NAME.parquet, each in one stroke."""
    for name in TABLES:
        write_table(Path(folder) / name, tables[name])
