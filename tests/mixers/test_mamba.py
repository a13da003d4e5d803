"""How Mamba starts, and that it is the block of the paper."""

import math

import pytest
import torch
import torch.nn.functional as F

from seqscale.kernels import causal_conv1d_reference, selective_scan_reference
from seqscale.mixers.mamba import Mamba


def test_initialisation_is_the_papers() -> None:
    torch.manual_seed(0)
    mixer = Mamba(64, d_state=16)
    A = -torch.exp(mixer.A_log)
    torch.testing.assert_close(A, -torch.arange(1.0, 17.0).repeat(128, 1))
    assert torch.equal(mixer.D, torch.ones(128))
    dt = F.softplus(mixer.dt_proj.bias)
    assert dt.min() >= 1e-3 * (1 - 1e-4)
    assert dt.max() <= 1e-1 * (1 + 1e-4)
    # log-uniform: a third of the values in each third of the range, on a logarithmic scale
    thirds = torch.histc(dt.log(), 3, math.log(1e-3), math.log(1e-1))
    assert thirds.min() > 128 / 3 * 0.6
    assert mixer.dt_proj.weight.abs().max() <= mixer.dt_rank**-0.5
    assert [name for name, p in mixer.named_parameters() if getattr(p, "no_weight_decay", False)] == [
        "A_log",
        "D",
        "dt_proj.bias",
    ]


@pytest.mark.parametrize(("d_model", "given", "rank"), [(64, 0, 4), (65, 0, 5), (8, 0, 1), (64, 3, 3)])
def test_rank_of_delta(d_model: int, given: int, rank: int) -> None:
    assert Mamba(d_model, dt_rank=given).dt_rank == rank


def test_dt_range_is_an_option() -> None:
    dt = F.softplus(Mamba(16, dt_min=0.5, dt_max=0.6).dt_proj.bias)
    assert 0.4999 < dt.min() <= dt.max() < 0.6001


def test_block_is_figure_3_of_the_paper() -> None:
    """Written out once more, from the paper, with the reference kernels in float64."""
    torch.manual_seed(0)
    m = Mamba(6, d_state=3, d_conv=4, expand=2).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    inner, gate = F.linear(x, m.in_proj.weight).split(12, dim=-1)
    inner = F.silu(causal_conv1d_reference(inner, m.conv.weight[:, 0], m.conv.bias))
    projected = F.linear(inner, m.x_proj.weight)
    delta = F.softplus(F.linear(projected[..., : m.dt_rank], m.dt_proj.weight, m.dt_proj.bias))
    B, C = projected[..., m.dt_rank :].split(3, dim=-1)
    y = selective_scan_reference(inner, delta, -torch.exp(m.A_log), B, C)[0] + m.D * inner
    torch.testing.assert_close(m(x), F.linear(y * F.silu(gate), m.out_proj.weight))


def test_is_selective() -> None:
    """Not time-invariant: what a token leaves behind depends on the tokens between. Doubling x does not double y."""
    torch.manual_seed(0)
    m = Mamba(6, d_state=3).double()
    x = torch.randn(1, 9, 6, dtype=torch.float64)
    assert not torch.allclose(m(2 * x), 2 * m(x), rtol=0.1)
