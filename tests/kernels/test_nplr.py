"""S4's kernel: generating function, dense power series and recurrence are one thing."""

import numpy as np
import pytest
import torch
from torch import Tensor

from seqscale.kernels import fft_convolution
from seqscale.kernels.nplr import NPLR, krylov, nplr_dense, nplr_kernel, nplr_step
from seqscale.systems.hippo import normal_plus_low_rank

F64 = torch.float64


def hippo(d_state: int, channels: int = 3, dtype: torch.dtype = torch.complex128) -> NPLR:
    torch.manual_seed(0)
    shape = (channels, d_state // 2)
    Lambda, P, B, _ = (torch.from_numpy(a) for a in normal_plus_low_rank(d_state))
    C = torch.randn(shape, dtype=torch.complex128)
    dt = torch.logspace(-3, -1, channels, dtype=F64)
    system = NPLR(*(v.expand(shape) for v in (Lambda, P, B)), C, dt)
    return NPLR(*(v.to(dtype) for v in system[:4]), dt.to(torch.empty(0, dtype=dtype).real.dtype))


def random(channels: int = 4, pairs: int = 5) -> NPLR:
    torch.manual_seed(1)
    P, B, C = torch.randn(3, channels, pairs, dtype=torch.complex128).unbind()
    Lambda = torch.complex(-torch.rand(channels, pairs, dtype=F64), 3 * torch.randn(channels, pairs, dtype=F64))
    return NPLR(Lambda, P, B, C, torch.rand(channels, dtype=F64))


def power_series(system: NPLR, length: int) -> Tensor:
    """The definition: C A-bar^l B-bar, one l after the other, A-bar from solving dense equations."""
    kernels = []
    for Lambda, P, B, C, dt in zip(*(np.asarray(v) for v in system), strict=True):
        full = np.diag(np.concatenate([Lambda, Lambda.conj()])).astype(complex)
        p, b = (np.concatenate([v, v.conj()]) for v in (P, B))
        full -= np.outer(p, p.conj())
        identity = np.eye(len(full))
        step = np.linalg.solve(identity - dt / 2 * full, identity + dt / 2 * full)
        x, out = np.linalg.solve(identity - dt / 2 * full, dt * b), []
        for _ in range(length):
            out.append((np.concatenate([C, C.conj()]) @ x).real)
            x = step @ x
        kernels.append(out)
    return torch.tensor(np.array(kernels))


@pytest.mark.parametrize("length", [1, 2, 3, 16, 63, 200])
@pytest.mark.parametrize("system", [hippo(8), hippo(64), random()], ids=["legs-8", "legs-64", "random"])
def test_kernel_is_the_power_series(system: NPLR, length: int) -> None:
    """To 1e-10 of the largest value, in float64: even and odd lengths, z = 1 and z = -1 among the nodes."""
    expected = power_series(system, length)
    found = nplr_kernel(system, length)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


@pytest.mark.parametrize("length", [128, 1024])
def test_kernel_in_float32(length: int, device: torch.device) -> None:
    """To 1e-4 of the largest value with HiPPO-LegS at d_state 64, whose frequencies reach the hundreds."""
    expected = nplr_kernel(hippo(64), length)
    system = hippo(64, dtype=torch.complex64)
    found = nplr_kernel(NPLR(*(v.to(device) for v in system)), length)
    assert found.dtype == torch.float32
    assert (found.cpu() - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("system", [hippo(16), random()], ids=["legs", "random"])
def test_convolution_is_the_recurrence(system: NPLR) -> None:
    torch.manual_seed(2)
    x = torch.randn(2, 40, len(system.dt), dtype=F64)
    y = fft_convolution(x, nplr_kernel(system, 40))
    state, outputs = torch.zeros(2, *system.Lambda.shape, dtype=torch.complex128), []
    for t in range(40):
        state = nplr_step(system, state, x[:, t])
        outputs.append(2 * (system.C * state).sum(-1).real)
    torch.testing.assert_close(torch.stack(outputs, dim=1), y, rtol=0, atol=1e-10 * y.abs().max().item())


def test_dense_form_is_the_step() -> None:
    system = random()
    A, B, C = nplr_dense(system)
    torch.manual_seed(2)
    x, u = torch.randn(3, *system.Lambda.shape, dtype=torch.complex128), torch.randn(3, len(system.dt), dtype=F64)
    real = torch.cat([x.real, x.imag], dim=-1)
    following = torch.einsum("cnm,bcm->bcn", A, real) + B * u.unsqueeze(-1)
    expected = nplr_step(system, x, u)
    torch.testing.assert_close(following, torch.cat([expected.real, expected.imag], dim=-1))
    torch.testing.assert_close(torch.einsum("cn,bcn->bc", C, real), 2 * (system.C * x).sum(-1).real)


def test_a_step_never_enlarges_a_state() -> None:
    """Lambda - P P^* is dissipative and the bilinear rule keeps that: what may be learned cannot blow up."""
    A, _, _ = nplr_dense(random())
    assert torch.linalg.matrix_norm(A, ord=2).max() <= 1 + 1e-12


@pytest.mark.parametrize("length", [1, 2, 7, 16])
def test_krylov(length: int) -> None:
    torch.manual_seed(0)
    matrix, vector = torch.randn(2, 3, 3, dtype=F64), torch.randn(2, 3, dtype=F64)
    expected = torch.stack([torch.linalg.matrix_power(matrix, p) @ vector.unsqueeze(-1) for p in range(length)], dim=1)
    torch.testing.assert_close(krylov(matrix, vector, length), expected.squeeze(-1))


def test_gradients() -> None:
    system = random(channels=2, pairs=2)
    inputs = [v.clone().requires_grad_() for v in system]
    assert torch.autograd.gradcheck(lambda *v: nplr_kernel(NPLR(*v), 9), inputs)
