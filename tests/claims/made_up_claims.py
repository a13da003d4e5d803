"""Rows of tables with known numbers, and the places of the files under test."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow" / "schemas" / "claims.schema.yaml"
CLAIMS = ROOT / "config" / "claims.yaml"


def run_row(experiment: str, model: str, seed: int, loss: float | None, **more: Any) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "protocol": "fair",
        "dataset": "pydoc_topics",
        "model": model,
        "seed": seed,
        "params": 1000,
        "params_nonembedding": 900,
        "train_tokens": 10_000,
        "test_loss": loss,
        "status": "ok",
        "params_ratio": 1.0,
        "matched": True,
        "reference_model": "transformer",
        **more,
    }


def curve_rows(suite: str, model: str, values: dict[int, float | None], **more: Any) -> list[dict[str, Any]]:
    """Benchmark rows, one per length; None where memory ran out. Spread of 2 % around each median."""
    base = {
        "suite": suite,
        "model": model,
        "implementation": "eager",
        "device": "cpu",
        "dtype": "float32",
        "batch": 1,
        "direction": "forward",
        "quantity": "time",
        "unit": "s",
        "repeats": 7,
        "status": "ok",
    }
    return [
        {**base, "length": n, "median": v, "p20": v and v * 0.98, "p80": v and v * 1.02, "oom": v is None, **more}
        for n, v in values.items()
    ]
