"""The long convolution and the kernel of a time-invariant system against their definitions."""

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor

from seqscale.kernels import diagonal_ssm_kernel, diagonal_ssm_reference, fft_convolution
from seqscale.kernels.reference import softplus_inverse

F64 = torch.float64


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
