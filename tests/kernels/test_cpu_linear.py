"""The linear layer by oneDNN is the linear layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from seqscale.kernels.cpu import linear as module
from seqscale.kernels.cpu.linear import Linear, linear


@pytest.fixture(params=[True, False], ids=["onednn", "mkl"])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(module, "onednn_is_faster", lambda: request.param)
    monkeypatch.setattr(module, "LEAST", 0)
    return request.param


@pytest.mark.parametrize("shape", [(40, 8), (1, 8), (3, 20, 8), (2, 3, 4, 8)], ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("strided", [True, False], ids=["strided", "plain"])
def test_values_and_gradients(onednn: bool, shape: tuple[int, ...], bias: bool, strided: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(*shape[:-1], 2 * shape[-1])[..., : shape[-1]] if strided else torch.randn(shape)
    free = [x.requires_grad_(), torch.randn(5, 8, requires_grad=True)]
    if bias:
        free.append(torch.randn(5, requires_grad=True))
    y, expected = linear(*free), F.linear(*free)
    torch.testing.assert_close(y, expected)
    assert y.is_contiguous()
    dy = torch.randn_like(y)
    for found, right in zip(torch.autograd.grad(y, free, dy), torch.autograd.grad(expected, free, dy), strict=True):
        torch.testing.assert_close(found, right)


def test_operations_are_counted_alike(onednn: bool) -> None:
    x, weight = torch.randn(40, 8, requires_grad=True), torch.randn(5, 8, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        linear(x, weight).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 40 * 8 * 5


def test_autocast_and_other_dtypes(onednn: bool) -> None:
    x, weight = torch.randn(40, 8), torch.randn(5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16
    torch.testing.assert_close(linear(x.double(), weight.double()), F.linear(x.double(), weight.double()))


def test_layer_is_pytorchs(onednn: bool) -> None:
    torch.manual_seed(0)
    ours = Linear(8, 5)
    torch.manual_seed(0)
    theirs = nn.Linear(8, 5)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert isinstance(ours, nn.Linear)
    x = torch.randn(3, 8)
    torch.testing.assert_close(ours(x), theirs(x))


def test_small_products_go_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(F, "conv2d", None)
    assert linear(torch.randn(4, 8), torch.randn(5, 8)).shape == (4, 5)
