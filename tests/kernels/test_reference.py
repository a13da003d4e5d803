"""The definitions themselves: by hand, and by finite differences."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scan_cases import OPTIONS, Case, make
from torch import Tensor

from seqscale.kernels import causal_conv1d_reference, selective_scan_reference

F64 = torch.float64


def column(*x: float) -> Tensor:
    return torch.tensor(x, dtype=F64).reshape(1, -1, 1)


def test_one_channel_by_hand() -> None:
    """h_1 = e^-1 * 4 + 1 * 2 * 3, y_1 = 5 h_1; h_2 = e^-2 h_1 + 2 * 1 * -1, y_2 = h_2."""
    A, start = torch.tensor([[-1.0]], dtype=F64), torch.tensor([[[4.0]]], dtype=F64)
    u, delta = column(3.0, -1.0), column(1.0, 2.0)
    y, last = selective_scan_reference(u, delta, A, column(2, 1), column(5, 1), initial_state=start)
    h1 = math.exp(-1) * 4 + 6
    h2 = math.exp(-2) * h1 - 2
    torch.testing.assert_close(y, column(5 * h1, h2))
    torch.testing.assert_close(last, column(h2))


def test_options_by_hand() -> None:
    """One token: delta' = log(1 + e^(0.5 + 0.25)), h = delta' B u, y = (C h + D u) z / (1 + e^-z)."""
    one = torch.tensor([1.0], dtype=F64)
    arguments: dict[str, Any] = {"D": 0.5 * one, "z": column(3), "delta_bias": 0.25 * one, "delta_softplus": True}
    y, last = selective_scan_reference(column(2), column(0.5), -one[None], column(3), column(7), **arguments)
    step = math.log1p(math.exp(0.75))
    assert last.item() == pytest.approx(step * 6)
    assert y.item() == pytest.approx((7 * step * 6 + 0.5 * 2) * 3 / (1 + math.exp(-3)))


def test_groups_and_packing_by_hand() -> None:
    """Channels 0 and 1 read the first group, 2 and 3 the second; the state starts anew at token 2."""
    u, delta = torch.ones(1, 3, 4, dtype=F64), torch.ones(1, 3, 4, dtype=F64)
    A = torch.zeros(4, 1, dtype=F64)
    B = torch.tensor([1.0, 10.0], dtype=F64).reshape(1, 1, 2, 1).expand(1, 3, 2, 1)
    y, last = selective_scan_reference(u, delta, A, B, torch.ones_like(B), cu_seqlens=torch.tensor([0, 2, 2, 3]))
    assert y[0, :, 0].tolist() == y[0, :, 1].tolist() == [1, 2, 1]
    assert y[0, :, 3].tolist() == [10, 20, 10]
    assert last[:, 2, 0].tolist() == [20, 0, 10]


@pytest.mark.parametrize("name", ["all", "all-packed"])
def test_scan_gradients(name: str) -> None:
    case = Case("float64", 2, 5, **(OPTIONS[name] | {"mixed": False}))
    values = make(case)
    free = {k: v for k, v in values.items() if isinstance(v, Tensor) and v.requires_grad}

    def both(*v: Tensor) -> Any:
        return selective_scan_reference(**(values | dict(zip(free, v, strict=True))))

    assert torch.autograd.gradcheck(both, list(free.values()), fast_mode=True)
    assert torch.autograd.gradgradcheck(both, list(free.values()), fast_mode=True)


@pytest.mark.parametrize("cu_seqlens", [None, torch.tensor([0, 0, 1, 3, 7])], ids=["whole", "packed"])
def test_convolution_is_pytorchs_on_each_sequence(cu_seqlens: Tensor | None) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(1, 7, 3, dtype=F64), torch.randn(3, 4, dtype=F64), torch.randn(3, dtype=F64)
    ends = [0, 7] if cu_seqlens is None else cu_seqlens.tolist()
    state = torch.randn(len(ends) - 1, 3, 3, dtype=F64)
    found = causal_conv1d_reference(x, weight, bias, state, "silu", cu_seqlens)
    for s, (begin, end) in enumerate(pairwise(ends)):
        padded = torch.cat([state[s : s + 1], x[:, begin:end]], dim=1).transpose(1, 2)
        if end > begin:
            expected = F.silu(F.conv1d(padded, weight[:, None], bias, groups=3)).transpose(1, 2)
            torch.testing.assert_close(found[:, begin:end], expected)
