"""Steps replayed as a CUDA graph train as steps launched kernel by kernel do."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqscale.data.batches import Batch
from seqscale.training import train
from seqscale.training.graphs import step_graph

MakeRun = Callable[..., dict[str, Any]]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; PyTorch sees none here"),
]
MODELS = (
    *("linear", "mlp", "attention", "transformer", "transformer_pp", "lstm"),
    *("lti_ssm", "s4d", "s4", "mamba", "mamba2", "mamba_no_gate", "hybrid"),
)


def column(folder: Path, name: str) -> list[float]:
    with open(folder / "history.csv", encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def losses(folder: Path) -> list[float]:
    return column(folder, "train_loss")


@pytest.mark.parametrize("change", [{}, {"accumulate": 2}], ids=["whole", "in_pieces"])
@pytest.mark.parametrize("model", MODELS)
def test_replayed_is_eager(
    model: str, change: dict[str, int], make_run: MakeRun, data_folder: Path, tmp_path: Path
) -> None:
    run = make_run(model, device="cuda", precision="float32", log_every=1, **change)
    replayed = train(run, data_folder, tmp_path / "work", tmp_path / "out")
    eager = train({**run, "cuda_graphs": False}, data_folder, tmp_path / "work2", tmp_path / "out2")
    assert replayed["provenance"]["cuda_graph"] and not eager["provenance"]["cuda_graph"]
    for name in ("train_loss", "grad_norm"):
        assert column(tmp_path / "out", name) == pytest.approx(column(tmp_path / "out2", name), rel=5e-3), name
    assert replayed["valid_loss"] == pytest.approx(eager["valid_loss"], rel=1e-3)


def test_dropout_draws_the_numbers_that_it_would_draw(make_run: MakeRun, data_folder: Path, tmp_path: Path) -> None:
    run = make_run("transformer", spec={"dropout": 0.3}, device="cuda", precision="float32", log_every=1)
    train(run, data_folder, tmp_path / "work", tmp_path / "out")
    train({**run, "cuda_graphs": False}, data_folder, tmp_path / "work2", tmp_path / "out2")
    assert losses(tmp_path / "out") == pytest.approx(losses(tmp_path / "out2"), rel=1e-3)


class Talkative(nn.Module):
    """Decides by a number, so that the host must wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, device="cuda"))

    def forward(self, x: Tensor) -> Tensor:
        y = x * self.weight
        return y if y.max() > 0 else -y


def test_what_cannot_be_recorded_is_told_and_goes_on_eagerly(caplog: pytest.LogCaptureFixture) -> None:
    model = Talkative()

    def compute(batch: Batch, targets: Tensor) -> Tensor:
        model.zero_grad(set_to_none=True)
        loss = model(torch.as_tensor(batch.inputs).float()).sum() / targets
        loss.backward()
        return torch.stack([loss.detach(), model.weight.grad.norm()])  # type: ignore[union-attr]

    ones = np.ones((2, 4), dtype=np.int64)
    batch = Batch(ones, ones)
    assert step_graph(compute, batch, 8, torch.device("cuda")) is None
    assert "no CUDA graph of the step" in caplog.text
    on_device = Batch(*(torch.ones(2, 4, device="cuda") for _ in range(2)))  # type: ignore[arg-type]
    assert compute(on_device, torch.tensor(8.0, device="cuda"))[0].item() == 1.0
    assert torch.rand(3, device="cuda").shape == (3,)  # the generator is of use again
