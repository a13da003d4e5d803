"""Selective scan, causal convolutions and the one-token step. Imports nothing but PyTorch.

`selective_scan` takes an `implementation`; `reference.py` holds the definitions that all of them are tested against.
"""

from seqscale.kernels.convolution import causal_conv1d, complex_powers, diagonal_ssm_kernel, fft_convolution
from seqscale.kernels.reference import causal_conv1d_reference, diagonal_ssm_reference, selective_scan_reference
from seqscale.kernels.scan import scan_flops, selective_scan
from seqscale.kernels.step import selective_state_step

__all__ = [
    "causal_conv1d",
    "causal_conv1d_reference",
    "complex_powers",
    "diagonal_ssm_kernel",
    "diagonal_ssm_reference",
    "fft_convolution",
    "scan_flops",
    "selective_scan",
    "selective_scan_reference",
    "selective_state_step",
]
