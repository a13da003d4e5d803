"""Mamba's block: the selective state space model S6 (Gu & Dao 2023, arXiv 2312.00752, figure 3 and algorithm 2).

Names, as in the paper:

    d_inner (E D)   width inside the block, expand * d_model
    d_state (N)     state per inner channel
    dt_rank (R)     rank of the projection that makes delta
    A               (d_inner, d_state), kept as log(-A); S4D-real start: A[d, n] = -(n + 1)
    delta, B, C     depend on the input: this is the selection
    D               skip weight, starts at 1
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqscale.kernels import causal_conv1d, scan_flops, selective_scan, selective_state_step
from seqscale.kernels.cpu import decode
from seqscale.kernels.cpu.linear import Linear, linear
from seqscale.kernels.reference import softplus_inverse
from seqscale.mixers.base import Mixer, State, linear_flops


class Mamba(Mixer):
    """in_proj -> (x, z); x: causal convolution, SiLU, selective scan; times SiLU(z); out_proj.

    Args:
        d_state: state size N per channel.
        d_conv: width of the causal convolution.
        expand: d_inner / d_model.
        dt_rank: rank of delta's projection; 0 means ceil(d_model / 16), the paper's choice.
        dt_min, dt_max: delta starts log-uniform in this range (seconds have no meaning here: tokens^-1).
        bias: biases in in_proj and out_proj (the published models have none).
        conv_bias: a bias in the convolution.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int = 0,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        bias: bool = False,
        conv_bias: bool = True,
    ) -> None:
        super().__init__(d_model)
        self.d_state, self.d_conv, self.d_inner = d_state, d_conv, expand * d_model
        self.dt_rank = dt_rank or math.ceil(d_model / 16)

        self.in_proj = Linear(d_model, 2 * self.d_inner, bias=bias)
        self.conv = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner, bias=conv_bias)
        self.x_proj = Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = Linear(self.dt_rank, self.d_inner)
        self.out_proj = Linear(self.d_inner, d_model, bias=bias)
        self.out_proj.residual_output = True  # type: ignore[assignment]

        self.A_log = nn.Parameter(torch.arange(1, d_state + 1, dtype=torch.float32).log().repeat(self.d_inner, 1))
        self.D = nn.Parameter(torch.ones(self.d_inner))
        with torch.no_grad():
            nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
            dt = torch.empty(self.d_inner).uniform_(math.log(dt_min), math.log(dt_max)).exp()
            self.dt_proj.bias.copy_(softplus_inverse(dt))
        for parameter in (self.A_log, self.D, self.dt_proj.bias):
            parameter.no_weight_decay = True  # type: ignore[attr-defined]
        self.native = decode.Layer((d_model, self.d_inner, d_state, d_conv, self.dt_rank), (Linear, nn.Linear))

    def _select(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What depends on the input: delta before bias and softplus, B, C; and A beside them."""
        low, B, C = self.x_proj(x).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        delta = linear(low, self.dt_proj.weight)  # the bias joins inside the scan, in float32
        return delta, B, C, -torch.exp(self.A_log)

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        return self._mix(x, state, None)

    def mix_masked(self, x: Tensor, state: State | None, mask: Tensor) -> tuple[Tensor, State | None]:
        """Padded tokens enter neither the convolution nor the scan: their rows are zero before each.

        As published models are run: with `bias`, in_proj's bias is still in the convolution's window of the first
        tokens after the padding.
        """
        return self._mix(x * mask.unsqueeze(-1).to(x.dtype), state, mask)

    def _mix(self, x: Tensor, state: State | None, mask: Tensor | None) -> tuple[Tensor, State | None]:
        x, z = self.in_proj(x).chunk(2, dim=-1)
        x, conv_state = causal_conv1d(
            x,
            self.conv.weight.squeeze(1),
            self.conv.bias,
            None if state is None else state["conv"],
            activation="silu",
        )
        if mask is not None:
            x = x * mask.unsqueeze(-1).to(x.dtype)
        delta, B, C, A = self._select(x)
        y, ssm_state = selective_scan(
            x,
            delta,
            A,
            B,
            C,
            D=self.D,
            z=z,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
            initial_state=None if state is None else state["ssm"],
            return_last_state=True,
        )
        return self.out_proj(y), {"conv": conv_state, "ssm": ssm_state}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        layer = self.native.packed(self) if decode.applies(x) else None
        if layer is not None:
            y, following = decode.mamba_step(x, [(state["conv"], state["ssm"])], [layer], self.native.sizes)
            return y, {"conv": following[0][0], "ssm": following[0][1]}
        x, z = self.in_proj(x).chunk(2, dim=-1)
        window = torch.cat([state["conv"].to(x.dtype), x.unsqueeze(1)], dim=1)
        x = torch.einsum("bkc,ck->bc", window, self.conv.weight.squeeze(1))
        x = F.silu(x if self.conv.bias is None else x + self.conv.bias)
        delta, B, C, A = self._select(x)
        y, ssm_state = selective_state_step(
            state["ssm"], x, delta, A, B, C, D=self.D, z=z, delta_bias=self.dt_proj.bias, delta_softplus=True
        )
        return self.out_proj(y), {"conv": window[:, 1:], "ssm": ssm_state}

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        wide = torch.float64 if dtype == torch.float64 else torch.float32  # the state is never kept in half precision
        return {
            "conv": torch.zeros(batch, self.d_conv - 1, self.d_inner, device=device, dtype=dtype),
            "ssm": torch.zeros(batch, self.d_inner, self.d_state, device=device, dtype=wide),
        }

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        tokens = batch * length
        return (
            linear_flops(tokens, self.d_model, 2 * self.d_inner)
            + 2 * tokens * self.d_inner * self.d_conv
            + linear_flops(tokens, self.d_inner, self.dt_rank + 2 * self.d_state)
            + linear_flops(tokens, self.dt_rank, self.d_inner)
            + scan_flops(batch, length, self.d_inner, self.d_state)
            + linear_flops(tokens, self.d_inner, self.d_model)
        )

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        return batch * self.d_inner * ((self.d_conv - 1) * dtype.itemsize + self.d_state * max(4, dtype.itemsize))


MIXER = Mamba
