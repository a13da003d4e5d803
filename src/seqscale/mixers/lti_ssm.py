"""A linear time-invariant state space: diagonal and complex (S4D; Gu et al. 2022, arXiv 2206.11893).

What Mamba is without selection: the same gated block around a state space whose delta, B and C do not see the input.
Being time-invariant it is a convolution (FFT, O(length log length)) over a sequence and a recurrence for decoding.
"""

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqscale.kernels import complex_powers, diagonal_ssm_kernel, fft_convolution
from seqscale.mixers.base import Linear, Mixer, State, linear_flops
from seqscale.systems.channel import Channel
from seqscale.systems.hippo import normal_plus_low_rank


class GatedLTI(Mixer):
    """in_proj -> (x, z); x: a linear time-invariant system per channel, D skip, SiLU; times SiLU(z); out_proj.

    A subclass says what the system is: `discrete` (whatever its other functions want, computed once per call), its
    convolution kernel, what a state adds to the outputs, the state after a sequence, and one step.
    """

    D: nn.Parameter  # (d_inner,)

    def __init__(self, d_model: int, d_state: int, expand: int, dt_min: float, dt_max: float) -> None:
        super().__init__(d_model)
        if d_state % 2:
            raise ValueError(f"d_state = {d_state} must be even: the state is made of conjugate pairs")
        self.d_state, self.d_inner = d_state, expand * d_model
        self.in_proj = Linear(d_model, 2 * self.d_inner, bias=False)
        self.out_proj = Linear(self.d_inner, d_model, bias=False)
        self.out_proj.residual_output = True  # type: ignore[assignment]
        self.log_dt = nn.Parameter(torch.empty(self.d_inner).uniform_(math.log(dt_min), math.log(dt_max)))

    @abstractmethod
    def discrete(self) -> Any:
        """The system in discrete time."""

    @abstractmethod
    def kernel(self, system: Any, length: int) -> Tensor:
        """Its convolution kernel, (d_inner, length)."""

    @abstractmethod
    def carried(self, system: Any, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """What `state` (batch, d_inner, d_state / 2) adds to the outputs over x (batch, length, d_inner), like x; and
        the state after x."""

    @abstractmethod
    def advance(self, system: Any, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """One token x (batch, d_inner): its output, without the skip D x, and the next state."""

    @abstractmethod
    def channel(self, index: int) -> Channel:
        """Channel `index` of the inner width as a linear system of its own, for SciPy and for tests."""

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        x, z = self.in_proj(x).chunk(2, dim=-1)
        system = self.discrete()
        y = fft_convolution(x, self.kernel(system, x.shape[1]))
        following = None
        if state is not None:
            added, last = self.carried(system, state["ssm"], x)
            y, following = y + added, {"ssm": last}
        return self._gate(x, y, z), following

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        x, z = self.in_proj(x).chunk(2, dim=-1)
        y, ssm = self.advance(self.discrete(), state["ssm"], x)
        return self._gate(x, y, z), {"ssm": ssm}

    def _gate(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return self.out_proj((F.silu(y + self.D * x) * F.silu(z)).to(x.dtype))

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        shape = (batch, self.d_inner, self.d_state // 2)
        return {"ssm": torch.zeros(shape, device=device, dtype=torch.complex(self.D, self.D).dtype)}

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        """Over a sequence: projections, the kernel, three real transforms of twice the length."""
        projections = linear_flops(batch * length, self.d_model, 3 * self.d_inner)
        transforms = (2 * batch + 1) * self.d_inner * real_fft_flops(2 * length)
        return projections + self.kernel_flops(length) + transforms

    @abstractmethod
    def kernel_flops(self, length: int) -> int:
        """Operations of `kernel`, which the whole batch shares."""

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        return batch * self.d_inner * self.d_state * max(4, dtype.itemsize)


class LTISSM(GatedLTI):
    """S4D: a diagonal state space in Mamba's gated block.

    Args:
        d_state: real numbers of state per channel, that is d_state / 2 conjugate pairs; even.
        expand: d_inner / d_model.
        dt_min, dt_max: dt starts log-uniform in this range.
        init: where the eigenvalues start: "lin" -1/2 + i pi n (S4D-Lin), "inv" -1/2 + i N/pi (N/(2n + 1) - 1)
            (S4D-Inv), "legs" those of HiPPO-LegS without its low rank (S4D-LegS), or "random" (see `eigenvalues`).
        discretisation: "zoh" or "bilinear".

    Raises:
        ValueError: an odd d_state, an unknown init or discretisation.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 16,
        expand: int = 2,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        init: str = "lin",
        discretisation: str = "zoh",
    ) -> None:
        super().__init__(d_model, d_state, expand, dt_min, dt_max)
        if discretisation not in ("zoh", "bilinear"):
            raise ValueError(f"unknown discretisation {discretisation!r}; choose from zoh, bilinear")
        self.discretisation = discretisation
        shape = (self.d_inner, d_state // 2)
        A = eigenvalues(init, *shape)
        self.log_A_real = nn.Parameter(torch.log(-A.real))
        self.A_imag = nn.Parameter(A.imag.clone())
        self.C = nn.Parameter(torch.randn(*shape, 2) * 0.5**0.5)  # real and imaginary part; B is 1, C absorbs it
        self.D = nn.Parameter(torch.ones(self.d_inner))
        for parameter in (self.log_dt, self.log_A_real, self.A_imag, self.C, self.D):
            parameter.no_weight_decay = True  # type: ignore[attr-defined]

    def discrete(self) -> tuple[Tensor, Tensor, Tensor]:
        """log A-bar, B-bar (B = 1) and C, each (d_inner, d_state / 2), complex.

        zoh: A-bar = exp(dt A), B-bar = (A-bar - 1) / A. bilinear: A-bar = (1 + dt A / 2) / (1 - dt A / 2),
        B-bar = dt / (1 - dt A / 2).
        """
        A = torch.complex(-torch.exp(self.log_A_real), self.A_imag)
        dt = torch.exp(self.log_dt).unsqueeze(-1)
        if self.discretisation == "zoh":
            decay = A * dt
            gain = (torch.exp(decay) - 1) / A
        else:
            half = A * dt / 2
            decay, gain = torch.log1p(half) - torch.log1p(-half), dt / (1 - half)
        return decay, gain, torch.view_as_complex(self.C)

    def kernel(self, system: tuple[Tensor, Tensor, Tensor], length: int) -> Tensor:
        decay, gain, C = system
        return diagonal_ssm_kernel(decay, C * gain, length)

    def carried(self, system: tuple[Tensor, Tensor, Tensor], state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        decay, gain, C = system
        length = x.shape[1]
        steps = torch.arange(1, length + 1, device=x.device, dtype=decay.real.dtype)
        modes = complex_powers(decay, steps)  # (d_inner, pairs, length): what is left after 1 ... length
        added = 2 * torch.einsum("bdn,dnl->bld", C * state, modes).real
        reach = complex_powers(decay, length - steps)
        arrived = torch.einsum("bld,dnl->bdn", x.to(reach.dtype), reach)
        return added, torch.exp(decay * length) * state + gain * arrived

    def advance(self, system: tuple[Tensor, Tensor, Tensor], state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        decay, gain, C = system
        ssm = torch.exp(decay) * state + gain * x.to(decay.real.dtype).unsqueeze(-1)
        return 2 * (C * ssm).sum(-1).real, ssm

    def channel(self, index: int) -> Channel:
        with torch.no_grad():
            A = torch.complex(-torch.exp(self.log_A_real[index].double()), self.A_imag[index].double()).cpu().numpy()
            C = torch.view_as_complex(self.C[index].double()).cpu().numpy()
            dt, D = self.log_dt[index].double().exp().item(), self.D[index].item()
        return Channel.of_pairs(np.diag(A), np.ones(len(A)), C, D, dt, self.discretisation)

    def kernel_flops(self, length: int) -> int:
        return 2 * self.d_inner * self.d_state * length


def eigenvalues(init: str, channels: int, pairs: int) -> Tensor:
    """Eigenvalues to start from, (channels, pairs), complex64, of positive imaginary part.

    "random" knows nothing of memory: real parts uniform in -(0, 1), imaginary ones log-normal.

    Raises:
        ValueError: an unknown name.
    """
    n, d_state = torch.arange(pairs, dtype=torch.float32), 2 * pairs
    if init == "random":
        return torch.complex(-torch.rand(channels, pairs).clamp(min=1e-3), torch.randn(channels, pairs).exp())
    if init == "lin":
        imaginary = math.pi * n
    elif init == "inv":
        imaginary = d_state / math.pi * (d_state / (2 * n + 1) - 1)
    elif init == "legs":
        imaginary = torch.from_numpy(normal_plus_low_rank(d_state)[0].imag).float()
    else:
        raise ValueError(f"unknown init {init!r}; choose from lin, inv, legs, random")
    return torch.complex(torch.full_like(imaginary, -0.5), imaginary).repeat(channels, 1)


def real_fft_flops(size: int) -> int:
    """A real transform of `size` points: half of the usual 5 size log2(size) of a complex one, rounded."""
    return round(2.5 * size * math.log2(size))


MIXER = LTISSM
