"""A corpus and a run so small that training to the end takes a moment."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seqscale.data import prepare

MODELS = yaml.safe_load((Path(__file__).parents[2] / "config" / "models.yaml").read_text())
RUN = {
    "experiment": "tiny",
    "title": "Tiny",
    "protocol": "fair",
    "dataset": "tiny",
    "reference_model": "transformer",
    "seed": 1,
    "context": 12,
    "batch": 4,
    "steps": 20,
    "eval_every": 6,
    "log_every": 2,
    "checkpoint_every": 4,
    "sample": None,
    "search": None,
    "optimizer": {
        "learning_rate": 0.01,
        "weight_decay": 0.1,
        "betas": [0.9, 0.95],
        "warmup_fraction": 0.1,
        "final_fraction": 0.1,
        "clip": 1.0,
    },
    "device": "cpu",
    "threads": 1,
    "precision": "float32",
}
TEXT = "".join(f"{i} times the quick brown fox jumps over {i % 7} lazy dogs.\n" for i in range(60))


@pytest.fixture(autouse=True)
def _restore_global_settings() -> Iterator[None]:
    """`train` asks for deterministic algorithms and a number of threads for the whole process."""
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.set_num_threads(before[1])


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "tiny.txt").write_text(TEXT)
    spec = {"kind": "text", "path": str(folder / "tiny.txt"), "tokenizer": "characters", "split": [0.8, 0.1, 0.1]}
    prepare("tiny", spec, folder / "tiny", None, context=12)
    return folder / "tiny"


@pytest.fixture
def make_run() -> Callable[..., dict[str, Any]]:
    """A resolved run config; keywords replace single keys, `optimizer` single settings, `spec` keys of the model."""

    def make(model: str = "mamba", spec: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        run = copy.deepcopy(RUN)
        run["model"] = {"name": model, **MODELS[model], "d_model": 8, "n_layers": 1, **(spec or {})}
        run["optimizer"] |= changes.pop("optimizer", {})
        return {**run, **changes}

    return make
