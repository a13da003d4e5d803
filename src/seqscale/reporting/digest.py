"""What the report says in numbers, as tables of its own: the page shows nothing that is not in a table.

DIGESTS names them. They are made from the other tables, the verdicts and the configuration, all of which may be
partial.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from seqscale.files import write_table
from seqscale.reporting import claims, origins
from seqscale.reporting.cards import card_table
from seqscale.reporting.checkpoints import checkpoint_table
from seqscale.reporting.comparing import FIELDS
from seqscale.reporting.contests import contests
from seqscale.reporting.crossovers import crossovers
from seqscale.reporting.names import DIGESTS
from seqscale.reporting.published import COLUMNS
from seqscale.reporting.scale import scale_table
from seqscale.reporting.source import Tables
from seqscale.reporting.summaries import CURVES, SUMMARY, curves, summary


def digest(
    tables: Tables, verdicts: pd.DataFrame, config: Mapping[str, Any], *, default: Mapping[str, Any] | None = None,
    claim_table: pd.DataFrame | None = None, source_table: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None, margins: pd.DataFrame | None = None,
    checkpoints: Path | None = None, jobs: Path | None = None,
    data: Path | None = None, unread: Sequence[str] = (),
) -> dict[str, pd.DataFrame]:  # fmt: skip
    """Every table of DIGESTS. `unread`: words about files that were there and could not be used."""

    def stacked(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
        full = [part for part in parts if len(part)]
        return pd.concat(full, ignore_index=True) if full else pd.DataFrame(columns=columns)

    return {
        "summary": stacked([summary(tables, e) for e in tables.experiments], SUMMARY),
        "curves": stacked([curves(tables, e) for e in tables.experiments], CURVES),
        "contests": contests(tables),
        "crossovers": crossovers(tables, config),
        "cards": card_table(tables, config),
        "verdicts": verdicts,
        "verdict_counts": claims.count_table(verdicts),
        "claims": pd.DataFrame(columns=claims.CLAIMS) if claim_table is None else claim_table,
        "sources": pd.DataFrame(columns=claims.SOURCES) if source_table is None else source_table,
        "published": pd.DataFrame(columns=COLUMNS) if published is None else published,
        "margins": pd.DataFrame(columns=claims.MARGINS) if margins is None else margins,
        "scale": scale_table(tables),
        "checkpoints": checkpoint_table(checkpoints),
        "comparison": pd.DataFrame(columns=FIELDS),
        "settings": origins.settings(config, default),
        "provenance": origins.provenance(tables, config, data),
        "jobs": origins.jobs(jobs, config),
        "missing": origins.missing(tables, config, list(unread)),
    }


def write_digest(folder: str | Path, made: Mapping[str, pd.DataFrame]) -> None:
    """Write each table as FOLDER/NAME.csv and FOLDER/NAME.parquet."""
    for name in DIGESTS:
        write_table(Path(folder) / name, made[name])
