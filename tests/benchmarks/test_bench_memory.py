"""Peak memory against calls whose allocations are known to the byte."""

import pytest
import torch
from bench_jobs import DEVICES, MODELS
from torch import nn

from seqscale.benchmarks import peak_bytes
from seqscale.benchmarks.memory import element_bytes, storage_bytes, tensors_of
from seqscale.models import ModelSpec, build

CPU = torch.device("cpu")
SQUARE = 256 * 256 * 4


@pytest.fixture
def a() -> torch.Tensor:
    return torch.randn(256, 256)


def test_one_product_is_its_result(a: torch.Tensor) -> None:
    assert peak_bytes(lambda: a @ a, CPU) == SQUARE
    assert peak_bytes(lambda: a @ a, CPU, held=[a]) == 2 * SQUARE


def test_what_is_given_back_no_longer_counts(a: torch.Tensor) -> None:
    def chain() -> torch.Tensor:
        x = a
        for _ in range(10):
            x = x @ a  # the old x is released once the new one is there
        return x

    assert peak_bytes(chain, CPU) == 2 * SQUARE


def test_the_peak_counts_even_if_nothing_stays(a: torch.Tensor) -> None:
    def rise_and_fall() -> None:
        kept = [a @ a for _ in range(5)]
        kept.clear()

    assert peak_bytes(rise_and_fall, CPU) == 5 * SQUARE
    assert peak_bytes(lambda: None, CPU) == 0


def test_temporaries_inside_an_operation_count(a: torch.Tensor) -> None:
    """A product of a strided view must copy (parts of) it first; the copy is nobody's result."""
    strided = torch.randn(8, 64, 128)[:, :, ::2]
    assert peak_bytes(lambda: torch.bmm(strided, strided), CPU) > 8 * 64 * 64 * 4


def test_gradients_count() -> None:
    layer = nn.Linear(256, 256, bias=False)
    x = torch.randn(256, 256)
    grown = peak_bytes(lambda: layer(x).sum().backward(), CPU)
    assert 2 * SQUARE <= grown < 2 * SQUARE + 1024, "the output or its gradient, the weight's gradient, two scalars"
    assert layer.weight.grad is not None


def test_storages_count_once_and_elements_as_they_are(a: torch.Tensor) -> None:
    assert storage_bytes([a, a[:3], a.t()]) == SQUARE
    assert element_bytes([a, a[:3]]) == SQUARE + 3 * 256 * 4
    nested = {"x": [a, (a,)], "length": 7}
    assert len(list(tensors_of(nested, nn.BatchNorm1d(3)))) == 2 + 5


@pytest.mark.parametrize("name", MODELS)
def test_a_longer_forward_needs_more_and_backward_more_still(name: str) -> None:
    model = build(ModelSpec.from_dict({"name": name, **MODELS[name]}), vocab_size=37, context=256)

    def forward(length: int) -> int:
        with torch.inference_mode():
            return peak_bytes(lambda: model(torch.zeros(1, length, dtype=torch.long)), CPU, tensors_of(model))

    both = peak_bytes(lambda: model(torch.zeros(1, 256, dtype=torch.long)).sum().backward(), CPU, tensors_of(model))
    parameters = sum(p.numel() for p in model.parameters()) * 4
    assert parameters < forward(64) < forward(256) < both
    assert both > 2 * parameters, "every parameter has a gradient"


@pytest.mark.parametrize("device", DEVICES[1:])
def test_a_gpu_counts_results_and_what_was_there(device: str) -> None:
    a = torch.randn(1024, 1024, device=device)
    before = torch.cuda.memory_allocated()
    assert peak_bytes(lambda: a + a, torch.device(device)) == before + 1024 * 1024 * 4
