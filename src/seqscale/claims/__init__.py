"""From tables and config/claims.yaml to verdicts (no torch, no models). The rooms, in the order of the work:

    load       claims.yaml -> claims and their trials, or an error that names file, line and the nearest spelling
    check      what a schema cannot say about one trial; the signature of every measure
    select     which rows of which table a trial is about, and whether they can be trusted
    measures   the registry: what is computed from these rows, with an interval (seeds: runs, curves: benchmarks)
    predicate  interval against region -> reproduced, not reproduced, inconclusive
    engine     all of it -> results/verdicts.csv and verdicts.json

The grammar of claims.yaml is explained at its head.
"""

from seqscale.claims.engine import COLUMNS, judge, read_tables, write_verdicts
from seqscale.claims.load import Claims, ClaimsError, load_claims

__all__ = ["COLUMNS", "Claims", "ClaimsError", "judge", "load_claims", "read_tables", "write_verdicts"]
