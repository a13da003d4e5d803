"""Mamba's switches: each of the eight selections, the convolution, the gate and A's start do what they say."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from seqscale.kernels import causal_conv1d_reference, selective_scan_reference
from seqscale.kernels.cpu import decode
from seqscale.mixers.mamba import Mamba

F64 = torch.float64
EIGHT = [
    pytest.param(*flags, id="".join(n for n, f in zip("dBC", flags, strict=True) if f) or "none")
    for flags in itertools.product((False, True), repeat=3)
]


def make(**options: bool | str) -> Mamba:
    torch.manual_seed(0)
    return Mamba(6, d_state=3, **options).double()  # type: ignore[arg-type]


def by_hand(m: Mamba, x: Tensor) -> Tensor:
    """The block with reference kernels; a constant B or C is one per channel (algorithm 1 of the paper)."""
    inner, *gate = F.linear(x, m.in_proj.weight).split(12, dim=-1)
    if m.conv is not None:
        inner = causal_conv1d_reference(inner, m.conv.weight[:, 0], m.conv.bias)
    inner = F.silu(inner)
    parts = list((F.linear(inner, m.x_proj.weight) if m.x_proj is not None else inner[..., :0]).split(m.projected, -1))
    if m.dt_proj is None:
        delta = F.softplus(m.dt_bias).expand(inner.shape)
    else:
        delta = F.softplus(F.linear(parts[0], m.dt_proj.weight, m.dt_proj.bias))
    shape = (*inner.shape, 3)
    B, C = (
        p.unsqueeze(-2).expand(shape) if p.shape[-1] else m.get_parameter(name).expand(shape)
        for name, p in zip("BC", parts[1:], strict=True)
    )
    y = selective_scan_reference(inner, delta, -torch.exp(m.A_log), B, C)[0] + m.D * inner
    return F.linear(y * F.silu(gate[0]) if gate else y, m.out_proj.weight)


@pytest.mark.parametrize(("delta", "b", "c"), EIGHT)
def test_the_eight_selections(delta: bool, b: bool, c: bool) -> None:
    m = make(selective_delta=delta, selective_b=b, selective_c=c)
    x = torch.randn(2, 9, 6, dtype=F64)
    torch.testing.assert_close(m(x), by_hand(m, x))


@pytest.mark.parametrize(("conv", "gate"), [(False, True), (True, False), (False, False)])
def test_without_convolution_or_gate(conv: bool, gate: bool) -> None:
    m = make(conv=conv, gate=gate)
    x = torch.randn(2, 9, 6, dtype=F64)
    torch.testing.assert_close(m(x), by_hand(m, x))
    assert ("conv" in m.init_state(1, 1, x.device, F64)) == conv
    assert m.in_proj.out_features == (24 if gate else 12)


@pytest.mark.parametrize(("delta", "b", "c"), EIGHT)
def test_what_is_switched_off_does_not_see_the_input(delta: bool, b: bool, c: bool) -> None:
    """delta, B and C as the scan gets them, at two tokens of different content."""
    m = make(selective_delta=delta, selective_b=b, selective_c=c)
    x = torch.randn(1, 2, 12, dtype=F64)
    for part, selective in zip(m._select(x)[:3], (delta, b, c), strict=True):
        assert torch.allclose(part[:, 0], part[:, 1]) == (not selective)


def test_none_of_them_is_linear_and_time_invariant_but_for_its_activations() -> None:
    """The scan alone is then a convolution: twice the input, later, is twice the output, later."""
    m = make(selective_delta=False, selective_b=False, selective_c=False)
    u = torch.randn(1, 9, 12, dtype=F64)
    late = torch.cat([torch.zeros(1, 4, 12, dtype=F64), 2 * u], dim=1)

    def scan(u: Tensor) -> Tensor:
        delta, B, C, A = m._select(u)
        return selective_scan_reference(u, F.softplus(delta + m.dt_bias), A, B, C)[0]

    torch.testing.assert_close(scan(late)[:, 4:], 2 * scan(u))


@pytest.mark.parametrize(("delta", "b", "c"), EIGHT)
def test_a_fixed_matrix_is_as_large_as_the_projection_it_replaces(delta: bool, b: bool, c: bool) -> None:
    def count(m: Mamba) -> int:
        return sum(p.numel() for p in m.parameters())

    rank = 0 if delta else 2 * 12 * 1  # of delta's two projections; d_model 6 has dt_rank 1
    assert count(make(selective_delta=delta, selective_b=b, selective_c=c)) == count(make()) - rank


@pytest.mark.parametrize("off", ["selective_delta", "selective_b", "selective_c", "conv", "gate"])
def test_the_native_step_is_for_the_whole_block_alone(off: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "mamba_step", lambda *_: pytest.fail("the native step does not know this variant"))
    m = make(**{off: False}).float()
    assert m.native is None
    with torch.inference_mode():
        x = torch.randn(1, 5, 6)
        whole, state, steps = m(x), m.init_state(1, 5, x.device, x.dtype), []
        for t in range(5):
            y, state = m.step(x[:, t], state)
            steps.append(y)
    torch.testing.assert_close(torch.stack(steps, dim=1), whole, rtol=1e-5, atol=1e-6)


def test_starts_of_A() -> None:
    assert torch.allclose(-make(a_init="lin").A_log.exp()[5], torch.tensor([-1.0, -2.0, -3.0], dtype=F64))
    assert torch.allclose(make(a_init="constant").A_log.exp(), torch.tensor(0.5, dtype=F64))
    torch.manual_seed(0)
    A_log = Mamba(8, d_state=500, a_init="random").A_log
    assert abs(A_log.mean()) < 0.2
    assert 0.9 < A_log.std() < 1.1
    with pytest.raises(ValueError, match="unknown a_init 'lim'; choose from lin, constant, random"):
        make(a_init="lim")
