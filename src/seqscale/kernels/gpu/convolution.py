"""Causal depthwise convolution with fused bias and SiLU, Triton, forward and backward; bound by memory, not arithmetic.

A program takes a tile: ROWS stretches of `steps` tokens, side by side, by BLOCK channels. Lanes lie along the channels,
so that every access is 4 to 16 bytes a lane and whole lines a warp; time runs in order inside a lane, which keeps the
last width - 1 inputs in registers. Each input is thus read once (but for the width - 1 tokens before each stretch,
which a neighbour has just brought into the cache) and converted once. Four tokens are loaded before they are used.

Bytes an element, in units of its size: forward 2 (x in, y out), backward 3 (x, dy in, dx out; the value before SiLU is
computed again, not stored) and, for dweight and dbias, 4 (width + 1) bytes a tile and channel, written and read once
more by a second kernel that adds them up in a fixed order: the result is the same to the last bit every time.

A tensor whose channels are not contiguous, such as the transpose of a (batch, channels, length) one, is copied first.
"""

from typing import Any

import torch
import triton
from torch import Tensor

from seqscale.kernels.gpu.cases import TARGETS, Case, aligned
from seqscale.kernels.gpu.conv_backward import backward_kernel, initial_kernel, sum_kernel
from seqscale.kernels.gpu.conv_forward import forward_kernel
from seqscale.kernels.gpu.conv_math import locate_kernel
from seqscale.kernels.gpu.launch import on_device_of

_WARPS = 4
_GROUP = 4  # tokens loaded ahead; stretches are multiples of it
_PROGRAMS = 1024  # stretches are as long as they can be with this many programs: 8 for each multiprocessor of an H200
_FORWARD_STEPS = (16, 8, 4)
_BACKWARD_STEPS = (256, 128, 64, 32, 16, 8)  # long: one row of sums is written per tile


def conv_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
    silu: bool,
) -> tuple[Tensor, Tensor]:
    """Run the convolution. Arguments as `kernels.convolution.causal_conv1d`, checked.

    Returns:
        y (batch, length, channels) and the final state (batch or sequences, width - 1, channels), in x's dtype.
    """
    batch, length, channels = x.shape
    width = weight.shape[1]
    x = _rows(x)
    rows = batch if cu_seqlens is None else cu_seqlens.shape[0] - 1
    y = torch.empty((batch, length, channels), dtype=x.dtype, device=x.device)
    final = torch.empty((rows, width - 1, channels), dtype=x.dtype, device=x.device)
    lanes, block, steps, tiles = _forward_tiling(width, x.element_size(), batch, length, channels)
    programs = (batch * tiles + -(-rows // lanes)) * -(-channels // block)
    if programs == 0:
        return y, final
    with on_device_of(x):
        forward_kernel[(programs,)](
            x, weight.contiguous(), _whole(bias), _whole(initial_state), y, final,
            _packing_table(cu_seqlens, length), cu_seqlens,
            length, channels, rows, x.stride(0), x.stride(1), steps, tiles,
            WIDTH=width, SILU=silu, ROWS=lanes, BLOCK=block, GROUP=_GROUP, num_warps=_WARPS,
        )  # fmt: skip
    return y, final


def conv_backward(
    dy: Tensor,
    dfinal: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    cu_seqlens: Tensor | None,
    silu: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients from those of y and of the final state (None: zero).

    Returns:
        dx in x's dtype; dweight, and dbias and dinitial_state where their input is given, in float32.
    """
    batch, length, channels = x.shape
    width = weight.shape[1]
    x, dy = _rows(x), dy.contiguous()
    rows = batch if cu_seqlens is None else cu_seqlens.shape[0] - 1
    wide: dict[str, Any] = {"dtype": torch.float32, "device": x.device}
    dx = torch.empty((batch, length, channels), dtype=x.dtype, device=x.device)
    dweight = torch.empty((channels, width), **wide)
    dbias = None if bias is None else torch.empty((channels,), **wide)
    dinitial = None if initial_state is None else torch.empty((rows, width - 1, channels), **wide)
    lanes, block, steps, tiles = _backward_tiling(width, x.element_size(), batch, length, channels)
    sums = torch.empty((batch * tiles, width + 1, channels), **wide)
    programs = batch * tiles * -(-channels // block)
    weight, bias, initial_state, dfinal = weight.contiguous(), _whole(bias), _whole(initial_state), _whole(dfinal)
    with on_device_of(x):
        if programs:
            backward_kernel[(programs,)](
                x, dy, dfinal, weight, bias, initial_state, dx, sums, _packing_table(cu_seqlens, length), cu_seqlens,
                length, channels, x.stride(0), x.stride(1), steps, tiles,
                WIDTH=width, SILU=silu, ROWS=lanes, BLOCK=block, GROUP=_GROUP, num_warps=_WARPS,
            )  # fmt: skip
        if dinitial is not None and dinitial.numel():
            initial_kernel[(-(-rows // lanes), -(-channels // block))](
                x, dy, dfinal, weight, bias, initial_state, dinitial, cu_seqlens,
                length, channels, rows, x.stride(0), x.stride(1),
                WIDTH=width, SILU=silu, ROWS=lanes, BLOCK=block, num_warps=_WARPS,
            )  # fmt: skip
        if channels:
            sum_kernel[(triton.cdiv((width + 1) * channels, 16),)](
                sums, dweight, dbias, channels, batch * tiles, WIDTH=width, TILES=128, BLOCK=16, num_warps=_WARPS
            )
    return dx, dweight, dbias, dinitial


def _rows(x: Tensor) -> Tensor:
    """x with contiguous channels; any strides of batch and length."""
    return x if x.stride(2) == 1 or x.shape[2] == 1 else x.contiguous()


def _whole(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _forward_tiling(width: int, itemsize: int, batch: int, length: int, channels: int) -> tuple[int, int, int, int]:
    """(ROWS, BLOCK, steps, tiles a batch row). 16 bytes a lane, or 8 where the window is long."""
    return _tiling((16 if width <= 4 else 8) // itemsize, _FORWARD_STEPS, batch, length, channels)


def _backward_tiling(width: int, itemsize: int, batch: int, length: int, channels: int) -> tuple[int, int, int, int]:
    """As the forward's. A lane keeps 4 width + 1 values for each of its channels: four, or two where that is many."""
    return _tiling(4 if width <= 4 else 2, _BACKWARD_STEPS, batch, length, channels)


def _tiling(
    lane_elements: int, choices: tuple[int, ...], batch: int, length: int, channels: int
) -> tuple[int, int, int, int]:
    block = min(32 * lane_elements, triton.next_power_of_2(channels))
    lanes = 32 * _WARPS * lane_elements // block
    enough = max(1, -(-length // (lanes * _GROUP))) * _GROUP  # more would leave lanes without tokens
    for choice in choices:
        steps = min(choice, enough)
        tiles = -(-length // (steps * lanes))
        if batch * tiles * -(-channels // block) >= _PROGRAMS:
            break
    return lanes, block, steps, tiles


def _packing_table(cu_seqlens: Tensor | None, length: int) -> Tensor | None:
    """(2, length) int32: every token's sequence and its position there."""
    if cu_seqlens is None:
        return None
    table = torch.empty((2, length), dtype=torch.int32, device=cu_seqlens.device)
    sequences = cu_seqlens.shape[0] - 1
    if length:
        grid = (-(-length // 256),)
        locate_kernel[grid](cu_seqlens, table, length, sequences, sequences.bit_length(), BLOCK=256)
    return table


def compile_cases() -> list[Case]:
    """The kernels as they run: dtypes, widths, with and without states and packing."""
    cases = []
    for dtype, width, states, packed, registers, targets in (
        ("bf16", 4, False, False, (112, 144), TARGETS),
        ("bf16", 4, True, True, (136, 184), ("sm_90",)),
        ("fp32", 4, True, False, (80, 168), ("sm_80", "gfx942")),
        ("fp16", 2, False, True, (80, 136), TARGETS),
        ("bf16", 8, False, False, (112, 168), ("sm_90",)),
    ):
        size = 4 if dtype == "fp32" else 2
        name = f"{dtype}-width{width}{'-states' if states else ''}{'-packed' if packed else ''}"
        tensor = dict.fromkeys(("x", "y", "dx", "dy", "initial", "final", "dfinal"), f"*{dtype}")
        tensor |= dict.fromkeys(("weight", "bias", "sums", "dweight", "dbias", "dinitial"), "*fp32")
        tensor |= {"table": "*i32", "cu_seqlens": "*i32"}
        absent: tuple[str, ...] = () if states else ("initial", "dinitial", "dfinal")
        absent += () if packed else ("table", "cu_seqlens")
        odd = ("length", "rows", "steps", "tiles")
        for kernel, tiling, most in (
            (forward_kernel, _forward_tiling, registers[0]),
            (backward_kernel, _backward_tiling, registers[1]),
            (initial_kernel, _backward_tiling, registers[1]),
        ):
            if kernel is initial_kernel and not states:
                continue
            lanes, block, _, _ = tiling(width, size, 8, 2048, 2048)
            constants: dict[str, Any] = {a: None for a in absent if a in kernel.arg_names}
            constants |= {"WIDTH": width, "SILU": True, "ROWS": lanes, "BLOCK": block}
            constants |= {"GROUP": _GROUP} if kernel is not initial_kernel else {}
            signature = aligned(kernel, tensor, constants, odd)
            cases.append(Case(f"{kernel.__name__}-{name}", kernel, signature, constants, _WARPS, most, 0, targets))
    constants = {"WIDTH": 4, "TILES": 128, "BLOCK": 16}
    types = dict.fromkeys(("sums", "dweight", "dbias"), "*fp32")
    cases.append(Case("sum_kernel", sum_kernel, aligned(sum_kernel, types, constants), constants, _WARPS, 64))
    types = {"cu_seqlens": "*i64", "table": "*i32"}
    signature = aligned(locate_kernel, types, {"BLOCK": 256}, ("length", "sequences", "rounds"))
    cases.append(Case("locate_kernel", locate_kernel, signature, {"BLOCK": 256}, 4, 32))
    return cases
