"""S4: a structured state space with HiPPO's memory (Gu et al. 2022, arXiv 2111.00396).

Its A is diagonal plus one rank, which is what HiPPO-LegS becomes in a unitary basis (`systems.hippo`); the kernel comes
from its generating function (`kernels.nplr`). Around it stands the gated block of `lti_ssm`, so that S4, S4D and Mamba
differ in the state space alone.

Names, as in the paper: Lambda, P (the low rank), B, C on conjugate pairs, (d_inner, d_state / 2); dt, D per channel.
"""

import numpy as np
import torch
from torch import Tensor, nn

from seqscale.kernels.nplr import NPLR, krylov, nplr_dense, nplr_kernel, nplr_kernel_flops, nplr_step
from seqscale.mixers.lti_ssm import GatedLTI, eigenvalues, real_fft_flops
from seqscale.systems.channel import Channel
from seqscale.systems.hippo import normal_plus_low_rank


class S4(GatedLTI):
    """S4 with the NPLR kernel, bilinear discretisation.

    Args:
        d_state: real numbers of state per channel, that is d_state / 2 conjugate pairs; even.
        expand: d_inner / d_model.
        dt_min, dt_max: dt starts log-uniform in this range.
        init: "legs", HiPPO-LegS; or "random", a system of the same form that knows nothing of memory: eigenvalues as
            `lti_ssm.eigenvalues` draws them, P and B complex normal, as large as those of LegS on average.

    Raises:
        ValueError: an odd d_state or an unknown init.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 16,
        expand: int = 2,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        init: str = "legs",
    ) -> None:
        super().__init__(d_model, d_state, expand, dt_min, dt_max)
        shape = (self.d_inner, d_state // 2)
        Lambda, P, B, _ = (torch.from_numpy(a.astype(np.complex64)) for a in normal_plus_low_rank(d_state))
        if init == "random":
            Lambda = eigenvalues("random", *shape)
            P, B = (torch.randn(shape, dtype=torch.complex64) * v.abs().square().mean().sqrt() for v in (P, B))
        elif init != "legs":
            raise ValueError(f"unknown init {init!r}; choose from legs, random")
        self.log_A_real = nn.Parameter(torch.log(-Lambda.real).expand(shape).clone())
        self.A_imag = nn.Parameter(Lambda.imag.expand(shape).clone())
        self.P = nn.Parameter(torch.view_as_real(P.expand(shape)).clone())  # real and imaginary part
        self.B = nn.Parameter(torch.view_as_real(B.expand(shape)).clone())
        self.C = nn.Parameter(torch.randn(*shape, 2) * 0.5**0.5)
        self.D = nn.Parameter(torch.ones(self.d_inner))
        for parameter in (self.log_dt, self.log_A_real, self.A_imag, self.P, self.B, self.C, self.D):
            parameter.no_weight_decay = True  # type: ignore[attr-defined]

    def discrete(self) -> NPLR:
        Lambda = torch.complex(-torch.exp(self.log_A_real), self.A_imag)
        P, B, C = (torch.view_as_complex(v) for v in (self.P, self.B, self.C))
        return NPLR(Lambda, P, B, C, torch.exp(self.log_dt))

    def kernel(self, system: NPLR, length: int) -> Tensor:
        return nplr_kernel(system, length)

    def carried(self, system: NPLR, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        A, B, C = nplr_dense(system)
        length = x.shape[1]
        with torch.autocast(x.device.type, enabled=False):
            start = torch.cat([state.real, state.imag], dim=-1)
            seen = krylov(A.transpose(1, 2), C, length + 1)[:, 1:]  # C A-bar^l, l = 1 ... length
            added = torch.einsum("dln,bdn->bld", seen, start)
            arrived = torch.einsum("dln,bld->bdn", krylov(A, B, length), x.to(A.dtype).flip(1))
            # A-bar^length on the state, through its columns: one more vector for each of them would cost d_state times
            last = torch.einsum("dnm,bdm->bdn", torch.linalg.matrix_power(A, length), start) + arrived
        return added, torch.complex(*last.chunk(2, dim=-1))

    def advance(self, system: NPLR, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        ssm = nplr_step(system, state, x.to(system.dt.dtype))
        return 2 * (system.C * ssm).sum(-1).real, ssm

    def channel(self, index: int) -> Channel:
        with torch.no_grad():
            Lambda, P, B, C, dt = (v[index].cpu().numpy() for v in self.double_system())
        # on the whole spectrum [x, conj x] the low rank is [P, conj P] [P, conj P]^*
        return Channel.of_pairs(np.diag(Lambda), B, C, self.D[index].item(), float(dt), "bilinear", P)

    def double_system(self) -> NPLR:
        """The system of `discrete` in float64, computed in it from the parameters."""
        Lambda = torch.complex(-torch.exp(self.log_A_real.double()), self.A_imag.double())
        P, B, C = (torch.view_as_complex(v.double()) for v in (self.P, self.B, self.C))
        return NPLR(Lambda, P, B, C, torch.exp(self.log_dt.double()))

    def kernel_flops(self, length: int) -> int:
        return nplr_kernel_flops(self.d_inner, self.d_state, length) + self.d_inner * real_fft_flops(length)


MIXER = S4
