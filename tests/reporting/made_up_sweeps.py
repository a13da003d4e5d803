"""Made-up sweeps, and one model at several widths whose best losses follow a known power law."""

import pandas as pd

from seqscale.tables.columns import as_table
from seqscale.tables.frontier import frontiers

EXPONENTS = {"transformer": -0.05, "mamba": -0.07}


def run_rows() -> list[dict[str, object]]:
    rows = []
    base = {"dataset": "tiny_shakespeare", "status": "ok", "params_nonembedding": 1000, "train_tokens": 1000}
    for seed in (1, 2, 3):
        for heads, loss in ((2, 2.25), (4, 2.24), (8, 2.26)):
            for prefix, model in (("published_000_", "published_000_attention"), ("", "attention")):
                own = {"experiment": f"{prefix}sweep_attention", "model": f"{model}_{heads}"}
                rows.append({**base, **own, "seed": seed, "test_loss": loss + 0.01 * seed - 0.1 * (not prefix)})
        for context in (32, 64):
            own = {"experiment": f"published_000_sweep_linear_{context}", "model": "published_000_linear"}
            rows.append({**base, **own, "seed": seed, "test_loss": 2.5 + 0.001 * seed})
        for family in EXPONENTS:
            for width in (32, 64, 128):
                own = {"experiment": "frontier", "model": f"{family}_w{width}"}
                rows.append({**base, **own, "seed": seed, "test_loss": 2.0})
    return rows


def history_rows() -> list[dict[str, object]]:
    """Each width is best at one budget, where the loss is 60 FLOPs^exponent, and worse everywhere else."""
    rows = []
    for family, exponent in EXPONENTS.items():
        for width in (32, 64, 128):
            best = 1e12 * (width / 32) ** 2
            for step, flops in enumerate((best / 2, best), start=1):
                loss = 60 * flops**exponent + (0.3 if step == 1 else 0.0)
                for seed in (1, 2, 3):
                    key = {"experiment": "frontier", "model": f"{family}_w{width}", "seed": seed}
                    rows.append({**key, "step": step, "flops": flops, "valid_loss": loss + 0.001 * (seed - 2)})
    return rows


def frontier_tables() -> dict[str, pd.DataFrame]:
    """The two tables of the frontier."""
    points, fits = frontiers(as_table("runs", run_rows()), as_table("history", history_rows()))
    return {"frontier": points, "frontier_fits": fits}
