"""What a device can do at most, measured on it: the ceilings that kernels are held against.

copy     bytes read and written in a second by a large copy
exp2     exponentials in a second, one fused kernel that does nothing else (GPU)
fma      float32 multiply-adds in a second, likewise (GPU)
matmul   operations in a second of a large matrix product
"""

import functools
from collections.abc import Callable
from typing import Any

import torch

from seqscale.benchmarks.timing import Summary, measure

COPY_BYTES = 2**29
ROUNDS, UNROLL = 32, 16  # exponentials, or multiply-adds, a chain, in rounds; CHAINS of them side by side in a lane
CHAINS = 8
PROGRAMS, LANES = 132 * 64, 256


def _rate(call: Callable[[], object], amount: float, device: torch.device) -> Summary:
    return measure(call, repeats=20, min_seconds=0.05, device=device).inverse(amount)


def copy_bytes_per_second(device: torch.device) -> Summary:
    """Bytes read plus bytes written."""
    count = (COPY_BYTES if device.type == "cuda" else COPY_BYTES // 8) // 4
    source = torch.ones(count, device=device)
    target = torch.empty_like(source)
    return _rate(lambda: target.copy_(source), 2 * 4 * count, device)


def matmul_flops_per_second(device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs in a second (median) of a product of two square matrices; a multiply-add is two."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return _rate(lambda: a @ b, 2 * size**3, device).median


def exp2_per_second(device: torch.device) -> Summary:
    """Exponentials in a second (`ex2`, what the scan's decays take)."""
    return _arithmetic(device, exponentials=True)


def fma_per_second(device: torch.device) -> Summary:
    """Multiply-adds in a second, float32."""
    return _arithmetic(device, exponentials=False)


def _arithmetic(device: torch.device, exponentials: bool) -> Summary:
    kernel = _kernel()
    out = torch.empty(PROGRAMS * LANES * CHAINS, device=device)

    def call() -> None:
        kernel[(PROGRAMS,)](out, 0.5, ROUNDS, CHAINS, LANES, exponentials, UNROLL, num_warps=LANES // 32)

    return _rate(call, PROGRAMS * LANES * CHAINS * ROUNDS * UNROLL, device)


@functools.cache
def _kernel() -> Any:
    from seqscale.benchmarks.ceilings_gpu import chains_kernel

    return chains_kernel
