"""A model at lengths beyond its own: each length is scored whole, and what cannot be done is said, not crashed on."""

import pytest
import torch
from torch import Tensor, nn

from seqscale.data import open_dataset, prepare
from seqscale.data.batches import SyntheticDataset
from seqscale.training import evaluate_lengths

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataset:
    spec = {"kind": "induction_heads", "length": 8, "vocab": 4, "valid_examples": 2, "test_examples": 3}
    folder = tmp_path_factory.mktemp("induction")
    prepare("it", {**spec, "extrapolation": {"lengths": [5000, 8, 32], "examples": 6}}, folder, None)
    opened = open_dataset(folder)
    assert isinstance(opened, SyntheticDataset)
    return opened


class Solver(nn.Module):
    """Says what followed the trigger: right at any length up to `good_to`, 4 there and beyond."""

    def __init__(self, good_to: int = 10**9) -> None:
        super().__init__()
        self.good_to = good_to

    def forward(self, tokens: Tensor) -> Tensor:
        first = (tokens[:, :-1] == 0).int().argmax(dim=1)
        answer = tokens.gather(1, first[:, None] + 1).expand_as(tokens)
        answer = answer if tokens.shape[1] <= self.good_to else torch.full_like(answer, 4)
        return 20.0 * nn.functional.one_hot(answer, 5)


def test_every_length_is_scored(data: SyntheticDataset) -> None:
    found = evaluate_lengths(Solver(), data, CPU, "float32")
    assert [(e["length"], e["status"], e["accuracy"], e["tokens"]) for e in found] == [
        (n, "ok", 1.0, 6) for n in (8, 32, 5000)
    ]
    short, *longer = evaluate_lengths(Solver(good_to=8), data, CPU, "float32")
    assert short["accuracy"] == 1.0
    assert all(e["accuracy"] < 1 for e in longer)


def test_lengths_without_positions_are_out_of_range(data: SyntheticDataset) -> None:
    model = Solver()
    model.length_max = 32  # type: ignore[assignment]
    found = evaluate_lengths(model, data, CPU, "float32")
    assert [e["status"] for e in found] == ["ok", "ok", "out of range"]
    assert found[-1]["reason"] == "the model has 32 learned positions"
    assert "accuracy" not in found[-1]


def test_out_of_memory_is_a_result_and_other_errors_are_errors(data: SyntheticDataset) -> None:
    class Broken(Solver):
        words = "CUDA out of memory"

        def forward(self, tokens: Tensor) -> Tensor:
            if tokens.shape[1] > 32:
                raise RuntimeError(self.words)
            return super().forward(tokens)

    model = Broken()
    assert [e["status"] for e in evaluate_lengths(model, data, CPU, "float32")] == ["ok", "ok", "out of memory"]
    model.words = "a mistake"
    with pytest.raises(RuntimeError, match="a mistake"):
        evaluate_lengths(model, data, CPU, "float32")
