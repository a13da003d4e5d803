"""Of a fair run the weights with the lowest validation loss are reported, whatever interrupts it."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from finished_runs import same, weights

from seqscale.data import open_dataset
from seqscale.models import ModelSpec, build
from seqscale.training import evaluate_split, train
from seqscale.training.checkpoint import Best, Position, load_checkpoint, save_checkpoint
from seqscale.training.loop import _Run
from seqscale.training.optimizer import OptimizerSettings

MakeRun = Callable[..., dict[str, Any]]


class Interrupted(BaseException):
    """What stops a run in these tests; nothing in the library may catch it."""


@pytest.fixture(autouse=True)
def _a_rate_that_ruins_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine sensible steps, then such that undo them: the run is best long before its end."""
    monkeypatch.setattr(OptimizerSettings, "rate", lambda self, step, steps: 0.03 if step < 9 else 2.0)


def ruined(make_run: MakeRun) -> dict[str, Any]:
    return make_run("mamba", steps=18, eval_every=3, checkpoint_every=3)


def losses(folder: Path) -> dict[int, float]:
    with open(folder / "history.csv", newline="") as handle:
        return {int(r["step"]): float(r["valid_loss"]) for r in csv.DictReader(handle) if r["valid_loss"]}


def test_the_best_weights_are_reported(make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    run, data = ruined(make_run), open_dataset(data_folder)
    seen: dict[int, dict[str, torch.Tensor]] = {}
    original = _Run._evaluate

    def remember(self: _Run, done: int) -> float:
        seen[done] = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        return original(self, done)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Run, "_evaluate", remember)
        summary = train(run, data_folder, tmp_path / "work", tmp_path / "out")
    found = losses(tmp_path / "out")
    best = min(found, key=lambda step: found[step])
    assert best < max(found) == 18, "the run must get worse for this test to say anything"
    assert best > 3, "and better before"
    assert (summary["chosen_step"], summary["steps_done"]) == (best, 18)
    assert summary["valid_loss"] == found[best] < found[18]
    saved = weights(tmp_path / "out")
    assert all(torch.equal(saved[name], seen[best][name]) for name in saved)
    assert not all(torch.equal(saved[name], seen[18][name]) for name in saved)
    model = build(ModelSpec.from_dict(run["model"]), data.vocab_size, run["context"])
    model.load_state_dict(saved)
    again = evaluate_split(model, data, "valid", run["context"], torch.device("cpu"), "float32")
    assert again["loss"] == pytest.approx(summary["valid_loss"], rel=1e-6)


@pytest.mark.parametrize("stop", [7, 10, 16])
def test_resumed_after_the_best(stop: int, make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    run = ruined(make_run)
    train(run, data_folder, tmp_path / "work", tmp_path / "out")
    original = _Run._step

    def stopped(self: _Run, index: int) -> tuple[float, float]:
        if index == stop:
            raise Interrupted
        return original(self, index)

    there = (run, data_folder, tmp_path / "work2", tmp_path / "out2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Run, "_step", stopped)
        with pytest.raises(Interrupted):
            train(*there)
    train(*there)
    assert same(tmp_path / "out", tmp_path / "out2")
    shutil.rmtree(tmp_path / "out2")  # every step is done, only the results are gone
    train(*there)
    assert same(tmp_path / "out", tmp_path / "out2")


def test_as_published_the_last_weights_are_reported(make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    summary = train({**ruined(make_run), "protocol": "published"}, data_folder, tmp_path / "work", tmp_path / "out")
    assert (summary["chosen_step"], summary["valid_loss"]) == (18, None)


def test_a_checkpoint_holds_the_best(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    best = Best.of(model, 5, 1.25)
    with torch.no_grad():
        model.weight.zero_()
    save_checkpoint(tmp_path / "c.safetensors", model, optimizer, Position(9, 2.0, best), "this run")
    found = load_checkpoint(tmp_path / "c.safetensors", model, optimizer, "this run")
    assert found is not None and found.best is not None
    assert (found.step, found.best.step, found.best.loss) == (9, 5, 1.25)
    assert torch.equal(found.best.weights["weight"], best.weights["weight"])
    assert not torch.equal(found.best.weights["weight"], model.weight)
