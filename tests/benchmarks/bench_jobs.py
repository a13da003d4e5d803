"""Small benchmark jobs, made from the models of config/models.yaml."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

ROOT = Path(__file__).parents[2]
MODELS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "config" / "models.yaml").read_text(encoding="utf-8"))

on_gpu = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")]
)
DEVICES = ["cpu", on_gpu]


def job(suite: str, model: str = "transformer", **changes: Any) -> dict[str, Any]:
    """A config as the command line takes it, small enough for a test; `changes` may name settings too."""
    settings: dict[str, Any] = {"batch": 2, "lengths": [8, 24]}
    if suite == "decode":
        settings["tokens"] = 3
    settings |= {key: changes.pop(key) for key in ("batch", "lengths", "tokens") if key in changes}
    return {
        "suite": suite,
        "model": {"name": model, **MODELS[model]},
        "settings": settings,
        "repeats": 3,
        "min_seconds": 0.0,
        "device": "cpu",
        "threads": 1,
        "precision": "auto",
        "vocab_size": 37,
        **changes,
    }
