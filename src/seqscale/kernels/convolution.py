"""Causal convolutions: the short depthwise one of Mamba, the long one of time-invariant systems, and its kernel."""

import torch
import torch.nn.functional as F
from torch import Tensor


def causal_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, initial_state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Depthwise causal convolution, y_t[d] = bias[d] + sum_k weight[d, k] x_{t-K+1+k}[d].

    Args:
        x: (batch, length, channels).
        weight: (channels, width). bias: (channels,) or None.
        initial_state: the width - 1 inputs before x, (batch, width - 1, channels); zeros when None.

    Returns:
        y (batch, length, channels) and the last width - 1 inputs, to be passed on as `initial_state`.
    """
    width = weight.shape[1]
    if initial_state is None:
        initial_state = x.new_zeros(x.shape[0], width - 1, x.shape[2])
    padded = torch.cat([initial_state.to(x.dtype), x], dim=1)
    offset = None if bias is None else bias.to(x.dtype)
    y = F.conv1d(padded.transpose(1, 2), weight.unsqueeze(1).to(x.dtype), offset, groups=weight.shape[0])
    # cloned, so that the state does not keep the whole padded input alive
    return y.transpose(1, 2), padded[:, padded.shape[1] - (width - 1) :].clone()


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
