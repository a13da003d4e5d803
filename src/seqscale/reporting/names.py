"""Names of the tables that the digest stage adds to results/tables (no heavy imports; Snakemake reads it)."""

DIGESTS = (
    "summary", "curves", "contests", "crossovers", "cards", "verdicts", "verdict_counts", "claims", "sources",
    "published", "margins", "scale", "checkpoints", "comparison", "settings", "provenance", "jobs", "missing",
)  # fmt: skip
