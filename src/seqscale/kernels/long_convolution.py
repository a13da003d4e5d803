"""The long causal convolution of time-invariant systems, and its kernel."""

import torch
from torch import Tensor


def complex_powers(decay: Tensor, steps: Tensor) -> Tensor:
    """exp(decay * l) for every l in `steps`: (channels, pairs) complex, (length,) real -> (channels, pairs, length).

    By size and angle, because PyTorch's complex exponential is not vectorised: ten times slower on a CPU.
    """
    return torch.polar(torch.exp(decay.real.unsqueeze(-1) * steps), decay.imag.unsqueeze(-1) * steps)


def diagonal_ssm_kernel(decay: Tensor, gain: Tensor, length: int) -> Tensor:
    """The convolution kernel of a diagonal state space with conjugate pairs: K_l = 2 Re sum_n gain_n exp(decay_n l).

    Gu et al. 2022 (S4D, arXiv 2206.11893), eq. 4, as one real matrix product.

    Args:
        decay: dt A, (channels, pairs), complex. gain: C B-bar, (channels, pairs), complex.

    Returns:
        (channels, length), real, in their precision.
    """
    steps = torch.arange(length, device=decay.device, dtype=decay.real.dtype)
    modes = complex_powers(decay, steps)
    weights = torch.cat([gain.real, -gain.imag], dim=-1).unsqueeze(-2)
    with torch.autocast(decay.device.type, enabled=False):  # a kernel in bfloat16 is worthless, and has no FFT
        return 2 * (weights @ torch.cat([modes.real, modes.imag], dim=-2)).squeeze(-2)


def fft_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """Causal convolution with a kernel as long as the sequence, in O(length log length).

    Args:
        x: (batch, length, channels). kernel: (channels, length), float32 or float64.

    Returns:
        (batch, length, channels) in the kernel's dtype: y_t = sum_{s <= t} kernel_{t-s} x_s.
    """
    length = x.shape[1]
    size = 2 * length  # room for the linear convolution: no wrap-around
    spectrum = torch.fft.rfft(x.to(kernel.dtype).transpose(1, 2), n=size) * torch.fft.rfft(kernel, n=size)
    return torch.fft.irfft(spectrum, n=size)[..., :length].transpose(1, 2)
