"""The selective scan in PyTorch operations, forward and backward, for any device.

The recurrence h_t = a_t h_{t-1} + b_t is walked in *segments* of the sequence. Inside a segment the states of all
time steps are written out, (steps, lanes, batch, d_inner, d_state), so a segment is kept small enough for the cache
(CPU) or for memory (GPU). On a GPU, where a launch costs more than the arithmetic, a segment is further cut into
*lanes* that run side by side: position k of every lane at once, then one short walk over the lanes carries the state
across, and the carried part is added back (a two-level scan: 2 sqrt(L) launches instead of L).

The forward keeps only the state at each segment's start; the backward recomputes the rest, as the Mamba paper does
(arXiv 2312.00752, section 3.3.2). The backward of the recurrence is the same recurrence run in reverse:

    g_t = dy_t C_t + a_{t+1} g_{t+1}        (gradient of h_t)
    d(delta_t A) = g_t h_{t-1} a_t,  d(delta_t u_t) = <g_t, B_t>,  dB_t = sum_d g_t delta_t u_t,  dC_t = sum_d dy_t h_t
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Elements of state written out at once. CPU: 1 MB in float32, the size of an L2 cache; measured on a Zen 5 core,
# batch 16, d_inner 128, d_state 16: 2^17 ... 2^19 within 10 %, 2^22 twice as slow. GPU: 256 MB.
_SEGMENT_ELEMENTS = {"cpu": 2**18, "cuda": 2**26}
_GPU_STEPS_PER_LANE = 32


@dataclass(frozen=True)
class Plan:
    """How a sequence is cut: segments of `steps * lanes` tokens, the last one shorter."""

    steps: int
    lanes: int

    @property
    def segment(self) -> int:
        return self.steps * self.lanes


def plan(batch: int, length: int, d_inner: int, d_state: int, device_type: str) -> Plan:
    """Choose the cut for a size and a device ("cpu" or "cuda"; anything else is treated as "cuda")."""
    budget = _SEGMENT_ELEMENTS.get(device_type, _SEGMENT_ELEMENTS["cuda"])
    tokens = max(1, min(length, budget // max(1, batch * d_inner * d_state)))
    if device_type == "cpu" or tokens <= _GPU_STEPS_PER_LANE:
        return Plan(steps=tokens, lanes=1)
    return Plan(steps=_GPU_STEPS_PER_LANE, lanes=tokens // _GPU_STEPS_PER_LANE)


def state_dtype(x: Tensor) -> torch.dtype:
    """The dtype a state is kept in: float32 whatever the activations are, float64 for float64 (tests)."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _fold(x: Tensor, steps: int, lanes: int, dtype: torch.dtype) -> Tensor:
    """(batch, length, ...) -> (steps, lanes, batch, ...), zero-padded at the end to steps * lanes tokens."""
    x = x.to(dtype)
    missing = steps * lanes - x.shape[1]
    if missing:
        x = torch.cat([x, x.new_zeros(x.shape[0], missing, *x.shape[2:])], dim=1)
    return x.reshape(x.shape[0], lanes, steps, *x.shape[2:]).movedim(0, 2).movedim(0, 1).contiguous()


def _unfold(x: Tensor, length: int) -> Tensor:
    """(steps, lanes, batch, ...) -> (batch, length, ...), the padding dropped."""
    x = x.movedim(1, 0).movedim(2, 0)
    return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :length]


def _states(decay: Tensor, drive: Tensor, start: Tensor) -> Tensor:
    """All h_t of a segment, in place of `drive`. Padding has decay 1 and drive 0, so it leaves the state alone.

    decay, drive: (steps, lanes, batch, d_inner, d_state); start: (batch, d_inner, d_state).
    """
    steps, lanes = decay.shape[:2]
    drive[0, 0].addcmul_(decay[0, 0], start)
    for k in range(1, steps):
        drive[k].addcmul_(decay[k], drive[k - 1])
    if lanes > 1:
        reach = decay.cumprod(0)
        carry = drive[-1, 0]
        carries = []
        for lane in range(1, lanes):
            carries.append(carry)
            carry = torch.addcmul(drive[-1, lane], reach[-1, lane], carry)
        drive[:, 1:].addcmul_(reach[:, 1:], torch.stack(carries))
    return drive


def _reverse(decay_next: Tensor, inflow: Tensor, end: Tensor) -> Tensor:
    """All g_t = inflow_t + decay_{t+1} g_{t+1} of a segment, in place of `inflow`; `end` is decay * g beyond it."""
    steps, lanes = inflow.shape[:2]
    inflow[-1, -1].add_(end)
    for k in range(steps - 2, -1, -1):
        inflow[k].addcmul_(decay_next[k], inflow[k + 1])
    if lanes > 1:
        reach = decay_next.clone()
        reach[-1] = 1.0  # the carry enters after the last step of a lane, already decayed
        reach = reach.flip(0).cumprod(0).flip(0)
        carries = []
        carry = torch.zeros_like(end)
        for lane in range(lanes - 2, -1, -1):
            first = inflow[0, lane + 1] + (reach[0, lane + 1] * carry)
            carry = decay_next[-1, lane] * first
            carries.append(carry)
        carries.reverse()
        inflow[:, :-1].addcmul_(reach[:, :-1], torch.stack(carries))
    return inflow


def scan_forward(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, start: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the scan. Shapes as in `reference.selective_scan_reference`; the state's dtype inside.

    Returns:
        y (batch, length, d_inner) in u's dtype, the last state and the states at the segments' starts,
        (segments, batch, d_inner, d_state), both in the state's dtype.
    """
    batch, length, d_inner = u.shape
    cut = plan(batch, length, d_inner, A.shape[1], u.device.type)
    dtype = state_dtype(u)
    A, h = A.to(dtype), start.to(dtype)
    starts, ys = [], []
    for begin in range(0, length, cut.segment):
        tokens = min(cut.segment, length - begin)
        piece = slice(begin, begin + tokens)
        steps, lanes = (tokens, 1) if cut.lanes == 1 else (cut.steps, -(-tokens // cut.steps))
        starts.append(h)
        d, x, b, c = (_fold(t[:, piece], steps, lanes, dtype) for t in (delta, u, B, C))
        decay = torch.mul(d.unsqueeze(-1), A).exp_()
        drive = (d * x).unsqueeze(-1) * b.unsqueeze(-2)
        states = _states(decay, drive, h)
        ys.append(_unfold((states @ c.unsqueeze(-1)).squeeze(-1), tokens))
        h = states[-1, -1].clone()
    y = torch.cat(ys, dim=1) if ys else torch.zeros_like(u)
    segment_starts = torch.stack(starts) if starts else h.new_zeros(0, *h.shape)
    return y.to(u.dtype), h.clone(), segment_starts


def scan_backward(
    dy: Tensor, dlast: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of `scan_forward`: (du, ddelta, dA, dB, dC, dstart).

    Each has its input's dtype, but for dA and dstart, which have the state's.
    """
    batch, length, d_inner = u.shape
    cut = plan(batch, length, d_inner, A.shape[1], u.device.type)
    dtype = state_dtype(u)
    A = A.to(dtype)
    dA = torch.zeros_like(A)
    beyond = dlast.to(dtype).clone()  # decay_{t+1} g_{t+1} at the segment's end
    grads: list[tuple[Tensor, ...]] = []
    for index in range(len(starts) - 1, -1, -1):
        begin = index * cut.segment
        tokens = min(cut.segment, length - begin)
        piece = slice(begin, begin + tokens)
        steps, lanes = (tokens, 1) if cut.lanes == 1 else (cut.steps, -(-tokens // cut.steps))
        d, x, b, c, gy = (_fold(t[:, piece], steps, lanes, dtype) for t in (delta, u, B, C, dy))
        decay = torch.mul(d.unsqueeze(-1), A).exp_()
        dx = d * x
        states = _states(decay, dx.unsqueeze(-1) * b.unsqueeze(-2), starts[index])

        decay_next = torch.cat([decay[1:], decay[:1].roll(-1, dims=1)], dim=0) if lanes > 1 else decay[1:]
        g = _reverse(decay_next, gy.unsqueeze(-1) * c.unsqueeze(-2), beyond)
        dC = (gy.unsqueeze(-2) @ states).squeeze(-2)
        dB = (dx.unsqueeze(-2) @ g).squeeze(-2)
        ddx = (g @ b.unsqueeze(-1)).squeeze(-1)

        # states[k] becomes h_{t-1} decay_t, in place: shift by one step (and lane), then multiply
        gated = g.mul_(decay)
        beyond = gated[0, 0].clone()
        gated[1:].mul_(states[:-1])
        gated[0, 0].mul_(starts[index])
        if lanes > 1:
            gated[0, 1:].mul_(states[-1, :-1])
        dA += (gated * d.unsqueeze(-1)).sum((0, 1, 2))
        ddelta = (gated * A).sum(-1).add_(ddx * x)
        grads.append(tuple(_unfold(t, tokens) for t in (ddx * d, ddelta, dB, dC)))
    if grads:
        du, ddelta, dB, dC = (torch.cat(parts, dim=1) for parts in zip(*reversed(grads), strict=True))
    else:
        du, ddelta, dB, dC = (torch.zeros_like(t) for t in (u, delta, B, C))
    return du.to(u.dtype), ddelta.to(delta.dtype), dA, dB.to(B.dtype), dC.to(C.dtype), beyond
