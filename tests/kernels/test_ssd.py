"""The chunked form of SSD is the recurrence, in float64, whatever the chunks."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seqscale.kernels import selective_scan
from seqscale.kernels.ssd import CARRIED, ssd, ssd_flops

F64 = torch.float64


def inputs(length: int, heads: int = 4, groups: int = 2, dtype: torch.dtype = F64) -> dict[str, Tensor]:
    torch.manual_seed(0)
    shape = {"x": (2, length, heads, 3), "dt": (2, length, heads), "B": (2, length, groups, 5), "D": (heads,)}
    made = {name: torch.randn(size, dtype=dtype) for name, size in {**shape, "C": shape["B"]}.items()}
    made["initial_state"] = torch.randn(2, heads, 3, 5, dtype=dtype)
    return {**made, "dt": made["dt"].abs(), "A": -torch.rand(heads, dtype=dtype) - 0.1}


def recurrence(x, dt, A, B, C, D=None, initial_state=None):  # type: ignore[no-untyped-def]
    """Token by token, head by head: the definition at the head of kernels/ssd.py."""
    batch, length, heads, d_head = x.shape
    per_group, y = heads // B.shape[2], torch.zeros_like(x)
    last = (
        torch.zeros(batch, heads, d_head, B.shape[3], dtype=x.dtype) if initial_state is None else initial_state.clone()
    )
    for t in range(length):
        for h in range(heads):
            b, c = B[:, t, h // per_group], C[:, t, h // per_group]
            added = (dt[:, t, h, None] * x[:, t, h]).unsqueeze(-1) * b.unsqueeze(1)
            last[:, h] = torch.exp(dt[:, t, h] * A[h])[:, None, None] * last[:, h] + added
            y[:, t, h] = (last[:, h] @ c.unsqueeze(-1)).squeeze(-1) + (0 if D is None else D[h] * x[:, t, h])
    return y, last


@pytest.mark.parametrize("length", [1, 2, 7, 8, 21])
@pytest.mark.parametrize("chunk", [1, 3, 8, 64])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_chunks_are_the_recurrence(length: int, chunk: int, groups: int) -> None:
    given = inputs(length, groups=groups)
    for some in (given, {k: v for k, v in given.items() if k not in ("D", "initial_state")}):
        torch.testing.assert_close(ssd(**some, chunk=chunk), recurrence(**some), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("length", [CARRIED + 1, 2 * CARRIED, 3 * CARRIED + 5])
def test_states_carried_in_blocks(length: int) -> None:
    """More chunks than one product carries: chunks of one token make that cheap."""
    given = inputs(length, heads=2)
    torch.testing.assert_close(ssd(**given, chunk=1), ssd(**given, chunk=64), rtol=1e-10, atol=1e-10)


def test_is_the_selective_scan_with_one_decay_per_head() -> None:
    given = inputs(30, groups=1)
    D, x = given["D"].repeat_interleave(3), given["x"].flatten(2)
    dt, A = given["dt"].repeat_interleave(3, dim=2), given["A"].repeat_interleave(3)[:, None].expand(-1, 5)
    y, last = selective_scan(
        x, dt, A, given["B"], given["C"], D, initial_state=given["initial_state"].flatten(1, 2), return_last_state=True
    )
    found, found_last = ssd(**given, chunk=8)
    torch.testing.assert_close(found.flatten(2), y)
    torch.testing.assert_close(found_last.flatten(1, 2), last)


def test_gradients() -> None:
    given = {name: t.requires_grad_() for name, t in inputs(6, heads=2, groups=1).items()}
    names = list(given)
    assert torch.autograd.gradcheck(lambda *v: ssd(**dict(zip(names, v, strict=True)), chunk=4), tuple(given.values()))


def test_fast_decay_neither_overflows_nor_loses_gradients() -> None:
    """exp(decay_i - decay_j) above the diagonal would be infinite, and its gradient 0 times infinity."""
    given = inputs(64, dtype=torch.float32)
    given["A"] = torch.full((4,), -1e3)
    given = {name: t.requires_grad_() for name, t in given.items()}
    y, last = ssd(**given)
    (y.sum() + last.sum()).backward()
    assert all(t.grad is not None and t.grad.isfinite().all() for t in given.values())


@pytest.mark.parametrize("length", [1, 5, 8, 21, 2 * CARRIED + 3])
@pytest.mark.parametrize("chunk", [1, 8])
def test_flops_are_what_pytorch_counts(length: int, chunk: int) -> None:
    given = inputs(length)
    with FlopCounterMode(display=False) as counter:
        ssd(**given, chunk=chunk)
    assert counter.get_total_flops() == ssd_flops(2, length, 4, 3, 2, 5, chunk)


def test_half_precision_keeps_its_state_in_float32(device: torch.device) -> None:
    given = {name: t.to(device) for name, t in inputs(100, dtype=torch.float32).items()}
    expected, expected_last = ssd(**given)
    low = {name: t.bfloat16() if name in ("x", "B", "C") else t for name, t in given.items()}
    y, last = ssd(**low)
    assert y.dtype == torch.bfloat16
    assert last.dtype == torch.float32
    assert (y - expected).abs().max() <= 0.03 * expected.abs().max()
    assert (last - expected_last).abs().max() <= 0.03 * expected_last.abs().max()
