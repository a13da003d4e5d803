"""From the files of single runs and benchmarks to tidy tables, one row per measurement (no torch).

columns   the columns of every table and their types: the interface to verdicts, figures and report
matrix    what should be there: the list of runs, searches and benchmarks of the configuration
runs      summary.json, metrics.json, history.csv, best.json  ->  runs, history, search, samples, models
labels    metrics.json of classifiers  ->  accuracy, confusion, examples, counterfactuals
measured  CSV files of measurements, read with what is wrong with them
bench     those of benchmarks  ->  bench, scaling (fitted exponents)
analyses  those of analyses  ->  analyses
collect   all of it, written to a folder
"""

from seqscale.tables.collect import collect, write_tables
from seqscale.tables.columns import COLUMNS, TABLES
from seqscale.tables.matrix import Matrix, TablesError, load_matrix

__all__ = ["COLUMNS", "TABLES", "Matrix", "TablesError", "collect", "load_matrix", "write_tables"]
