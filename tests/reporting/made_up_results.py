"""A small but complete results folder by the files' contract, with made-up numbers.

It holds two experiments, one diverged run, one bench point that ran out of memory, a model that style.yaml does not
list, a choice at the grid's edge, and verdicts of all four kinds. Nothing in it was measured.
"""

# ruff: noqa: E501 - one row of a made-up table is one line, whatever its length

import subprocess
import sys
from pathlib import Path
from typing import Any

import made_up_analyses
import made_up_sweeps
import numpy as np
import pandas as pd

from seqscale.files import write_json, write_table
from seqscale.reporting.style import STYLE_FILE

TITLES = {
    "linear": "Linear", "mlp": "MLP", "attention": "Self-attention only", "transformer": "Transformer",
    "transformer_pp": "Transformer++", "lstm": "LSTM", "lti_ssm": "LTI SSM", "mamba": "Mamba", "my_mixer": "My <mixer> & co",
}  # fmt: skip
PARAMS = {
    "linear": 4_224, "mlp": 99_264, "attention": 100_608, "transformer": 99_968, "transformer_pp": 98_944,
    "lstm": 100_224, "lti_ssm": 96_960, "mamba": 101_184, "my_mixer": 131_072,
}  # fmt: skip
FINAL = {
    "linear": 2.55, "mlp": 2.54, "attention": 2.21, "transformer": 1.93, "transformer_pp": 1.86, "lstm": 1.97,
    "lti_ssm": 2.05, "mamba": 1.89, "my_mixer": 2.11,
}  # fmt: skip
ACCURACY = {"transformer": 0.61, "lstm": 0.34, "lti_ssm": 0.22, "mamba": 0.97}
SPEED = {"linear": 1.0, "mlp": 1.3, "attention": 2.1, "transformer": 2.0, "transformer_pp": 2.3, "lstm": 5.0,
         "lti_ssm": 2.6, "mamba": 3.4, "my_mixer": 2.8}  # fmt: skip
RATES = (0.001, 0.003, 0.01)
EXPERIMENTS = {"text": list(TITLES), "selective_copying": list(ACCURACY)}
BENCHED = ("attention", "transformer", "transformer_pp", "lstm", "lti_ssm", "mamba")
QUADRATIC = ("attention", "transformer", "transformer_pp")
HOSTILE = '<script>alert("x")</script> & "quotes" </td>'


def _history(rng: np.random.Generator, experiment: str, model: str, seed: int, diverged: bool) -> pd.DataFrame:
    final = FINAL[model] if experiment == "text" else 2.1 * (1 - ACCURACY[model]) + 0.02
    start = 4.64 if experiment == "text" else 2.3
    rows = []
    for step in range(0, 301, 10):
        loss = final + (start - final) * np.exp(-step / 55) + rng.normal(0, 0.012)
        if diverged and step >= 120:
            loss = final + 0.8 + (step - 110) / 12
        if diverged and step > 150:
            break
        tokens = step * 2048
        rows.append((experiment, model, seed, step, tokens, 6.0 * PARAMS[model] * tokens, step * 0.02 * SPEED[model], 1e-3,
                     loss + 0.03, loss if step % 30 == 0 and not (diverged and step > 120) else np.nan, 0.7))  # fmt: skip
    names = [
        "experiment",
        "model",
        "seed",
        "step",
        "tokens",
        "flops",
        "seconds",
        "learning_rate",
        "train_loss",
        "valid_loss",
        "grad_norm",
    ]
    return pd.DataFrame(rows, columns=names)


def _runs(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    runs, histories = [], []
    for experiment, models in EXPERIMENTS.items():
        for model in models:
            for seed in (1, 2, 3):
                diverged = (experiment, model, seed) == ("text", "lstm", 2)
                histories.append(_history(rng, experiment, model, seed, diverged))
                text = experiment == "text"
                loss = (FINAL[model] if text else 2.1 * (1 - ACCURACY[model]) + 0.02) + rng.normal(0, 0.012)
                ratio = PARAMS[model] / PARAMS["transformer"]
                runs.append({
                    "experiment": experiment, "protocol": "fair",
                    "dataset": "pydoc_topics" if text else "selective_copying_small", "model": model, "seed": seed,
                    "params": PARAMS[model] + 6_656, "params_nonembedding": PARAMS[model], "train_tokens": 614_400,
                    "train_flops": 6.0 * PARAMS[model] * 614_400, "train_seconds": 6.0 * SPEED[model],
                    "valid_loss": None if diverged else loss - 0.01, "test_loss": None if diverged else loss,
                    "test_accuracy": None if text or diverged else min(1.0, ACCURACY[model] + rng.normal(0, 0.01)),
                    "valid_accuracy": None, "perplexity": None if diverged else float(np.exp(loss)),
                    "bits_per_character": loss / np.log(2) if text and not diverged else None,
                    "lr": 0.01 if model == "mamba" else 0.003, "lr_at_edge": model == "mamba", "params_ratio": ratio,
                    "matched": abs(ratio - 1) <= 0.05, "steps": 300, "context": 128, "batch": 16, "status": "diverged" if diverged else "ok",
                    "reason": "loss is NaN at step 151" if diverged else "", "peak_memory_bytes": None, "device": "cpu",
                    "config_digest": f"{experiment}-{model}"[:12], "git_commit": "0123456789abcdef",
                })  # fmt: skip
    return pd.DataFrame(runs), pd.concat(histories, ignore_index=True)


def _search(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for experiment, models in EXPERIMENTS.items():
        for model in models:
            chosen = 0.01 if model == "mamba" else 0.003
            for lr in RATES:
                diverged = (experiment, model, lr) == ("text", "lstm", 0.01)
                loss = FINAL[model] + 0.5 + 0.12 * np.log10(lr / chosen) ** 2 + rng.normal(0, 0.004)
                rows.append(
                    (
                        experiment,
                        model,
                        lr,
                        0,
                        None if diverged else loss,
                        "diverged" if diverged else "ok",
                        lr == chosen,
                    )
                )
    return pd.DataFrame(rows, columns=["experiment", "model", "lr", "seed", "valid_loss", "status", "chosen"])


def _measure(suite: str, quantity: str, model: str, length: int, direction: str) -> float:
    quadratic = model in QUADRATIC
    if quantity == "state":
        return 2.0 * 2 * 64 * 4 * length if quadratic else 3.0 * 128 * 20 * 4
    if quantity == "peak_memory":
        return (3e6 + 900.0 * length + (16.0 * length**2 if quadratic else 0)) * (2.6 if "backward" in direction else 1)
    if quantity == "flops":
        return (2.0 * PARAMS[model] * length + (512.0 * length**2 if quadratic else 0)) * (
            3 if "backward" in direction else 1
        )
    if suite == "decode":
        return 3e-4 * SPEED[model] + (1.5e-7 * length if quadratic else 0)
    work = SPEED[model] * (2e-6 * length + (3e-9 * length**2 if quadratic else 0)) + 1e-4
    return work * ((3 if quadratic else 4) if suite == "train_step" else 1)


def _bench() -> tuple[pd.DataFrame, pd.DataFrame]:
    lengths = {"prefill": (128, 256, 512, 1024, 2048, 4096), "decode": (128, 512, 2048),
               "train_step": (64, 128, 256, 512), "memory": (128, 512, 2048), "flops": (128, 512, 2048)}  # fmt: skip
    plan = [("prefill", "time", "s", "forward"), ("prefill", "time_per_token", "s", "forward"),
            ("decode", "time_per_token", "s", "step"), ("train_step", "time", "s", "forward+backward"),
            ("memory", "peak_memory", "B", "forward"), ("memory", "peak_memory", "B", "forward+backward"),
            ("memory", "state", "B", "step"), ("flops", "flops", "FLOP", "forward"),
            ("flops", "flops", "FLOP", "forward+backward")]  # fmt: skip
    rows, fits = [], []
    for suite, quantity, unit, direction in plan:
        for model in BENCHED:
            points = []
            for length in lengths[suite]:
                oom = suite == "prefill" and model == "attention" and length == 4096
                value = _measure(
                    suite,
                    "time" if quantity == "time_per_token" and suite == "prefill" else quantity,
                    model,
                    length,
                    direction,
                )
                if suite == "prefill" and quantity == "time_per_token":
                    value /= length
                points += [] if oom else [(length, value)]
                rows.append((suite, model, "reference", "cpu", "float32", 1, length, 128, 16, direction, quantity, unit,
                             None if oom else value, None if oom else value * 0.96, None if oom else value * 1.05, 7, oom))  # fmt: skip
            x, y = np.log(np.array(points)).T
            slope = float(np.polyfit(x, y, 1)[0])
            fits.append(
                (suite, model, direction, quantity, slope, slope - 0.04, slope + 0.05, 128, 4096, len(points), 0.99)
            )
    bench = "suite model implementation device dtype batch length d_inner d_state direction quantity unit median p20 p80 repeats oom"
    scaling = "suite model direction quantity exponent ci_low ci_high length_min length_max points r2"
    return pd.DataFrame(rows, columns=bench.split()), pd.DataFrame(fits, columns=scaling.split())


def verdicts() -> pd.DataFrame:
    """Verdicts of all four kinds, one claim that only its own protocol supports, and one reason made to break pages."""
    names = [
        "claim",
        "protocol",
        "published",
        "measured",
        "ci_low",
        "ci_high",
        "unit",
        "verdict",
        "reason",
        "part",
        "source",
        "title",
        "data",
        "n",
        "evidence",
    ]
    text, wide = "Characters of the Python documentation", "Wider anchors"
    first, second = "000 · scalable-sequence-modeling", "001 · ssm-vs-transformer"
    rows: list[tuple[Any, ...]] = [
        ("000.order", "fair", "Mamba < Transformer < self-attention < linear", "Mamba < Transformer < self-attention < linear", None, None, "", "reproduced",
         "All adjacent differences exclude zero.", "", first, "Order of test losses", text, 3, "runs: experiment=text"),
        ("000.order", "published", "Mamba < Transformer < self-attention < linear", None, None, None, "", "not tested",
         "The as-published models are not built yet.", "", first, "Order of test losses", "", None, ""),
        ("000.loss", "published", "Mamba 1.8006, Transformer 1.8640", None, None, None, "", "reproduced",
         "Of 1 parts (all parts must hold), reproduced: mamba.", "", first, "Test loss on Tiny Shakespeare", text, None, ""),
        ("000.loss", "fair", "Mamba 1.8006, Transformer 1.8640", None, None, None, "", "not reproduced",
         "Of 2 parts (all parts must hold), not reproduced: mamba; inconclusive: transformer.", "", first, "Test loss on Tiny Shakespeare", text, None, ""),
        ("000.loss", "fair", "1.8006", "1.8894", "1.8612", "1.9176", "nats/token", "not reproduced",
         "The interval excludes the published figure.", "mamba", first, "Test loss on Tiny Shakespeare", text, 3, "runs: model=mamba"),
        ("000.loss", "published", "1.8006", "1.8019", "1.7902", "1.8136", "nats/token", "reproduced",
         "Within the tolerance of 0.02.", "mamba", first, "Test loss on Tiny Shakespeare", text, 3, "runs: model=mamba_published"),
        ("000.loss", "fair", "1.8640", "1.9301", "1.8403", "2.0199", "nats/token", "inconclusive",
         "The interval holds the published figure and its tolerance's edge.", "transformer", first, "Test loss on Tiny Shakespeare", text, 3, "runs: model=transformer"),
        ("000.ptb", "fair", "5.3223", None, None, None, "nats/token", "not tested", "PTB is not part of the quick start.", "transformer", first, "Word-level test loss, PTB", "", None, ""),
        ("001.scaling", "fair", "1", "0.94", "0.90", "0.99", "exponent", "reproduced", "Below 1.2 with its whole interval.", "mamba", second, "Time against length", "prefill", 6, "scaling: suite=prefill"),
        ("001.scaling", "fair", "2", "1.31", "1.27", "1.36", "exponent", "not reproduced", HOSTILE, "transformer", second, "Time against length", "prefill", 6, "scaling: suite=prefill"),
        ("001.speed", "fair", "1.8", "0.71", "0.66", "0.77", "times faster", "not reproduced", "Mamba is slower at every length measured.", "1024", second, "Forward speed-up over the Transformer", "prefill", 7, "bench"),
        ("wider.induction", "fair", "2^20 tokens", None, None, None, "", "not tested", "Needs a GPU.", "", wide, "Induction heads", "", None, ""),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def resolved_config() -> dict[str, Any]:
    """The JSON that the report gets as ``--config``."""
    return {
        "name": "synthetic",
        "config": {
            "name": "synthetic",
            "compute": {"device": "auto", "threads": 1, "precision": "auto"},
            "experiments": {
                "text": {"title": "Characters of the Python documentation", "models": list(TITLES), "dataset": "pydoc_topics",
                         "reference_model": "transformer", "context": 128, "batch": 16, "steps": 300, "seeds": [1, 2, 3]},
                "selective_copying": {"title": "Selective copying (Mamba paper, section 4.1.1), small",
                                      "models": list(ACCURACY), "reference_model": "transformer", "seeds": [1, 2, 3]},
                "never_run": {"title": "An experiment without a single run", "models": ["mamba"], "seeds": [1]},
            },
        },
        "runs": [{"experiment": e, "model": m, "seed": s} for e, models in EXPERIMENTS.items() for m in models for s in (1, 2, 3)]
        + [{"experiment": "never_run", "model": "mamba", "seed": 1}],
        "search": [], "bench": [{"suite": "prefill", "model": "mamba"}, {"suite": "prefill", "model": "never_benched"}],
        "provenance": {
            "git_commit": "0123456789abcdef0123456789abcdef01234567", "git_dirty": True, "python": "3.11.7",
            "platform": "Linux", "device": "cpu", "cpu": "made-up processor", "threads": 1, "config_digest": "ab12cd34",
            "packages": {"torch": "2.13.0", "numpy": "2.4.6"}, "time_utc": "2026-01-01T00:00:00Z",
            "data_sha256": {"pydoc_topics": "f" * 64},
        },
    }  # fmt: skip


def _examples() -> pd.DataFrame:
    rows = [
        ("text", model, seed, text, "positive", answer, answer == "positive", 0.51 + 0.07 * seed)
        for text in ("relaxing.. ", "they rock & <b>roll</b>")
        for model, answer in (("mamba", "positive"), ("lstm", "negative"))
        for seed in (1, 2)
    ]
    names = ["experiment", "model", "seed", "text", "truth", "answer", "correct", "confidence"]
    return pd.DataFrame(rows, columns=names)


def _accuracy() -> pd.DataFrame:
    rows = [
        ("text", model, seed, "test", length, 0.7 + 0.0011 * length, 0.69, 0.88)
        for model in ("mamba", "lstm")
        for seed in (None, 1)
        for length in (8, 16, 64)
    ]
    names = ["experiment", "model", "seed", "split", "length_max", "accuracy", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=names)


def _counterfactuals() -> pd.DataFrame:
    rows = [("text", model, "name", term, 0.125, 0.0625, 0.25) for model in ("mamba", "lstm") for term in (None, "Ann")]
    return pd.DataFrame(
        rows, columns=["experiment", "model", "attribute", "term", "flip_share", "flip_low", "flip_high"]
    )


def checkpoint(root: Path) -> None:
    """Two evaluated checkpoints, as src/checkpoint.py writes them."""
    root.mkdir(parents=True)
    for name, params, loss in (("mamba_small", 129_135_360, 2.875), ("pythia_small", 162_322_944, 3.125)):
        about = {
            "checkpoint": name,
            "path": f"weights/{name}",
            "mixer": name.split("_")[0],
            "d_model": 768,
            "n_layers": 24,
            "params": params,
            "params_nonembedding": params - 38_615_040,
            "device": "cpu",
            "git_commit": "0" * 40,
        }
        rows = [
            {
                **about,
                "task": "text",
                "dataset": "pydoc_topics",
                "length": length,
                "quantity": q,
                "value": value,
                "unit": unit,
                "count": 65_536,
            }
            for length in (128, 512)
            for q, value, unit in (
                ("loss", loss + 8 / length, "nats per token"),
                ("perplexity", float(np.exp(loss + 8 / length)), ""),
                ("bits_per_byte", loss / 3, "bits"),
                ("accuracy", 0.4375, "share"),
            )
        ]
        rows += [
            {
                **about,
                "task": "induction",
                "dataset": None,
                "length": 64,
                "quantity": "accuracy",
                "value": 0.953125,
                "unit": "share",
                "count": 1_984,
            }
        ]
        pd.DataFrame(rows).to_csv(root / f"{name}.csv", index=False)


def build(root: Path) -> Path:
    """Write ``tables/``, ``verdicts.csv``, ``verdicts.json`` and ``config.json`` below `root`; returns `root`."""
    rng = np.random.default_rng(7)
    runs, history = _runs(rng)
    bench, scaling = _bench()
    prompt = "The "
    samples = pd.DataFrame(
        [
            (
                "text",
                m,
                1,
                prompt,
                f"{prompt}statement of {m} is <em>evaluated</em> in order,\nthen the class body runs " * 2,
            )
            for m in TITLES
        ],
        columns=["experiment", "model", "seed", "prompt", "text"],
    )
    models = pd.DataFrame(
        [
            (
                m,
                t,
                "no mixing over time" if m in ("linear", "mlp") else "",
                "attention" if m in QUADRATIC else m,
                64,
                3,
                PARAMS[m] + 6_656,
                PARAMS[m],
            )
            for m, t in TITLES.items()
        ],
        columns=["model", "title", "note", "mixer", "d_model", "n_layers", "params", "params_nonembedding"],
    )
    for name, frame in {
        "examples": _examples(),
        "accuracy": _accuracy(),
        "counterfactuals": _counterfactuals(),
    }.items():
        write_table(root / "tables" / name, frame)
    for rule, job in (("train", "text/mamba/seed1"), ("bench", "prefill/mamba"), ("train", "of/another/configuration")):
        path = root / "jobs" / rule / f"{job}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("s\th:m:s\tmax_rss\tcpu_time\n12.5\t0:00:12\t512.25\t11.75\n", encoding="utf-8")
    write_json(root / "dag.json", {"edges": [["prepare", "train"], ["train", "tables"], ["bench", "tables"],
                                             ["tables", "report"], ["train", "report"]]})  # fmt: skip
    frames = {"runs": runs, "history": history, "search": _search(rng), "bench": bench, "scaling": scaling,
              "samples": samples, "models": models, "extrapolation": made_up_analyses.extrapolation(),
              "analyses": made_up_analyses.analyses(), **made_up_sweeps.frontier_tables()}  # fmt: skip
    for name, frame in frames.items():
        write_table(root / "tables" / name, frame)
    checkpoint(root / "checkpoints")
    verdicts().to_csv(root / "verdicts.csv", index=False)
    write_json(root / "verdicts.json", verdicts().astype(object).where(verdicts().notna(), None).to_dict("records"))
    write_json(root / "config.json", resolved_config())
    return root


def make_digest(root: Path, *arguments: str) -> None:
    """Run the digest stage on a results folder by its own command line."""
    script = STYLE_FILE.parents[1] / "src" / "digest.py"
    command = [sys.executable, str(script), "--tables", str(root / "tables"), "--verdicts", str(root / "verdicts.csv"),
               "--config", str(root / "config.json"), "--jobs", str(root / "jobs"),
               "--checkpoints", str(root / "checkpoints"), "--out", str(root / "tables"),
               *arguments]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
