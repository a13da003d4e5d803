"""The time-invariant state space: how it starts, and that it is one."""

import math

import pytest
import torch
import torch.nn.functional as F

from seqscale.kernels import diagonal_ssm_reference
from seqscale.mixers.lti_ssm import LTISSM, real_fft_flops


def test_initialisation_is_s4d_lin() -> None:
    torch.manual_seed(0)
    mixer = LTISSM(32, d_state=16)
    decay, gain, C = mixer.discrete()
    dt = mixer.log_dt.exp()
    assert 1e-3 * 0.9999 <= dt.min() <= dt.max() <= 1e-1 * 1.0001
    A = decay / dt[:, None]
    torch.testing.assert_close(A.real, torch.full_like(A.real, -0.5))
    torch.testing.assert_close(A.imag, math.pi * torch.arange(8.0).repeat(64, 1))
    torch.testing.assert_close(gain, (torch.exp(decay) - 1) / A)
    assert C.abs().square().mean().item() == pytest.approx(1.0, rel=0.2)  # a standard complex normal
    assert torch.equal(mixer.D, torch.ones(64))
    exempt = {name for name, p in mixer.named_parameters() if getattr(p, "no_weight_decay", False)}
    assert exempt == {"log_dt", "log_A_real", "A_imag", "C", "D"}


def test_block_is_the_reference_recurrence_between_gates() -> None:
    torch.manual_seed(0)
    m = LTISSM(5, d_state=6, expand=2).double()
    x = torch.randn(2, 9, 5, dtype=torch.float64)
    inner, gate = F.linear(x, m.in_proj.weight).split(10, dim=-1)
    A = torch.complex(-m.log_A_real.exp(), m.A_imag)
    C = torch.view_as_complex(m.C)
    y, last = diagonal_ssm_reference(inner, A, torch.ones_like(A), C, m.log_dt.exp())
    expected = F.linear(F.silu(y + m.D * inner) * F.silu(gate), m.out_proj.weight)
    found, state = m(x, m.init_state(2, 9, x.device, x.dtype))
    torch.testing.assert_close(m(x), expected)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(state["ssm"], last)


def test_is_time_invariant() -> None:
    """The same input later gives the same output later."""
    torch.manual_seed(0)
    m = LTISSM(5, d_state=4).double()
    x = torch.randn(1, 9, 5, dtype=torch.float64)
    late = torch.cat([torch.zeros(1, 3, 5, dtype=torch.float64), x], dim=1)
    torch.testing.assert_close(m(late)[:, 3:], m(x))


def test_odd_state_is_refused() -> None:
    with pytest.raises(ValueError, match="d_state = 7 must be even"):
        LTISSM(8, d_state=7)


def test_transform_flops() -> None:
    assert real_fft_flops(1024) == 25_600  # 2.5 * 1024 * 10
