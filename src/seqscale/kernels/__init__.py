"""Selective scan, causal convolutions and the one-token steps. Imports nothing but PyTorch (and triton, on a GPU).

Functions take an `implementation` (`choice.py`); `reference.py` holds the definitions that all of them are tested
against; `drop_in.py` has the functions of mamba_ssm and causal_conv1d by their own names and in their layout.
"""

from seqscale.kernels.conv_step import causal_conv1d_step_
from seqscale.kernels.convolution import causal_conv1d
from seqscale.kernels.drop_in import (
    causal_conv1d_fn,
    causal_conv1d_update,
    mamba_inner_fn,
    selective_scan_fn,
    selective_state_update,
)
from seqscale.kernels.flops import scan_flops
from seqscale.kernels.long_convolution import complex_powers, diagonal_ssm_kernel, fft_convolution
from seqscale.kernels.reference import causal_conv1d_reference, diagonal_ssm_reference, selective_scan_reference
from seqscale.kernels.scan import selective_scan
from seqscale.kernels.step import selective_state_step, selective_state_step_

__all__ = [
    "causal_conv1d",
    "causal_conv1d_fn",
    "causal_conv1d_reference",
    "causal_conv1d_step_",
    "causal_conv1d_update",
    "complex_powers",
    "diagonal_ssm_kernel",
    "diagonal_ssm_reference",
    "fft_convolution",
    "mamba_inner_fn",
    "scan_flops",
    "selective_scan",
    "selective_scan_fn",
    "selective_scan_reference",
    "selective_state_step",
    "selective_state_step_",
    "selective_state_update",
]
