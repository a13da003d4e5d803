"""A linear time-invariant state space: diagonal, complex, ZOH (S4D-Lin; Gu et al. 2022, arXiv 2206.11893).

What Mamba is without selection: the same gated block around a state space whose delta, B and C do not see the input.
Being time-invariant it is a convolution (FFT, O(length log length)) over a sequence and a recurrence for decoding.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqscale.kernels import complex_powers, diagonal_ssm_kernel, fft_convolution
from seqscale.mixers.base import Linear, Mixer, State, linear_flops


class LTISSM(Mixer):
    """in_proj -> (x, z); x: diagonal state space, D skip, SiLU; times SiLU(z); out_proj.

    Args:
        d_state: real numbers of state per channel, that is d_state / 2 conjugate pairs; even.
        expand: d_inner / d_model.
        dt_min, dt_max: dt starts log-uniform in this range.
    """

    def __init__(
        self, d_model: int, *, d_state: int = 16, expand: int = 2, dt_min: float = 1e-3, dt_max: float = 1e-1
    ) -> None:
        super().__init__(d_model)
        if d_state % 2:
            raise ValueError(f"d_state = {d_state} must be even: the state is made of conjugate pairs")
        self.d_state, self.d_inner = d_state, expand * d_model
        shape = (self.d_inner, d_state // 2)

        self.in_proj = Linear(d_model, 2 * self.d_inner, bias=False)
        self.out_proj = Linear(self.d_inner, d_model, bias=False)
        self.out_proj.residual_output = True  # type: ignore[assignment]

        self.log_dt = nn.Parameter(torch.empty(self.d_inner).uniform_(math.log(dt_min), math.log(dt_max)))
        self.log_A_real = nn.Parameter(torch.full(shape, math.log(0.5)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(shape[1], dtype=torch.float32).repeat(self.d_inner, 1))
        self.C = nn.Parameter(torch.randn(*shape, 2) * 0.5**0.5)  # real and imaginary part; B is 1, C absorbs it
        self.D = nn.Parameter(torch.ones(self.d_inner))
        for parameter in (self.log_dt, self.log_A_real, self.A_imag, self.C, self.D):
            parameter.no_weight_decay = True  # type: ignore[attr-defined]

    def _discretise(self) -> tuple[Tensor, Tensor, Tensor]:
        """dt A, B-bar = (exp(dt A) - 1) / A (ZOH, B = 1) and C, each (d_inner, d_state / 2), complex."""
        A = torch.complex(-torch.exp(self.log_A_real), self.A_imag)
        decay = A * torch.exp(self.log_dt).unsqueeze(-1)
        return decay, (torch.exp(decay) - 1) / A, torch.view_as_complex(self.C)

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        x, z = self.in_proj(x).chunk(2, dim=-1)
        decay, gain, C = self._discretise()
        length = x.shape[1]
        y = fft_convolution(x, diagonal_ssm_kernel(decay, C * gain, length))
        following = None
        if state is not None:
            steps = torch.arange(1, length + 1, device=x.device, dtype=decay.real.dtype)
            modes = complex_powers(decay, steps)  # (d_inner, pairs, length): what is left after 1 ... length
            y = y + 2 * torch.einsum("bdn,dnl->bld", C * state["ssm"], modes).real
            reach = complex_powers(decay, length - steps)
            arrived = torch.einsum("bld,dnl->bdn", x.to(reach.dtype), reach)
            following = {"ssm": torch.exp(decay * length) * state["ssm"] + gain * arrived}
        return self._gate(x, y, z), following

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        x, z = self.in_proj(x).chunk(2, dim=-1)
        decay, gain, C = self._discretise()
        ssm = torch.exp(decay) * state["ssm"] + gain * x.to(decay.real.dtype).unsqueeze(-1)
        return self._gate(x, 2 * (C * ssm).sum(-1).real, z), {"ssm": ssm}

    def _gate(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return self.out_proj((F.silu(y + self.D * x) * F.silu(z)).to(x.dtype))

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        shape = (batch, self.d_inner, self.d_state // 2)
        return {"ssm": torch.zeros(shape, device=device, dtype=torch.complex(self.D, self.D).dtype)}

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        """Over a sequence: projections, the kernel's matrix product, three real transforms of twice the length."""
        projections = linear_flops(batch * length, self.d_model, 3 * self.d_inner)
        kernel = 2 * self.d_inner * self.d_state * length
        return projections + kernel + (2 * batch + 1) * self.d_inner * real_fft_flops(2 * length)

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        return batch * self.d_inner * self.d_state * max(4, dtype.itemsize)


def real_fft_flops(size: int) -> int:
    """A real transform of `size` points: half of the usual 5 size log2(size) of a complex one, rounded."""
    return round(2.5 * size * math.log2(size))


MIXER = LTISSM
