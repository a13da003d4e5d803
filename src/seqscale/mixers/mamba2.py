"""Mamba-2's block: SSD between gates (Dao & Gu 2024, arXiv 2405.21060, figure 6, "parallel" block).

Names, as in the paper:

    d_inner (P H)   width inside the block, expand * d_model
    d_head (P)      width of a head;  heads (H) = d_inner / d_head
    d_state (N)     state per inner channel; larger than Mamba's, because matrix products are cheap
    n_groups (G)    heads that share B and C form a group (as keys and values in grouped-query attention)
    A               one negative number per head, kept as log(-A); starts uniform in [1, 16]
    dt              one per head and token
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqscale.kernels import causal_conv1d, selective_state_step
from seqscale.kernels.reference import softplus_inverse
from seqscale.kernels.ssd import ssd, ssd_flops
from seqscale.mixers.base import Linear, Mixer, State, linear_flops


class Mamba2(Mixer):
    """in_proj -> (z, x B C, dt); x B C: causal convolution, SiLU; SSD; RMSNorm of y * SiLU(z); out_proj.

    Args:
        d_state: state size N per channel.
        d_conv: width of the causal convolution.
        expand: d_inner / d_model.
        d_head: width of a head; must divide d_inner.
        n_groups: groups of heads that share B and C; must divide the number of heads.
        chunk: tokens of a chunk of the matrix form; changes cost and last bits, not results.
        dt_min, dt_max: dt starts log-uniform in this range.
        dt_low, dt_high: dt is held in this range (some published models do).
        bias: biases in in_proj and out_proj (the published models have none).
        conv_bias: a bias in the convolution.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 64,
        d_conv: int = 4,
        expand: int = 2,
        d_head: int = 64,
        n_groups: int = 1,
        chunk: int = 64,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        dt_low: float = 0.0,
        dt_high: float = math.inf,
        bias: bool = False,
        conv_bias: bool = True,
    ) -> None:
        super().__init__(d_model)
        self.d_inner, self.d_state, self.d_conv = expand * d_model, d_state, d_conv
        if self.d_inner % d_head:
            raise ValueError(f"d_head = {d_head} does not divide d_inner = expand * d_model = {self.d_inner}")
        self.d_head, self.heads, self.n_groups, self.chunk = d_head, self.d_inner // d_head, n_groups, chunk
        if self.heads % n_groups:
            raise ValueError(f"n_groups = {n_groups} does not divide the {self.heads} heads (d_inner / d_head)")
        self.dt_low, self.dt_high = dt_low, dt_high
        self.d_convolved = self.d_inner + 2 * n_groups * d_state

        self.in_proj = Linear(d_model, self.d_inner + self.d_convolved + self.heads, bias=bias)
        self.conv = nn.Conv1d(self.d_convolved, self.d_convolved, d_conv, groups=self.d_convolved, bias=conv_bias)
        # epsilon as that of the norms around it in float32: published models have one for all
        self.norm = nn.RMSNorm(self.d_inner, eps=torch.finfo(torch.float32).eps)
        self.out_proj = Linear(self.d_inner, d_model, bias=bias)
        self.out_proj.residual_output = True  # type: ignore[assignment]

        self.A_log = nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(self.heads))
        dt = torch.empty(self.heads).uniform_(math.log(dt_min), math.log(dt_max)).exp()
        self.dt_bias = nn.Parameter(softplus_inverse(dt))
        for parameter in (self.A_log, self.D, self.dt_bias):
            parameter.no_weight_decay = True  # type: ignore[attr-defined]

    def _split(self, x: Tensor) -> list[Tensor]:
        return list(self.in_proj(x).split([self.d_inner, self.d_convolved, self.heads], dim=-1))

    def _parts(self, xBC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (..., heads, d_head), B and C (..., n_groups, d_state) of what comes out of the convolution."""
        shared = self.n_groups * self.d_state
        x, B, C = xBC.split([self.d_inner, shared, shared], dim=-1)
        groups = (self.n_groups, self.d_state)
        return x.unflatten(-1, (self.heads, self.d_head)), B.unflatten(-1, groups), C.unflatten(-1, groups)

    def _dt(self, dt: Tensor) -> Tensor:
        dt = F.softplus(dt.to(self.dt_bias.dtype) + self.dt_bias)
        return dt if (self.dt_low, self.dt_high) == (0.0, math.inf) else dt.clamp(self.dt_low, self.dt_high)

    def _out(self, y: Tensor, z: Tensor) -> Tensor:
        gated = (y.flatten(-2) * F.silu(z)).to(self.norm.weight.dtype)
        if self.n_groups == 1:
            return self.out_proj(self.norm(gated).to(z.dtype))
        groups = gated.unflatten(-1, (self.n_groups, -1))  # each group has a norm of its own, as the original has it
        normed = F.rms_norm(groups, groups.shape[-1:], None, self.norm.eps).flatten(-2) * self.norm.weight
        return self.out_proj(normed.to(z.dtype))

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        return self._mix(x, state, None)

    def mix_masked(self, x: Tensor, state: State | None, mask: Tensor) -> tuple[Tensor, State | None]:
        """Padded tokens enter neither the convolution nor the scan (see `Mamba.mix_masked`)."""
        return self._mix(x * mask.unsqueeze(-1).to(x.dtype), state, mask)

    def _mix(self, x: Tensor, state: State | None, mask: Tensor | None) -> tuple[Tensor, State | None]:
        z, xBC, dt = self._split(x)
        before = None if state is None else state["conv"]
        xBC, conv_state = causal_conv1d(xBC, self.conv.weight.squeeze(1), self.conv.bias, before, activation="silu")
        if mask is not None:
            xBC = xBC * mask.unsqueeze(-1).to(xBC.dtype)
        values, B, C = self._parts(xBC)
        dt = self._dt(dt)
        initial = None if state is None else state["ssm"]
        y, ssm_state = ssd(values, dt, -torch.exp(self.A_log), B, C, self.D, initial, self.chunk)
        return self._out(y, z), {"conv": conv_state, "ssm": ssm_state}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        z, xBC, dt = self._split(x)
        window = torch.cat([state["conv"].to(x.dtype), xBC.unsqueeze(1)], dim=1)
        xBC = torch.einsum("bkc,ck->bc", window, self.conv.weight.squeeze(1))
        xBC = F.silu(xBC if self.conv.bias is None else xBC + self.conv.bias)
        values, B, C = self._parts(xBC)

        def per_channel(v: Tensor) -> Tensor:
            return v.unsqueeze(-1).expand(*v.shape, self.d_head)

        y, ssm_state = selective_state_step(
            state["ssm"],
            values,
            per_channel(self._dt(dt)),
            per_channel(-torch.exp(self.A_log)).unsqueeze(-1).expand(-1, -1, self.d_state),
            B,
            C,
            D=per_channel(self.D),
        )
        return self._out(y, z), {"conv": window[:, 1:], "ssm": ssm_state}

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        wide = torch.float64 if dtype == torch.float64 else torch.float32  # the state is never kept in half precision
        return {
            "conv": torch.zeros(batch, self.d_conv - 1, self.d_convolved, device=device, dtype=dtype),
            "ssm": torch.zeros(batch, self.heads, self.d_head, self.d_state, device=device, dtype=wide),
        }

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        """The scan counts as the matrix products of its chunked form, padding of the last chunk included."""
        tokens = batch * length
        return (
            linear_flops(tokens, self.d_model, self.d_inner + self.d_convolved + self.heads)
            + 2 * tokens * self.d_convolved * self.d_conv
            + ssd_flops(batch, length, self.heads, self.d_head, self.n_groups, self.d_state, self.chunk)
            + linear_flops(tokens, self.d_inner, self.d_model)
        )

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        ssm = self.d_inner * self.d_state * max(4, dtype.itemsize)
        return batch * (self.d_convolved * (self.d_conv - 1) * dtype.itemsize + ssm)


MIXER = Mamba2
