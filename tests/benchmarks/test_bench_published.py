"""The clock of source 001: training mode, a mean of forwards, nothing before the clock starts."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seqscale.benchmarks import BenchConfig, run_suite
from seqscale.models import PublishedModel

ROOT = Path(__file__).parents[2]
LISTED = yaml.safe_load((ROOT / "config" / "published_models.yaml").read_text(encoding="utf-8"))
TIMED = [name for name in LISTED if name.split("_")[1] in ("001", "003", "004")]


def job(name: str, suite: str = "as_published", **settings: Any) -> dict[str, Any]:
    return {
        "suite": suite,
        "model": {"name": name, **LISTED[name], "d_model": 16},
        "settings": {"batch": 1, "lengths": [4, 8], "forwards": 2, **settings},
        "repeats": 3,
        "device": "cpu",
        "precision": "float32",
        "vocab_size": 37,
    }


@pytest.mark.parametrize("name", TIMED)
def test_every_timed_model_has_a_curve(name: str) -> None:
    table, _ = run_suite(BenchConfig.from_dict(job(name)))
    assert list(table.length) == [4, 8]
    assert set(table.quantity) == {"mean_time"}
    assert set(table.repeats) == {3}
    assert (table["median"] > 0).all()


def test_calls_are_counted_cold_and_in_training_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, bool, bool]] = []
    original = PublishedModel.__call__

    def watched(self: PublishedModel, tokens: torch.Tensor) -> Any:
        seen.append((tokens.shape[1], self.training, torch.is_grad_enabled()))
        return original(self, tokens)

    monkeypatch.setattr(PublishedModel, "__call__", watched)
    run_suite(BenchConfig.from_dict(job("published_001_transformer")))
    assert seen == [(length, True, False) for length in (4, 8) for _ in range(3 * 2)]


def test_other_suites_refuse_models_as_published() -> None:
    values = job("published_001_ssm", "prefill")
    del values["settings"]["forwards"]
    with pytest.raises(ValueError, match=r"published_001_ssm is kept as published.*as_published"):
        run_suite(BenchConfig.from_dict(values))
