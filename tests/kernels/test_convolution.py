"""Causal convolutions and the kernel of a time-invariant system against their definitions."""

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor

from seqscale.kernels import (
    causal_conv1d,
    causal_conv1d_reference,
    diagonal_ssm_kernel,
    diagonal_ssm_reference,
    fft_convolution,
)
from seqscale.kernels.reference import softplus_inverse

F64 = torch.float64


@pytest.mark.parametrize("length", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("start", [True, False], ids=["state", "zeros"])
def test_short_convolution_equals_definition(
    length: int, width: int, bias: bool, start: bool, device: torch.device
) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, length, 3, dtype=F64, device=device), torch.randn(3, width, dtype=F64, device=device)
    b = torch.randn(3, dtype=F64, device=device) if bias else None
    state = torch.randn(2, width - 1, 3, dtype=F64, device=device) if start else None
    y, following = causal_conv1d(x, weight, b, state)
    torch.testing.assert_close(y, causal_conv1d_reference(x, weight, b, state))
    past = torch.zeros(2, width - 1, 3, dtype=F64, device=device) if state is None else state
    assert torch.equal(following, torch.cat([past, x], dim=1)[:, length:])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_short_convolution_in_pieces_is_the_whole(width: int) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 9, 3, dtype=F64), torch.randn(3, width, dtype=F64), torch.randn(3, dtype=F64)
    whole, last = causal_conv1d(x, weight, bias)
    state, pieces = None, []
    for begin, end in ((0, 1), (1, 3), (3, 4), (4, 9)):
        y, state = causal_conv1d(x[:, begin:end], weight, bias, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)
    assert torch.equal(state, last)


def test_short_convolution_gradients() -> None:
    torch.manual_seed(0)
    shapes = ((2, 5, 2), (2, 3), (2,), (2, 2, 2))
    free = [torch.randn(shape, dtype=F64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda *v: causal_conv1d(*v)[0], free)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)], ids=str)
def test_short_convolution_takes_the_inputs_dtype(dtype: torch.dtype, tolerance: float, device: torch.device) -> None:
    """Weights and bias stay in float32 beside bfloat16 activations."""
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 9, 3).to(dtype), torch.randn(3, 4), torch.randn(3)
    x, weight, bias = (t.to(device) for t in (x, weight, bias))
    y, state = causal_conv1d(x, weight, bias)
    assert y.dtype == state.dtype == dtype
    expected = causal_conv1d_reference(x, weight, bias)
    assert (y - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("length", [1, 2, 5, 16, 31])
def test_long_convolution_equals_the_sum(length: int, device: torch.device) -> None:
    torch.manual_seed(0)
    x, kernel = torch.randn(2, length, 3, dtype=F64, device=device), torch.randn(3, length, dtype=F64, device=device)
    y = fft_convolution(x, kernel)
    expected = torch.zeros_like(x)
    for t in range(length):
        for s in range(t + 1):
            expected[:, t] += kernel[:, t - s] * x[:, s]
    torch.testing.assert_close(y, expected)


def _system(channels: int = 3, pairs: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=F64)

    A = torch.complex(-normal(channels, pairs).exp(), 3 * normal(channels, pairs))
    B, C = (torch.complex(normal(channels, pairs), normal(channels, pairs)) for _ in range(2))
    return A, B, C, normal(channels).exp() * 0.1


@pytest.mark.parametrize("length", [1, 7, 32])
def test_time_invariant_system_is_its_convolution(length: int, device: torch.device) -> None:
    A, B, C, dt = (t.to(device) for t in _system())
    x = torch.randn(2, length, 3, dtype=F64, generator=torch.Generator().manual_seed(1)).to(device)
    decay = dt[:, None] * A
    kernel = diagonal_ssm_kernel(decay, C * B * (torch.exp(decay) - 1) / A, length)
    assert kernel.shape == (3, length)
    torch.testing.assert_close(fft_convolution(x, kernel), diagonal_ssm_reference(x, A, B, C, dt)[0])


def test_kernel_stays_in_full_precision_under_autocast(device: torch.device) -> None:
    A, B, C, dt = (t.to(device) for t in _system())
    decay, gain = (dt[:, None] * A).to(torch.complex64), (C * B).to(torch.complex64)
    plain = diagonal_ssm_kernel(decay, gain, 16)
    with torch.autocast(device.type, torch.bfloat16):
        cast = diagonal_ssm_kernel(decay, gain, 16)
    assert cast.dtype == torch.float32
    assert torch.equal(cast, plain)


def test_reference_recurrence_continues() -> None:
    A, B, C, dt = _system()
    x = torch.randn(2, 9, 3, dtype=F64)
    whole, last = diagonal_ssm_reference(x, A, B, C, dt)
    first, state = diagonal_ssm_reference(x[:, :4], A, B, C, dt)
    second, state = diagonal_ssm_reference(x[:, 4:], A, B, C, dt, state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(state, last)


def test_zero_order_hold_is_scipys() -> None:
    """One channel as a real system of twice the size, discretised and run by SciPy."""
    A, B, C, dt = _system(channels=1)
    pairs = A.shape[1]
    a, b, c = (t[0].numpy() for t in (A, B, C))
    # h = p + iq: p' = Re(a) p - Im(a) q + Re(b) x, q' = Im(a) p + Re(a) q + Im(b) x, y = 2 (Re(c) p - Im(c) q)
    state = np.block([[np.diag(a.real), -np.diag(a.imag)], [np.diag(a.imag), np.diag(a.real)]])
    drive = np.concatenate([b.real, b.imag])[:, None]
    read = 2 * np.concatenate([c.real, -c.imag])[None]
    discrete = scipy.signal.cont2discrete((state, drive, read, np.zeros((1, 1))), float(dt), method="zoh")
    x = np.random.default_rng(0).normal(size=20)
    # SciPy reads the state before the input arrives, the recurrence here after: one step apart
    _, y, _ = scipy.signal.dlsim(discrete, np.append(x, 0.0)[:, None])
    found, last = diagonal_ssm_reference(torch.from_numpy(x)[None, :, None], A, B, C, dt)
    np.testing.assert_allclose(found[0, :, 0].numpy(), y[1:, 0], rtol=1e-9, atol=1e-12)
    assert last.shape == (1, 1, pairs)


def test_softplus_inverse() -> None:
    x = torch.tensor([1e-4, 1e-3, 0.1, 1.0, 50.0, 1e4], dtype=F64)
    torch.testing.assert_close(torch.nn.functional.softplus(softplus_inverse(x)), x)
