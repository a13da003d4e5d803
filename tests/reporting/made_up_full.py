"""A results folder as large as the full configuration's: its own matrix, with made-up numbers in every table.

Nothing in it was measured. Models have loss and cost by a formula of their name, so that curves differ.
"""

# ruff: noqa: E501 - one row of a made-up table is one line, whatever its length

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from seqscale.claims import judge, load_claims, write_verdicts
from seqscale.config import Matrix, resolve
from seqscale.files import write_json, write_table
from seqscale.tables.columns import TABLES, as_table, with_types

ROOT = Path(__file__).resolve().parents[2]
FULL = ROOT / "config" / "full.yaml"
EVALUATIONS = 20
SEEDS = 3  # of its five: from five on, intervals are bootstrapped, which takes most of the time and no more bytes
PLANS = {"prefill": ("time", "forward", "s"), "train_step": ("time", "forward+backward", "s"),
         "decode": ("time_per_token", "step", "s"), "memory": ("peak_memory", "forward", "B"),
         "flops": ("flops", "forward", ""), "as_published": ("mean_time", "forward", "s")}  # fmt: skip


def _of(name: str) -> float:
    """A number between 0 and 1 that belongs to a name."""
    return zlib.crc32(name.encode()) % 1000 / 1000


def matrix() -> Matrix:
    """The full configuration's jobs."""
    return Matrix(resolve(yaml.safe_load(FULL.read_text(encoding="utf-8")), [FULL], ROOT))


def _runs(plan: Matrix) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    runs, history, models = [], [], {}
    for experiment, model, seed in plan.runs():
        if seed > SEEDS:
            continue
        about = plan.experiments[experiment]
        end = 1.5 + _of(experiment) + 0.5 * _of(model) + 0.01 * seed
        params = 100_000 + int(10_000 * _of(model))
        base = {"experiment": experiment, "model": model, "seed": seed}
        task = "copying" in experiment or "induction" in experiment or "sentiment" in experiment
        runs.append({
            **base, "protocol": about["protocol"], "dataset": about["dataset"], "params": params + 5000,
            "params_nonembedding": params, "train_tokens": 10_000_000, "train_flops": 6.0 * params * 1e7,
            "train_seconds": 60.0 + 100 * _of(model), "valid_loss": end - 0.01, "test_loss": end,
            "test_accuracy": 0.5 + 0.4 * _of(model) if task else None, "bits_per_character": None if task else end / 0.693,
            "lr": 0.003, "steps": 1000, "status": "ok", "device": "cuda", "context": 256, "batch": 64,
            "title": model, "experiment_title": experiment, "reference_model": "transformer", "params_ratio": 1.0, "matched": True,
        })  # fmt: skip
        steps = np.linspace(50, 1000, EVALUATIONS).round().astype(int)
        history += [
            {**base, "step": int(s), "tokens": int(s) * 10_000, "flops": 6.0 * params * s * 1e4, "seconds": s / 10.0,
             "train_loss": end + 2 * np.exp(-s / 200), "valid_loss": end + 2.1 * np.exp(-s / 200)}
            for s in steps
        ]  # fmt: skip
        models.setdefault((experiment, model), {"experiment": experiment, "model": model, "title": model, "mixer": model,
                                                "d_model": 64, "n_layers": 4, "params": params + 5000,
                                                "params_nonembedding": params})  # fmt: skip
    return runs, history, list(models.values())


def _bench(plan: Matrix) -> list[dict[str, Any]]:
    rows = []
    suites = plan.config.values["benchmarks"]["suites"]
    for suite, model in plan.benches():
        lengths = [n for n in suites[suite].get("lengths") or [] if isinstance(n, int)]
        kind = suites[suite].get("kind") or suite
        if kind not in PLANS or not lengths:
            continue
        quantity, direction, unit = PLANS[kind]
        square = "transformer" in model or "attention" in model
        base = {"suite": suite, "model": model, "implementation": "triton", "device": "cuda", "dtype": "bfloat16", "batch": 1,
                "repeats": 9, "status": "ok", "oom": False}  # fmt: skip
        for n in lengths:
            value = 1e-6 * (1 + _of(model)) * (n + (n * n / 1000 if square else 0)) + 1e-5
            noise = 1 + 0.02 * np.sin(n)
            rows.append({**base, "direction": direction, "quantity": quantity, "unit": unit, "length": n,
                         "median": value * noise, "p20": value * 0.97, "p80": value * 1.03})  # fmt: skip
            if kind == "memory":
                rows.append({**base, "direction": "step", "quantity": "state", "unit": "B", "length": n,
                             "median": 4096.0 * (n if square else 1)})  # fmt: skip
    return rows


def build(root: Path) -> Path:
    """Write ``tables/``, ``verdicts.csv`` and ``config.json`` below `root`; returns `root`."""
    plan = matrix()
    runs, history, models = _runs(plan)
    samples = [{"experiment": r["experiment"], "model": r["model"], "seed": 1, "prompt": "The ", "text": "The words " * 20}
               for r in runs if r["seed"] == 1 and "text" in str(r["dataset"])]  # fmt: skip
    given = {"runs": runs, "history": history, "models": models, "bench": _bench(plan), "samples": samples}
    tables = {name: with_types(name, pd.DataFrame(given[name])) if given.get(name) else as_table(name, [])
              for name in TABLES}  # fmt: skip
    for name, frame in tables.items():
        write_table(root / "tables" / name, frame)
    claims = load_claims(ROOT / "config" / "claims.yaml", ROOT / "workflow" / "schemas" / "claims.schema.yaml")
    write_verdicts(root, judge(claims, tables), claims)
    write_json(root / "config.json", {**plan.summary(), "provenance": {"cpu": "made-up processor", "device": "cuda"}})
    return root
