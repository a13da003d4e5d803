"""What is the native convolution's own: vector widths, edges of tiles, pieces and blocks, threads."""

from typing import Any

import pytest
import torch
from cpu_isas import isa
from torch import Tensor

from seqscale.kernels import causal_conv1d
from seqscale.kernels.cpu import build
from seqscale.kernels.cpu.convolution import conv_backward, conv_forward

__all__ = ["isa"]

pytestmark = pytest.mark.skipif(not build.available(), reason=f"no native library: {build.reason()}")


def inputs(batch: int, length: int, channels: int, width: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """x (a part of a wider tensor, as in Mamba), weight, bias, initial state."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(batch, length, 2 * channels, generator=g).to(dtype)[..., channels:]
    state = torch.randn(batch, width - 1, channels, generator=g).to(dtype)
    return [x, torch.randn(channels, width, generator=g), torch.randn(channels, generator=g), state]


def compare(values: list[Any], silu: bool, tolerance: float, cu_seqlens: Tensor | None = None) -> None:
    """y, final state and all gradients against PyTorch operations in float64."""
    exact = [None if v is None else v.double().requires_grad_() for v in values]
    y, final = causal_conv1d(
        *exact, activation="silu" if silu else None, cu_seqlens=cu_seqlens, implementation="pytorch"
    )
    g = torch.Generator().manual_seed(1)
    dy, dfinal = ((1 + torch.randn(t.shape, generator=g)).to(values[0].dtype) for t in (y, final))
    inputs = [v for v in exact if v is not None]
    expected = torch.autograd.grad([y, final], inputs, [dy.double(), dfinal.double()], allow_unused=True)
    found_y, found_final = conv_forward(*values, cu_seqlens, silu)
    gradients = conv_backward(dy, dfinal, *values, cu_seqlens, silu)
    found = [g for g, v in zip(gradients, values, strict=True) if v is not None]
    assert found_y.dtype == found_final.dtype == gradients[0].dtype == values[0].dtype
    assert torch.equal(found_final.double(), final.detach())
    for name, a, b in zip(
        ("y", "dx", "dweight", "dbias", "dinitial"), (found_y, *found), (y.detach(), *expected), strict=False
    ):
        assert b is not None and a.shape == b.shape, name
        assert (a - b).norm() <= tolerance * b.norm() + 1e-30, name


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("length", [1, 2, 5, 32, 33, 257, 300])
def test_any_length_and_width(length: int, width: int) -> None:
    compare(inputs(2, length, 20, width), True, 1e-6)


@pytest.mark.parametrize("channels", [1, 8, 17, 48])
@pytest.mark.parametrize("silu", [True, False], ids=["silu", "linear"])
def test_every_width_of_vectors(isa: str, silu: bool, channels: int) -> None:
    compare(inputs(2, 40, channels, 4), silu, 1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(isa: str, dtype: torch.dtype) -> None:
    compare(inputs(2, 40, 20, 4, dtype), True, 1e-2 if dtype == torch.bfloat16 else 1e-3)


def test_without_bias_and_state() -> None:
    x, weight, _, _ = inputs(2, 40, 20, 4)
    compare([x, weight, None, None], True, 1e-6)


@pytest.mark.parametrize("ends", [[0, 0, 1, 3, 40, 40, 70], [0, 300, 301, 560], [0, 5]], ids=str)
def test_packed(ends: list[int]) -> None:
    x, weight, bias, _ = inputs(1, ends[-1], 20, 4)
    state = torch.randn(len(ends) - 1, 3, 20, generator=torch.Generator().manual_seed(2))
    compare([x, weight, bias, state], True, 1e-6, torch.tensor(ends))


def test_same_bits_for_any_number_of_threads_and_every_time() -> None:
    values = inputs(3, 700, 40, 4)
    dy, before, found = torch.ones(3, 700, 40), torch.get_num_threads(), []
    try:
        for threads in (1, 1, 2, 3):
            torch.set_num_threads(threads)
            found.append([*conv_forward(*values, None, True), *conv_backward(dy, None, *values, None, True)])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_large_inputs_saturate(isa: str) -> None:
    x = torch.tensor([-1e30, -1e4, -100.0, 0.0, 100.0, 1e4, 1e30]).view(1, 7, 1)
    y, _ = conv_forward(x, torch.ones(1, 1), None, None, None, True)
    torch.testing.assert_close(y.flatten(), torch.tensor([0.0, 0.0, 0.0, 0.0, 100.0, 1e4, 1e30]))
    dx = conv_backward(torch.ones_like(x), None, x, torch.ones(1, 1), None, None, None, True)[0]
    assert dx.isfinite().all()
    torch.testing.assert_close(dx.flatten()[[0, 1, 3, 5, 6]], torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
