"""A made-up results folder with known numbers."""

import json
from pathlib import Path
from typing import Any

import pytest

LOSS = {"mamba": 1.8, "transformer": 1.9}
SIZE = {"mamba": 102_000, "transformer": 100_000}
BENCH_HEADER = (
    "suite,model,implementation,device,dtype,batch,length,d_inner,d_state,direction,quantity,unit,median,p20,p80,"
    "repeats,oom\n"
)


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def write_run(folder: Path, experiment: str, model: str, seed: int, lr: float, loss: float | None, status: str) -> None:
    """A run folder as train and evaluate leave it; `loss` None where the run failed."""
    reason = "" if status == "ok" else "loss was NaN at step 7"
    config = {
        "experiment": experiment,
        "title": "Some text",
        "protocol": "fair",
        "dataset": "pydoc_topics",
        "model": {"name": model, "title": model.title(), "mixer": model, "d_model": 64, "n_layers": 2},
        "reference_model": "transformer",
        "seed": seed,
        "context": 128,
        "batch": 16,
        "steps": 300,
        "optimizer": {"learning_rate": lr},
    }
    summary = {
        "config": config,
        "status": status,
        "reason": reason,
        "steps_done": 300 if loss else 7,
        "params": SIZE[model] + 5000,
        "params_nonembedding": SIZE[model],
        "train_tokens": 614_400,
        "train_flops": 3.5e11,
        "train_seconds": 12.5,
        "peak_memory_bytes": None,
        "valid_loss": loss,
        "provenance": {"device": "cpu", "config_digest": "abc", "git_commit": "f00"},
    }
    split = None if loss is None else {"loss": loss, "perplexity": 6.0, "bits_per_character": 2.6, "accuracy": None}
    metrics = {"status": status, "reason": reason, "valid": split, "test": split, "sample": None, "provenance": {}}
    if loss is not None:
        metrics["sample"] = {"prompt": "The ", "text": 'The "end",\nof it'}
    write(folder / "summary.json", summary)
    write(folder / "metrics.json", metrics)
    rows = "1,2048,1e9,0.1,0.001,4.5,,1.0\n2,4096,2e9,0.2,0.001,4.4,4.45,1.0\n"
    write(folder / "history.csv", "step,tokens,flops,seconds,learning_rate,train_loss,valid_loss,grad_norm\n" + rows)


def bench_line(suite: str, model: str, length: int, median: float | None) -> str:
    values = ",,,0,True" if median is None else f"{median},{median * 0.9},{median * 1.1},7,False"
    return f"{suite},{model},eager,cpu,float32,1,{length},128,16,forward,time,s,{values}\n"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """results/ with 2 models x 2 seeds, a search each, one benchmark file each; matrix.json beside them."""
    root = tmp_path / "results"
    matrix: dict[str, list[dict[str, Any]]] = {"runs": [], "search": [], "bench": []}
    for model, loss in LOSS.items():
        for seed in (1, 2):
            write_run(root / "runs" / "text" / model / f"seed{seed}", "text", model, seed, 0.003, loss + seed, "ok")
            matrix["runs"].append({"experiment": "text", "model": model, "seed": seed})
        for lr in ("0.001", "0.003"):
            folder = root / "search" / "text" / model / f"lr{lr}"
            write_run(folder, "text", model, 0, float(lr), loss, "ok")
            matrix["search"].append({"experiment": "text", "model": model, "lr": lr})
        best = {"learning_rate": 0.003, "at_edge": model == "mamba", "valid_loss": loss, "tried": []}
        write(root / "search" / "text" / model / "best.json", best)
        power = 1 if model == "mamba" else 2
        lines = [bench_line("prefill", model, length, 1e-6 * length**power) for length in (128, 256, 512, 1024)]
        lines.append(bench_line("prefill", model, 2048, None))
        write(root / "bench" / "prefill" / f"{model}.csv", BENCH_HEADER + "".join(lines))
        matrix["bench"].append({"suite": "prefill", "model": model})
    write(root / "matrix.json", matrix)
    return root
