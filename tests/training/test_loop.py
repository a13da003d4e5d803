"""Training as a pure function of its config, and what it says when it fails."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from finished_runs import same, weights

from seqscale.data import open_dataset, prepare
from seqscale.files import read_json
from seqscale.models import ModelSpec, build
from seqscale.training import evaluate_split, train
from seqscale.training.loop import _Run

MODELS = yaml.safe_load((Path(__file__).parents[2] / "config" / "models.yaml").read_text())
MakeRun = Callable[..., dict[str, Any]]


class Interrupted(BaseException):
    """What stops a run in these tests; nothing in the library may catch it."""


def interrupted(step: int, *arguments: Any) -> None:
    """Begin to train and be stopped before step `step` (from 0)."""
    original = _Run._step

    def stop(self: _Run, index: int) -> tuple[float, float]:
        if index == step:
            raise Interrupted
        return original(self, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Run, "_step", stop)
        with pytest.raises(Interrupted):
            train(*arguments)


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_loss_goes_down(model: str, make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    run = make_run(model, spec={"d_model": 16}, steps=60, eval_every=30)
    summary = train(run, data_folder, tmp_path / "work", tmp_path / "out")
    assert (summary["status"], summary["reason"], summary["steps_done"]) == ("ok", "", 60)
    with open(tmp_path / "out" / "history.csv", newline="") as handle:
        history = list(csv.DictReader(handle))
    first, last = float(history[0]["train_loss"]), float(history[-1]["train_loss"])
    vocab = open_dataset(data_folder).vocab_size
    assert first == pytest.approx(math.log(vocab), abs=0.3)
    assert last < first - 0.5
    assert summary["valid_loss"] < math.log(vocab) - 0.5


def test_what_is_written(make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    run = make_run()
    summary = train(run, data_folder, tmp_path / "work", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["history.csv", "model.safetensors", "summary.json"]
    assert read_json(tmp_path / "out" / "summary.json") == summary
    data = open_dataset(data_folder)
    model = build(ModelSpec.from_dict(run["model"]), data.vocab_size, 12)
    model.load_state_dict(weights(tmp_path / "out"))
    assert summary["config"] == run
    assert (summary["params"], summary["params_nonembedding"]) == model.count_parameters()
    assert summary["train_tokens"] == 20 * 4 * 12
    assert summary["train_flops"] == 20 * 3 * model.flops(4, 12)
    assert summary["forward_flops_per_token"] == model.flops(1, 12) / 12
    assert summary["valid_loss"] == evaluate_split(model, data, "valid", 12, torch.device("cpu"), "float32")["loss"]
    assert summary["provenance"]["data_sha256"] == data.meta["sha256"]
    with open(tmp_path / "out" / "history.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [int(r["step"]) for r in rows] == [1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert [int(r["step"]) for r in rows if r["valid_loss"]] == [6, 12, 18, 20]
    assert [int(r["tokens"]) for r in rows] == [48 * int(r["step"]) for r in rows]
    assert [float(r["flops"]) for r in rows] == [3 * model.flops(4, 12) * int(r["step"]) for r in rows]
    assert float(rows[-1]["valid_loss"]) == summary["valid_loss"]
    assert float(rows[0]["learning_rate"]) == pytest.approx(0.005)  # two steps of warm-up


def test_a_task_with_answers(make_run: MakeRun, tmp_path: Path) -> None:
    spec = {"kind": "selective_copying", "length": 10, "n_data": 2, "vocab": 3, "valid_examples": 8, "test_examples": 8}
    prepare("copying", spec, tmp_path / "data", None)
    summary = train(make_run(steps=30), tmp_path / "data", tmp_path / "work", tmp_path / "out")
    assert summary["status"] == "ok"
    assert summary["train_tokens"] == 30 * 4 * 12
    assert summary["valid_loss"] < math.log(5)


# --- the same to the last bit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_twice_the_same_and_after_an_interruption_too(
    model: str, make_run: MakeRun, data_folder: Path, tmp_path: Path
) -> None:
    """Dropout makes the random state matter; step 13 lies between the checkpoints of 12 and 16."""
    run = make_run(model, spec={"dropout": 0.2})
    train(run, data_folder, tmp_path / "work1", tmp_path / "one")
    torch.manual_seed(99)  # what happened before in the process plays no part
    train(run, data_folder, tmp_path / "work2", tmp_path / "two")
    assert same(tmp_path / "one", tmp_path / "two")
    interrupted(13, run, data_folder, tmp_path / "work3", tmp_path / "three")
    assert not (tmp_path / "three").exists(), "an unfinished run leaves no results"
    torch.manual_seed(99)
    train(run, data_folder, tmp_path / "work3", tmp_path / "three")
    assert same(tmp_path / "one", tmp_path / "three")
    other = make_run(model, spec={"dropout": 0.2}, seed=2)
    train(other, data_folder, tmp_path / "work4", tmp_path / "four")
    assert not torch.equal(*(weights(tmp_path / n)["embedding.weight"] for n in ("one", "four")))


def test_finishing_again_changes_nothing(make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    run = make_run()
    train(run, data_folder, tmp_path / "work", tmp_path / "one")
    train(run, data_folder, tmp_path / "work", tmp_path / "two")
    assert same(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("damaged", ["newest", "both"])
@pytest.mark.parametrize("how", ["cut", "byte"])
def test_damaged_checkpoints_are_passed_over(
    damaged: str,
    how: str,
    make_run: MakeRun,
    data_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, work = make_run(), tmp_path / "work"
    train(run, data_folder, tmp_path / "clean", tmp_path / "one")
    interrupted(13, run, data_folder, work, tmp_path / "two")
    for name in ["checkpoint.safetensors", "checkpoint.previous.safetensors"][: 1 if damaged == "newest" else 2]:
        data = (work / name).read_bytes()
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]
        (work / name).write_bytes(data[:middle] if how == "cut" else flipped)
    with caplog.at_level("INFO"):
        train(run, data_folder, work, tmp_path / "two")
    assert ("resuming after step 8 of 20" in caplog.text) == (damaged == "newest")
    assert caplog.text.count("checkpoint passed over") == (1 if damaged == "newest" else 2)
    assert same(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("change", ["learning rate", "steps", "model", "code", "split", "task"])
def test_a_checkpoint_of_another_run_is_passed_over(
    change: str,
    make_run: MakeRun,
    data_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The work folder of one run, handed to another: as if it were empty."""
    first = second = make_run()
    folders = [data_folder, data_folder]
    if change in ("split", "task"):
        text = {"kind": "text", "path": str(data_folder.parent / "tiny.txt"), "tokenizer": "characters"}
        copying = {"kind": "selective_copying", "n_data": 2, "vocab": 3, "valid_examples": 8, "test_examples": 8}
        text_specs = [{**text, "split": [0.8, 0.1, 0.1]}, {**text, "split": [0.7, 0.1, 0.2]}]
        task_specs = [{**copying, "length": 10}, {**copying, "length": 9, "n_data": 3}]
        specs = text_specs if change == "split" else task_specs
        folders = [tmp_path / "data1", tmp_path / "data2"]
        for folder, spec in zip(folders, specs, strict=True):
            prepare("tiny", spec, folder, None)
    if change == "learning rate":
        second = make_run(optimizer={"learning_rate": 0.02})
    elif change == "steps":
        second = make_run(steps=25)
    elif change == "model":
        second = make_run(spec={"d_model": 16})
    interrupted(13, first, folders[0], tmp_path / "work", tmp_path / "one")
    if change == "code":
        monkeypatch.setattr("seqscale.training.loop.code_digest", lambda *_: "another version")
    train(second, folders[1], tmp_path / "work", tmp_path / "two")
    assert "belongs to another config or version of the code" in caplog.text
    train(second, folders[1], tmp_path / "fresh", tmp_path / "three")
    assert same(tmp_path / "two", tmp_path / "three")


# --- failures that are results ----------------------------------------------------------------------------------------


def spoil(monkeypatch: pytest.MonkeyPatch, at: int, error: Exception | None = None) -> None:
    """From step `at` (from 1) on: raise `error`, or poison a weight before the step."""
    original = _Run._step

    def step(self: _Run, index: int) -> tuple[float, float]:
        if index + 1 >= at:
            if error is not None:
                raise error
            with torch.no_grad():
                self.model.norm.weight[0] = math.nan
        return original(self, index)

    monkeypatch.setattr(_Run, "_step", step)


def test_diverged_says_what_and_where(
    make_run: MakeRun, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, at=10)
    summary = train(make_run(), data_folder, tmp_path / "work", tmp_path / "out")
    assert summary["status"] == "diverged"
    assert summary["reason"].startswith("the loss became nan at step 10 of 20 (learning rate")
    assert (summary["steps_done"], summary["valid_loss"]) == (9, None)
    assert summary["train_tokens"] == 9 * 4 * 12
    with open(tmp_path / "out" / "history.csv", newline="") as handle:
        assert [int(row["step"]) for row in csv.DictReader(handle)] == [1, 2, 4, 6, 8]
    again = train(make_run(), data_folder, tmp_path / "work", tmp_path / "again")
    assert again["reason"] == summary["reason"], "a rerun resumes and ends at the same step"
    assert same(tmp_path / "out", tmp_path / "again")


def test_an_absurd_learning_rate_diverges(make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    run = make_run(optimizer={"learning_rate": 1e30})
    summary = train(run, data_folder, tmp_path / "work", tmp_path / "out")
    assert summary["status"] == "diverged"
    assert 1 <= summary["steps_done"] < 20
    assert "Try a smaller learning rate" in summary["reason"]


def test_weights_ruined_by_the_last_step_are_noticed(
    make_run: MakeRun, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further batch would show it; the validation does."""
    original = _Run._step

    def step(self: _Run, index: int) -> tuple[float, float]:
        result = original(self, index)
        if index + 1 == 20:
            with torch.no_grad():
                self.model.norm.weight[0] = math.nan
        return result

    monkeypatch.setattr(_Run, "_step", step)
    summary = train(make_run(), data_folder, tmp_path / "work", tmp_path / "out")
    assert summary["status"] == "diverged"
    assert summary["reason"].startswith("the validation loss became nan after step 20 of 20")
    assert summary["valid_loss"] is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nGPU 0 has ..."), "CUDA out of memory"),
        (MemoryError(), "MemoryError"),
        (None, "can't allocate memory"),
    ],
    ids=["gpu", "python", "cpu"],
)
def test_out_of_memory_is_a_result(
    error: Exception | None,
    words: str,
    make_run: MakeRun,
    data_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if error is None:
        try:
            torch.empty(10**15)  # what PyTorch really says on a CPU
        except RuntimeError as real:
            error = real
    assert error is not None
    spoil(monkeypatch, at=7, error=error)
    summary = train(make_run(), data_folder, tmp_path / "work", tmp_path / "out")
    assert summary["status"] == "out of memory"
    assert summary["reason"].startswith("after step 6: ")
    assert words in summary["reason"]
    assert "\n" not in summary["reason"]
    assert (summary["steps_done"], summary["valid_loss"]) == (6, None)


def test_other_errors_are_not_swallowed(
    make_run: MakeRun, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, at=2, error=RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(make_run(), data_folder, tmp_path / "work", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"device": "tpu"}, "compute.device is 'tpu'; allowed: auto, cpu, cuda"),
        ({"precision": "float8"}, "compute.precision is 'float8'; allowed: auto, float32, bfloat16"),
    ],
    ids=["device", "precision"],
)
def test_unknown_words_are_refused(
    change: dict[str, Any], words: str, make_run: MakeRun, data_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        train(make_run(**change), data_folder, tmp_path / "work", tmp_path / "out")


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_insisting_on_a_gpu_that_is_not_there(make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"compute\.device is 'cuda' but PyTorch sees no GPU here"):
        train(make_run(device="cuda"), data_folder, tmp_path / "work", tmp_path / "out")


def test_bfloat16_trains_too(make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    run = make_run(precision="bfloat16", steps=40)
    summary = train(run, data_folder, tmp_path / "work", tmp_path / "out")
    exact = train(make_run(steps=40), data_folder, tmp_path / "work2", tmp_path / "out2")
    assert summary["status"] == "ok"
    assert summary["valid_loss"] != exact["valid_loss"]
    assert summary["valid_loss"] == pytest.approx(exact["valid_loss"], abs=0.1)
    assert all(w.dtype == torch.float32 for w in weights(tmp_path / "out").values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; PyTorch sees none here")
@pytest.mark.parametrize("model", MODELS)
def test_trains_on_a_gpu(model: str, make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    summary = train(make_run(model, device="cuda"), data_folder, tmp_path / "work", tmp_path / "out")
    on_cpu = train(make_run(model), data_folder, tmp_path / "work2", tmp_path / "out2")
    assert summary["status"] == "ok"
    assert summary["peak_memory_bytes"] > 0
    assert summary["valid_loss"] == pytest.approx(on_cpu["valid_loss"], abs=1e-2)
