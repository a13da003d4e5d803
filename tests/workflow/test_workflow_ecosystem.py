"""A mixer by the guide, a hybrid, a checkpoint and curves for TensorBoard, in one real run of the pipeline."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from pipeline_copy import Pipeline

from seqscale.data.corpora import pydoc_topics
from seqscale.data.tokenizers import CharacterTokenizer
from seqscale.hub import save_pretrained
from seqscale.hub.tokenizer import save_tokenizer
from seqscale.models import ModelSpec, build

pytestmark = pytest.mark.slow


def make_checkpoint(folder: Path) -> None:
    tokenizer = CharacterTokenizer.of(pydoc_topics().text)
    torch.manual_seed(0)
    save_pretrained(build(ModelSpec("m", "mamba", 8, 1, norm="rmsnorm"), len(tokenizer), 32), folder)
    save_tokenizer(tokenizer, folder)


def test_everything_at_once(pipeline: Pipeline, root: Path) -> None:
    folder = pipeline.folder
    shutil.copy(root / "docs/examples/gla.py", folder / "src/seqscale/mixers/gla.py")
    make_checkpoint(folder / "given")
    models = {
        "gla": {"title": "Gated linear attention", "mixer": "gla", "d_model": 16, "n_layers": 1, "norm": "rmsnorm"},
        "hybrid": {"d_model": 16, "n_layers": 2},
    }
    experiment = {"dataset": "pydoc_topics", "models": ["gla", "hybrid"], "context": 16, "batch": 4, "steps": 6,
                  "seeds": [1], "learning_rate": 0.01}  # fmt: skip
    suites = {"flops": {"batch": 1, "lengths": [16]}, "decode": {"batch": 1, "lengths": [8], "tokens": 2}}
    bench = {"models": ["gla", "hybrid"], "repeats": 1, "min_seconds": 0.001, "suites": suites}
    checkpoints = {"given_one": {"path": "given", "contexts": [128], "recall": [16]}}
    asked = {"experiments": {"text": experiment}, "benchmarks": bench, "datasets": None, "analyses": None}
    config = pipeline.write_config(
        "ecosystem", models=models, tracking=["tensorboard"], checkpoints=checkpoints, **asked
    )
    done = pipeline.run(config=config)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]

    runs = pd.read_csv(folder / "results/tables/runs.csv")
    assert set(runs["model"]) == {"gla", "hybrid"}
    assert (runs["status"] == "ok").all()
    measured = pd.read_csv(folder / "results/tables/bench.csv")
    assert {(row.suite, row.model) for row in measured.itertuples()} >= {("flops", "gla"), ("decode", "hybrid")}
    page = (folder / "results/report.html").read_text()
    assert "Gated linear attention" in page
    assert "Hybrid" in page
    found = pd.read_csv(folder / "results/checkpoints/given_one.csv")
    assert set(found["task"]) == {"text", "induction", "associative_recall"}
    assert list((folder / "results/tracking/text/gla/seed1").glob("events.out.tfevents.*"))

    # an edit of the mixer's file reruns its runs; curves switched off train nothing again; new weights, a new table
    file = folder / "src/seqscale/mixers/gla.py"
    file.write_text(file.read_text().replace("F.logsigmoid(self.gate(x))",
                                             "F.logsigmoid(1.0 * self.gate(x))"))  # fmt: skip
    jobs = pipeline.jobs(config=config)
    assert (jobs["train"], jobs["evaluate"], jobs["bench"]) == (1, 1, 2)
    assert "checkpoint" not in jobs
    values = yaml.safe_load((folder / config).read_text())
    (folder / config).write_text(yaml.safe_dump({**values, "tracking": []}))
    assert pipeline.jobs(config=config)["train"] == 1
