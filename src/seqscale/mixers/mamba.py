"""Mamba's block: the selective state space model S6 (Gu & Dao 2023, arXiv 2312.00752, figure 3 and algorithm 2).

Names, as in the paper:

    d_inner (E D)   width inside the block, expand * d_model
    d_state (N)     state per inner channel
    dt_rank (R)     rank of the projection that makes delta
    A               (d_inner, d_state), kept as log(-A); S4D-real start: A[d, n] = -(n + 1)
    delta, B, C     depend on the input: this is the selection. Each can be switched off; it is then learned and the
                    same for every token, of the shape that S4 gives it (algorithm 1): delta (d_inner,), B and C
                    (d_inner, d_state), as many parameters as the projection that it replaces
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
        selective_delta, selective_b, selective_c: whether delta, B and C depend on the input; none: an LTI system.
        conv: the causal convolution; without it SiLU alone stands in its place.
        gate: the gate SiLU(z); without it in_proj makes x alone.
        a_init: "lin", A_n = -(n + 1) (S4D-real); "constant", -1/2; "random", -exp(N(0, 1)) (the paper's table 8).
        bias: biases in in_proj and out_proj (the published models have none).
        conv_bias: a bias in the convolution.

    Raises:
        ValueError: an unknown a_init.
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
        selective_delta: bool = True,
        selective_b: bool = True,
        selective_c: bool = True,
        conv: bool = True,
        gate: bool = True,
        a_init: str = "lin",
        bias: bool = False,
        conv_bias: bool = True,
    ) -> None:
        super().__init__(d_model)
        self.d_state, self.d_conv, self.d_inner = d_state, d_conv, expand * d_model
        self.dt_rank = (dt_rank or math.ceil(d_model / 16)) if selective_delta else 0
        self.gated = gate
        self.projected = [self.dt_rank, d_state if selective_b else 0, d_state if selective_c else 0]

        self.in_proj = Linear(d_model, (2 if gate else 1) * self.d_inner, bias=bias)
        wide = self.d_inner
        self.conv = nn.Conv1d(wide, wide, d_conv, groups=wide, bias=conv_bias) if conv else None
        self.x_proj = Linear(self.d_inner, sum(self.projected), bias=False) if any(self.projected) else None
        self.dt_proj = Linear(self.dt_rank, self.d_inner) if selective_delta else None
        self.out_proj = Linear(self.d_inner, d_model, bias=bias)
        self.out_proj.residual_output = True  # type: ignore[assignment]

        self.A_log = nn.Parameter(_log_minus_A(a_init, d_state).repeat(self.d_inner, 1))
        self.D = nn.Parameter(torch.ones(self.d_inner))
        with torch.no_grad():
            if self.dt_proj is not None:
                nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
            dt = torch.empty(self.d_inner).uniform_(math.log(dt_min), math.log(dt_max)).exp()
            if self.dt_proj is not None:
                self.dt_proj.bias.copy_(softplus_inverse(dt))
        kept = [self.A_log, self.D]
        if self.dt_proj is None:
            self.dt_bias = nn.Parameter(softplus_inverse(dt))
            kept.append(self.dt_bias)
        else:
            kept.append(self.dt_proj.bias)
        if not selective_b:
            self.B = nn.Parameter(torch.ones(self.d_inner, d_state))  # S4D's start; C absorbs the scale
            kept.append(self.B)
        if not selective_c:
            self.C = nn.Parameter(torch.randn(self.d_inner, d_state))
            kept.append(self.C)
        for parameter in kept:
            parameter.no_weight_decay = True  # type: ignore[attr-defined]
        # the native step knows the whole block alone
        whole = all(self.projected) and conv and gate
        sizes = (d_model, self.d_inner, d_state, d_conv, self.dt_rank)
        self.native = decode.Layer(sizes, (Linear, nn.Linear)) if whole else None

    def _delta_bias(self) -> Tensor:
        return self.dt_bias if self.dt_proj is None else self.dt_proj.bias

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
        """delta before bias and softplus, like x; B and C (..., d_state), None where they are fixed; A beside them."""
        projected = x[..., :0] if self.x_proj is None else self.x_proj(x)
        low, B, C = projected.split(self.projected, dim=-1)
        # the bias joins inside the scan, in float32
        delta = x.new_zeros(()).expand(x.shape) if self.dt_proj is None else linear(low, self.dt_proj.weight)
        A = -torch.exp(self.A_log)
        return delta, B if self.projected[1] else None, C if self.projected[2] else None, A

    def _select(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `_project`, with what is fixed written out for every channel, (..., d_inner, d_state), without a copy."""
        delta, B, C, A = self._project(x)
        if B is None or C is None:
            shape = (*x.shape, self.d_state)
            B = self.B.expand(shape) if B is None else B.unsqueeze(-2).expand(shape)
            C = self.C.expand(shape) if C is None else C.unsqueeze(-2).expand(shape)
        return delta, B, C, A

    def _scan(self, x: Tensor, z: Tensor | None, start: Tensor | None) -> tuple[Tensor, Tensor]:
        """The scan of x (batch, length, d_inner) from the state `start`, with skip and gate; and the last state."""
        delta, B, C, A = self._project(x)
        bias = self._delta_bias()
        if B is not None and C is not None:
            return selective_scan(  # type: ignore[return-value]  # with the last state it is a pair
                x, delta, A, B, C, self.D, z, bias, True, start, return_last_state=True
            )
        # A fixed B or C differs from channel to channel, which the kernels would take as groups of a single channel, a
        # block of their threads each. So every element of the state becomes a channel: d_state groups of d_inner
        # channels with one number of state; a fixed B multiplies what goes in, a fixed C what comes out.
        n, one = self.d_state, x.new_ones(()).expand(*x.shape[:2], self.d_state, 1)
        driven = x.unsqueeze(-2) * (1 if B is not None else self.B.t())
        y, last = selective_scan(
            driven.expand(*x.shape[:2], n, self.d_inner).flatten(-2),
            delta.unsqueeze(-2).expand(*x.shape[:2], n, self.d_inner).flatten(-2),
            A.t().reshape(-1, 1),
            one if B is None else B.unsqueeze(-1),
            one if C is None else C.unsqueeze(-1),
            delta_bias=bias.repeat(n),
            delta_softplus=True,
            initial_state=None if start is None else start.transpose(1, 2).reshape(len(x), -1, 1),
            return_last_state=True,
        )
        y = (y.unflatten(-1, (n, self.d_inner)) * (1 if C is not None else self.C.t())).sum(-2) + self.D * x
        y = y if z is None else y * F.silu(z)
        return y.to(x.dtype), last.view(len(x), n, self.d_inner).transpose(1, 2)

    def _inputs(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """x and, where there is a gate, z."""
        if not self.gated:
            return self.in_proj(x), None
        inner, z = self.in_proj(x).chunk(2, dim=-1)
        return inner, z

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        return self._mix(x, state, None)

    def mix_masked(self, x: Tensor, state: State | None, mask: Tensor) -> tuple[Tensor, State | None]:
        """Padded tokens enter neither the convolution nor the scan: their rows are zero before each.

        As published models are run: with `bias`, in_proj's bias is still in the convolution's window of the first
        tokens after the padding.
        """
        return self._mix(x * mask.unsqueeze(-1).to(x.dtype), state, mask)

    def _mix(self, x: Tensor, state: State | None, mask: Tensor | None) -> tuple[Tensor, State | None]:
        x, z = self._inputs(x)
        following: State = {}
        if self.conv is None:
            x = F.silu(x)
        else:
            x, following["conv"] = causal_conv1d(
                x,
                self.conv.weight.squeeze(1),
                self.conv.bias,
                None if state is None else state["conv"],
                activation="silu",
            )
        if mask is not None:
            x = x * mask.unsqueeze(-1).to(x.dtype)
        y, last = self._scan(x, z, None if state is None else state["ssm"])
        return self.out_proj(y), {**following, "ssm": last}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        layer = self.native.packed(self) if self.native is not None and decode.applies(x) else None
        if layer is not None and self.native is not None:
            y, following = decode.mamba_step(x, [(state["conv"], state["ssm"])], [layer], self.native.sizes)
            return y, {"conv": following[0][0], "ssm": following[0][1]}
        x, z = self._inputs(x)
        kept: State = {}
        if self.conv is None:
            x = F.silu(x)
        else:
            window = torch.cat([state["conv"].to(x.dtype), x.unsqueeze(1)], dim=1)
            x = torch.einsum("bkc,ck->bc", window, self.conv.weight.squeeze(1))
            x = F.silu(x if self.conv.bias is None else x + self.conv.bias)
            kept["conv"] = window[:, 1:]
        delta, B, C, A = self._select(x)
        y, ssm_state = selective_state_step(
            state["ssm"], x, delta, A, B, C, D=self.D, z=z, delta_bias=self._delta_bias(), delta_softplus=True
        )
        return self.out_proj(y), {**kept, "ssm": ssm_state}

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        wide = torch.float64 if dtype == torch.float64 else torch.float32  # the state is never kept in half precision
        state = {"ssm": torch.zeros(batch, self.d_inner, self.d_state, device=device, dtype=wide)}
        if self.conv is not None:
            state["conv"] = torch.zeros(batch, self.d_conv - 1, self.d_inner, device=device, dtype=dtype)
        return state

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        tokens = batch * length
        return (
            linear_flops(tokens, self.d_model, self.in_proj.out_features)
            + (0 if self.conv is None else 2 * tokens * self.d_inner * self.d_conv)
            + linear_flops(tokens, self.d_inner, sum(self.projected))
            + linear_flops(tokens, self.dt_rank, self.d_inner)
            + scan_flops(batch, length, self.d_inner, self.d_state)
            + linear_flops(tokens, self.d_inner, self.d_model)
        )

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        window = 0 if self.conv is None else (self.d_conv - 1) * dtype.itemsize
        return batch * self.d_inner * (window + self.d_state * max(4, dtype.itemsize))


def _log_minus_A(a_init: str, d_state: int) -> Tensor:
    """log(-A) of one channel at the start, (d_state,)."""
    if a_init == "lin":
        return torch.arange(1, d_state + 1, dtype=torch.float32).log()
    if a_init == "constant":
        return torch.full((d_state,), math.log(0.5))
    if a_init == "random":
        return torch.randn(d_state)
    raise ValueError(f"unknown a_init {a_init!r}; choose from lin, constant, random")


MIXER = Mamba
