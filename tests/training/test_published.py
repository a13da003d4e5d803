"""Source 000 as published: every run of config/published_000.yaml, made small, trains, resumes and is estimated."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from finished_runs import same

from seqscale.config import Matrix, resolve
from seqscale.data import open_dataset
from seqscale.data.published_batches import draw, estimate_batches
from seqscale.files import read_json
from seqscale.models import ModelSpec, PublishedModel, build_as_published
from seqscale.training import train
from seqscale.training.loop import _Run
from seqscale.training.optimizer import OptimizerSettings, make_optimizer

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "config" / "published_000.yaml"


def small(changes: dict[str, Any] | None = None) -> Matrix:
    """The configuration with a tiny corpus, width, batch and number of steps; which models it runs stays as it is."""
    values = yaml.safe_load(FILE.read_text())
    values["compute"] = {"device": "cpu"}
    for experiment in values["experiments"].values():
        cut = {"batch": 2, "steps": 3, "context": max(4, experiment["context"] // 16), "test_batches": 2}
        experiment |= {**cut, "dataset": "pydoc_topics", "seeds": [1], **(changes or {})}
    names = {name for x in values["experiments"].values() for name in x["models"]}
    values["models"] = {name: {"d_model": 16} for name in names}
    return Matrix(resolve(values, [FILE], ROOT))


MATRIX = small()


def test_the_set_is_seventeen_sweep_points_the_main_table_and_the_word_level() -> None:
    values = yaml.safe_load(FILE.read_text())["experiments"]
    sweeps = {name: len(x["models"]) for name, x in values.items() if "_sweep_" in name}
    assert sum(sweeps.values()) == 17
    assert len(values["published_000_tiny_shakespeare"]["models"]) == 5
    assert values["published_000_tiny_shakespeare"]["seeds"] == [1, 2, 3, 4, 5]
    assert {x["dataset"] for x in values.values()} == {"tiny_shakespeare", "wikitext2_published", "ptb"}
    assert all(x["protocol"] == "published" and x["test_batches"] == 20 for x in values.values())


@pytest.mark.parametrize(("experiment", "model", "seed"), MATRIX.runs(), ids=lambda v: str(v))
def test_every_run_of_the_set_trains(experiment: str, model: str, seed: int, data_folder: Path, tmp_path: Path) -> None:
    run = MATRIX.run_config(experiment, model, seed)
    summary = train(run, data_folder, tmp_path / "work", tmp_path / "out")
    assert (summary["status"], summary["steps_done"]) == ("ok", 3)
    assert summary["valid_loss"] is None, "no source looked at a validation split"
    factor = {"linear": 2, "mlp": 2, "attention": 6, "transformer": 6, "mamba": 4}[model.split("_")[2]]
    assert summary["published_flops"] == factor * summary["params"] * summary["train_tokens"]
    assert summary["train_flops"] > 0
    with open(tmp_path / "out" / "history.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["learning_rate"] for row in rows} == {str(run["optimizer"]["learning_rate"])}, "a constant rate"
    assert {row["valid_loss"] for row in rows} == {""}


def test_a_stopped_run_ends_where_an_unstopped_one_ends(data_folder: Path, tmp_path: Path) -> None:
    run = {**small({"steps": 6}).run_config("published_000_tiny_shakespeare", "published_000_mamba", 1)}
    run["checkpoint_every"] = 2
    train(run, data_folder, tmp_path / "a", tmp_path / "whole")
    original = _Run._step

    def stop(self: _Run, index: int) -> tuple[float, float]:
        if index == 5:
            raise KeyboardInterrupt
        return original(self, index)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(_Run, "_step", stop)
        train(run, data_folder, tmp_path / "b", tmp_path / "halves")
    train(run, data_folder, tmp_path / "b", tmp_path / "halves")
    assert same(tmp_path / "whole", tmp_path / "halves")


def test_evaluation_is_an_estimate_on_random_test_batches(data_folder: Path, tmp_path: Path) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("evaluate_script", ROOT / "src" / "evaluate.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    run = MATRIX.run_config("published_000_tiny_shakespeare", "published_000_linear", 1)
    train(run, data_folder, tmp_path / "work", tmp_path / "out")
    found = script.evaluate(tmp_path / "out", str(data_folder), None, 0)
    assert found["valid"] is None
    assert found["test"]["tokens"] == 2 * 2 * run["context"]
    model = build_as_published(ModelSpec.from_dict(run["model"]), open_dataset(data_folder).vocab_size, run["context"])
    weights = script.load_tensors(tmp_path / "out" / "model.safetensors")[0]
    model.load_state_dict(weights)
    losses = []
    for batch in estimate_batches(open_dataset(data_folder), run):
        logits = model(torch.from_numpy(batch.inputs.copy()))
        target = torch.from_numpy(batch.targets.copy())
        losses.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten()).item())
    assert found["test"]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert read_json(tmp_path / "out" / "summary.json")["status"] == "ok"


# --- batches ----------------------------------------------------------------------------------------------------------


def _text(data_folder: Path, split: str) -> np.ndarray:
    return np.asarray(open_dataset(data_folder).tokens(split))


@pytest.mark.parametrize("how", ["random", "rows"])
def test_batches_are_windows_of_the_text_and_a_function_of_seed_and_step(how: str, data_folder: Path) -> None:
    data = open_dataset(data_folder)
    run = {"batches": how, "seed": 3, "batch": 4, "context": 12}
    text = _text(data_folder, "train").tobytes()
    for step in range(5):
        batch = draw(data, run, step)
        assert batch.inputs.shape == batch.targets.shape == (4, 12)
        assert np.array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        for row, last in zip(batch.inputs, batch.targets[:, -1], strict=True):
            assert np.array([*row, last], dtype=np.uint16).tobytes() in text
        assert np.array_equal(draw(data, run, step).inputs, batch.inputs)
    assert not np.array_equal(draw(data, {**run, "seed": 4}, 0).inputs, draw(data, run, 0).inputs)


def test_rows_of_an_epoch_come_once_and_their_first_tokens_are_never_asked_for(data_folder: Path) -> None:
    data = open_dataset(data_folder)
    text = _text(data_folder, "train")
    rows = len(text) // 13
    steps = rows // 4
    run = {"batches": "rows", "seed": 1, "batch": 4, "context": 12}
    targets = np.concatenate([draw(data, run, step).targets for step in range(steps)])
    cut = text[: rows * 13].reshape(rows, 13)[:, 1:].astype(np.int64)
    seen = sorted(map(tuple, targets.tolist()))
    assert len(seen) == steps * 4
    assert set(seen) <= set(map(tuple, cut.tolist()))
    second = np.concatenate([draw(data, run, steps + step).targets for step in range(steps)])
    assert not np.array_equal(targets, second), "an epoch has its own order"


def test_test_batches_come_from_the_test_split_and_not_from_the_training_stream(data_folder: Path) -> None:
    data = open_dataset(data_folder)
    run = {"test_batches": 3, "seed": 1, "batch": 2, "context": 12, "batches": "random"}
    text = _text(data_folder, "test").tobytes()
    batches = list(estimate_batches(data, run))
    assert len(batches) == 3
    for batch in batches:
        for row in batch.inputs:
            assert row.astype(np.uint16).tobytes() in text


# --- the optimizer ----------------------------------------------------------------------------------------------------


def test_the_published_optimizer_is_pytorchs_own() -> None:
    """Bit for bit what `torch.optim.AdamW(model.parameters(), lr)` does, which decays biases and norms, too."""
    run = MATRIX.run_config("published_000_tiny_shakespeare", "published_000_transformer", 1)
    settings = OptimizerSettings.from_dict(run["optimizer"])
    x = torch.randint(65, (2, 8), generator=torch.Generator().manual_seed(0))
    weights = []
    for own in (True, False):
        torch.manual_seed(0)
        model = build_as_published(ModelSpec.from_dict(run["model"]), 65, 8)
        assert isinstance(model, PublishedModel)
        optimizer = make_optimizer(model, settings) if own else torch.optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x).flatten(0, 1), x.flatten()).backward()
            optimizer.step()
        weights.append(torch.nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-7)
    assert [settings.rate(step, 1000) for step in (0, 1, 500, 999)] == [1e-3] * 4
    assert settings.clip is None
