"""Mamba-2's block: how it starts, and that it is the block of the paper."""

import pytest
import torch
import torch.nn.functional as F

from seqscale.kernels import causal_conv1d_reference, selective_scan_reference
from seqscale.mixers.mamba2 import Mamba2


def test_initialisation_is_the_papers() -> None:
    torch.manual_seed(0)
    m = Mamba2(64, d_head=1)
    A, dt = m.A_log.exp(), F.softplus(m.dt_bias)
    assert 1 <= A.min() <= A.max() <= 16
    assert 1e-3 * 0.999 <= dt.min() <= dt.max() <= 1e-1 * 1.001
    assert torch.equal(m.D, torch.ones(128))
    exempt = {name for name, p in m.named_parameters() if getattr(p, "no_weight_decay", False)}
    assert exempt == {"A_log", "D", "dt_bias"}


@pytest.mark.parametrize("n_groups", [1, 2])
def test_block_is_figure_6_of_the_paper(n_groups: int) -> None:
    """Written out once more with the reference kernels in float64: heads are channels with the same dt and A."""
    torch.manual_seed(0)
    m = Mamba2(6, d_state=3, d_head=3, n_groups=n_groups, chunk=4).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    z, xBC, dt = F.linear(x, m.in_proj.weight).split([12, 12 + 6 * n_groups, 4], dim=-1)
    xBC = F.silu(causal_conv1d_reference(xBC, m.conv.weight[:, 0], m.conv.bias))
    values, B, C = xBC.split([12, 3 * n_groups, 3 * n_groups], dim=-1)
    delta = F.softplus(dt + m.dt_bias).repeat_interleave(3, dim=-1)
    A = -m.A_log.exp().repeat_interleave(3)[:, None].expand(-1, 3)
    groups = (n_groups, 3)
    y, _ = selective_scan_reference(values, delta, A, B.unflatten(-1, groups), C.unflatten(-1, groups))
    y = (y + m.D.repeat_interleave(3) * values) * F.silu(z)
    y = y.unflatten(-1, (n_groups, -1))  # each group has a norm of its own
    y = (y / (y.square().mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()).flatten(-2) * m.norm.weight
    torch.testing.assert_close(m(x), F.linear(y, m.out_proj.weight))


def test_chunks_change_nothing() -> None:
    x = torch.randn(2, 37, 8, dtype=torch.float64)
    outputs = []
    for chunk in (1, 5, 64):
        torch.manual_seed(0)
        outputs.append(Mamba2(8, d_head=4, d_state=6, chunk=chunk).double()(x))
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(outputs[2], outputs[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"d_head": 7}, "d_head = 7 does not divide"),
        ({"d_head": 8, "n_groups": 3}, "n_groups = 3 does not divide the 2"),
    ],
    ids=["heads", "groups"],
)
def test_impossible_sizes_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Mamba2(8, **options)
