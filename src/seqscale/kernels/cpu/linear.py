"""Linear layers on the CPU by whichever of PyTorch's two libraries is fast on this processor.

PyTorch sends float32 matrix products to MKL, which on AMD processors does not use the vectors they have: on two Zen 5
cores 110 to 180 GFLOP/s, where oneDNN, the library behind convolutions, gets 300 to 440. A linear layer is
a convolution of width 1 with channels last, so that is what is called there; the memory is as it lies, nothing is
copied. Gradients, autocast, FLOP counts and compilation are those of an ordinary PyTorch operation.
"""

import functools
import platform
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST = 2**25  # multiply-adds, below which the longer way to the arithmetic costs as much as it brings


@functools.cache
def onednn_is_faster() -> bool:
    """Whether this is an x86 processor that MKL does not know as its own, and oneDNN is there."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkl.is_available():
        return False
    try:
        return "GenuineIntel" not in Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return "intel" not in platform.processor().lower()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, faster where it can be: x (..., d_in), weight (d_out, d_in) -> (..., d_out)."""
    d_out, d_in = weight.shape
    if (
        x.dtype != torch.float32
        or weight.dtype != torch.float32
        or x.device.type != "cpu"
        or x.numel() * d_out < LEAST
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
        or not onednn_is_faster()
        or not torch.backends.mkldnn.enabled  # type: ignore[attr-defined]
    ):
        return F.linear(x, weight, bias)
    image = x.reshape(1, 1, -1, d_in).permute(0, 3, 1, 2)  # (1, channels, 1, pixels), channels last in memory
    return F.conv2d(image, weight.view(d_out, d_in, 1, 1), bias).permute(0, 2, 3, 1).reshape(*x.shape[:-1], d_out)


class Linear(nn.Linear):
    """`torch.nn.Linear` by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
