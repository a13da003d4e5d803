"""Mamba-2's scan as matrix products: the state space duality SSD (Dao & Gu 2024, arXiv 2405.21060, section 6).

One decay per head and token, a_t = exp(dt_t A), lets the scan

    h_t = a_t h_{t-1} + dt_t x_t B_t^T,     y_t = h_t C_t + D x_t          h: (d_head, d_state) for each head

be cut into chunks. Inside a chunk it is a masked attention, (C B^T * decays) x; across chunks only the states at the
chunks' ends are carried, by one more such product. So nearly all work is matrix multiplication, in O(length).
"""

import torch
from torch import Tensor

from seqscale.kernels.choice import note
from seqscale.kernels.chunked import state_dtype

CARRIED = 64  # chunks whose states are carried by one product; more of them are carried in blocks of so many


def ssd(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    initial_state: Tensor | None = None,
    chunk: int = 64,
) -> tuple[Tensor, Tensor]:
    """The chunked scan.

    Args:
        x: (batch, length, heads, d_head); its dtype is that of the matrix products.
        dt: (batch, length, heads), after bias and softplus, float32 (or float64).
        A: (heads,), negative. D: (heads,), or None.
        B, C: (batch, length, groups, d_state); head h belongs to group h // (heads // groups).
        initial_state: (batch, heads, d_head, d_state), or None for zeros.
        chunk: tokens of a chunk.

    Returns:
        y like x, and the last state (batch, heads, d_head, d_state) in float32 (or float64). Decays and states are
        never kept in half precision.
    """
    note("ssd", "matmul")
    wide, kind = state_dtype(x), x.dtype
    with torch.autocast(x.device.type, enabled=False):
        length, heads = x.shape[1:3]
        size, per_group = min(chunk, length), heads // B.shape[2]
        x_, dt_, B_, C_ = (_chunks(t.to(kind if t is not dt else wide), size) for t in (x, dt, B, C))
        # from here on (batch, chunks, heads or groups, size, ...); padded tokens have dt = 0: decay 1, nothing added
        decay = (dt_ * A.to(wide)[:, None]).cumsum(-1)  # logarithm of the decay from the chunk's start
        driven = x_ * dt_.to(kind).unsqueeze(-1)
        scores = _repeat(C_ @ B_.transpose(-1, -2), per_group)
        inside = (scores * _within(decay).to(kind)) @ driven
        to_end = torch.exp(decay[..., -1:] - decay).to(kind)
        ends = ((driven * to_end.unsqueeze(-1)).transpose(-1, -2) @ _repeat(B_, per_group)).to(wide)
        starts, last = _carry(decay[..., -1], ends, initial_state)
        from_start = (_repeat(C_, per_group) @ starts.to(kind).transpose(-1, -2)) * torch.exp(decay).to(kind).unsqueeze(
            -1
        )
        y = (inside + from_start).transpose(2, 3).flatten(1, 2)[:, :length]
        return (y if D is None else y + (D.to(wide)[:, None] * x).to(kind)), last


def _chunks(x: Tensor, size: int) -> Tensor:
    """(batch, length, heads, ...) -> (batch, chunks, heads, size, ...), zero-padded at the end."""
    missing = -x.shape[1] % size
    if missing:
        x = torch.cat([x, x.new_zeros(x.shape[0], missing, *x.shape[2:])], dim=1)
    return x.unflatten(1, (-1, size)).transpose(2, 3)


def _repeat(x: Tensor, per_group: int) -> Tensor:
    """(batch, chunks, groups, ...) -> (batch, chunks, heads, ...)."""
    return x if per_group == 1 else x.repeat_interleave(per_group, dim=2)


def _within(decay: Tensor) -> Tensor:
    """exp(decay_i - decay_j) for j <= i, else 0: (..., size) -> (..., size, size)."""
    size = decay.shape[-1]
    above = torch.ones(size, size, dtype=torch.bool, device=decay.device).triu(1)
    # masked before the exponential: what lies above would overflow, and its gradient be not a number
    return torch.exp((decay.unsqueeze(-1) - decay.unsqueeze(-2)).masked_fill(above, -torch.inf))


def _carry(decay: Tensor, ends: Tensor, initial: Tensor | None) -> tuple[Tensor, Tensor]:
    """From what each chunk adds to the state at each chunk's start, and behind the last one.

    Args:
        decay: (batch, chunks, heads), logarithms. ends: (batch, chunks, heads, d_head, d_state).
        initial: (batch, heads, d_head, d_state), or None.
    """
    chunks = decay.shape[1]
    if chunks > CARRIED:  # blocks of chunks, carried in the same way
        blocks = [_carry(d, e, None) for d, e in _blocks(decay, ends)]
        totals = torch.stack([d.sum(1) for d in decay.split(CARRIED, dim=1)], dim=1)
        before, last = _carry(totals, torch.stack([end for _, end in blocks], dim=1), initial)
        reach = [torch.exp(d.cumsum(1) - d)[..., None, None] for d in decay.split(CARRIED, dim=1)]
        starts = [s + r * b.unsqueeze(1) for (s, _), r, b in zip(blocks, reach, before.unbind(1), strict=True)]
        return torch.cat(starts, dim=1), last
    if initial is None:
        initial = torch.zeros_like(ends[:, 0])
    added = torch.cat([initial.to(ends.dtype).unsqueeze(1), ends], dim=1).transpose(1, 2)
    total = torch.cat([torch.zeros_like(decay[:, :1]), decay], dim=1).transpose(1, 2).cumsum(-1)
    states = (_within(total) @ added.flatten(3)).unflatten(3, added.shape[3:]).transpose(1, 2)
    return states[:, :-1], states[:, -1]


def _blocks(decay: Tensor, ends: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(decay.split(CARRIED, dim=1), ends.split(CARRIED, dim=1), strict=True))


def ssd_flops(batch: int, length: int, heads: int, d_head: int, groups: int, d_state: int, chunk: int) -> int:
    """Matrix products of `ssd`, padding included: scores, their product with x, states of chunks twice, the carry."""
    size = min(chunk, length)
    chunks = -(-length // size)
    each = groups * size * d_state + heads * size * d_head + 2 * heads * d_head * d_state
    return 2 * batch * (chunks * size * each + heads * d_head * d_state * _carry_products(chunks))


def _carry_products(chunks: int) -> int:
    """Pairs of chunks that `_carry` multiplies."""
    if chunks <= CARRIED:
        return (chunks + 1) ** 2
    full, rest = divmod(chunks, CARRIED)
    inside = full * (CARRIED + 1) ** 2 + ((rest + 1) ** 2 if rest else 0)
    return inside + _carry_products(full + (rest > 0))
