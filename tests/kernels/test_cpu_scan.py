"""What is the native scan's own: vector widths, edges of tiles and blocks, threads, extreme values, the thread's modes.

That it computes the right thing in all combinations of options is test_scan_grid's to say.
"""

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch
from cpu_isas import isa
from scan_cases import Case, check, make, results
from torch import Tensor

from seqscale.kernels import selective_scan, selective_scan_reference
from seqscale.kernels.cpu import build
from seqscale.kernels.cpu.scan import saved_shape, scan_backward, scan_forward

__all__ = ["isa"]

pytestmark = pytest.mark.skipif(not build.available(), reason=f"no native library: {build.reason()}")
FULL = {"step": "both", "D": True, "z": True, "initial_state": True, "last_state": True}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def inputs(batch: int, length: int, d_inner: int, d_state: int, groups: int = 1) -> dict[str, Any]:
    """Arguments of `scan_forward` but for `save`, in their order."""
    return {
        "u": normal(batch, length, d_inner, seed=1),
        "delta": normal(batch, length, d_inner, seed=2) - 1,
        "A": -torch.exp(normal(d_inner, d_state, seed=3)),
        "B": normal(batch, length, groups, d_state, seed=4),
        "C": normal(batch, length, groups, d_state, seed=5),
        "D": normal(d_inner, seed=6),
        "z": normal(batch, length, d_inner, seed=7),
        "delta_bias": normal(d_inner, seed=8),
        "initial_state": normal(batch, d_inner, d_state, seed=9),
        "cu_seqlens": None,
        "delta_softplus": True,
    }


def everything(values: dict[str, Any], dout: Tensor, dlast: Tensor | None = None) -> list[Tensor]:
    """Results of forward and backward, in their order."""
    y, last, saved = scan_forward(*values.values(), True)
    found = scan_backward(dout, dlast, *values.values(), saved)
    return [y, last, *(t for t in found if t is not None)]


@pytest.mark.parametrize("d_state", [1, 3, 16, 21])
@pytest.mark.parametrize("length", [1, 31, 33, 64])
def test_every_width_of_vectors_and_every_edge(isa: str, length: int, d_state: int) -> None:
    case = Case(length=length, d_state=d_state, width="wide", groups=3, rows=2, **FULL)  # 24 channels in a group
    check(case, make(case), "cpu")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_at_every_width_of_vectors(isa: str, dtype: str) -> None:
    case = Case(dtype=dtype, length=40, width="wide", **FULL)
    check(case, make(case), "cpu")


@pytest.mark.parametrize("d_inner", [1, 4, 15, 16, 17, 300])
def test_any_number_of_channels(d_inner: int) -> None:
    values = inputs(2, 40, d_inner, 5)
    y, last, _ = scan_forward(*values.values(), False)
    expected, expected_last = selective_scan_reference(**values)
    assert (y - expected).norm() <= 1e-6 * expected.norm()
    assert (last - expected_last).norm() <= 1e-6 * expected_last.norm()


@pytest.mark.parametrize("shape", [(3, 70, 40, 5, 1), (1, 200, 300, 16, 2), (40, 33, 16, 4, 1)], ids=str)
def test_same_bits_for_any_number_of_threads_and_every_time(shape: tuple[int, ...]) -> None:
    values = inputs(*shape)
    dout, dlast = normal(*shape[:3], seed=10), normal(shape[0], *shape[2:4], seed=11)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 1, 2, 3):
            torch.set_num_threads(threads)
            found.append(everything(values, dout, dlast))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_packed_is_the_same_bits_as_apart() -> None:
    """A sequence's tiles start where it starts, wherever it lies."""
    values = inputs(1, 100, 20, 5)
    ends = torch.tensor([0, 7, 7, 72, 100], dtype=torch.int32)
    packed = values | {"cu_seqlens": ends, "initial_state": normal(4, 20, 5, seed=9)}
    y, last, _ = scan_forward(*packed.values(), False)
    for s, (begin, end) in enumerate(zip(ends.tolist(), ends.tolist()[1:], strict=False)):
        alone = {k: v[:, begin:end] if k in ("u", "delta", "B", "C", "z") else v for k, v in values.items()}
        alone["initial_state"] = packed["initial_state"][s : s + 1]
        one, one_last, _ = scan_forward(*alone.values(), False)
        assert torch.equal(y[:, begin:end], one)
        assert torch.equal(last[s], one_last[0])


@pytest.mark.parametrize("ends", [[0, 31], [0, 32], [0, 33], [0, 0, 64], [0, 1, 2, 3], [0, 50, 50, 97]], ids=str)
def test_room_for_saved_states(ends: list[int]) -> None:
    """The formula that shapes are told by before anything runs is enough for any packing."""
    length, sequences = ends[-1], len(ends) - 1
    needed = sum(-(-(b - a) // build.TILE) for a, b in itertools.pairwise(ends))
    assert saved_shape(1, length, 3, 5, sequences, True)[0] >= needed
    assert saved_shape(1, length, 3, 5, None, True)[0] == -(-length // build.TILE)
    assert saved_shape(1, length, 3, 5, sequences, False) == (0,)
    values = inputs(1, length, 3, 5) | {"cu_seqlens": torch.tensor(ends), "initial_state": None}
    assert all(t.isfinite().all() for t in everything(values, normal(1, length, 3)))


@pytest.mark.parametrize("A", [-1e-7, -1.0, -1e4], ids=str)
@pytest.mark.parametrize("delta", [0.0, 1e-3, 50.0], ids=str)
def test_extreme_steps_and_decays(isa: str, delta: float, A: float) -> None:
    values = inputs(1, 70, 20, 4) | {"delta_softplus": False, "delta_bias": None}
    values["delta"] = torch.full_like(values["delta"], delta)
    values["A"] = torch.full_like(values["A"], A)
    exact = {k: v.double().requires_grad_() if isinstance(v, Tensor) else v for k, v in values.items()}
    expected, expected_last = selective_scan_reference(**exact)
    dout = normal(1, 70, 20, seed=10)
    names = ("u", "delta", "A", "B", "C", "D", "z", "initial_state")
    gradients = torch.autograd.grad(expected, [exact[name] for name in names], dout.double())
    right = [expected.detach(), expected_last.detach(), *gradients]
    found = everything(values, dout)
    # the order of backends: du, ddelta, dA, dB, dC, dD, dz, dinitial
    for name, a, b in zip(("y", "last", *names), found, right, strict=True):
        assert a.isfinite().all(), name
        # what underflows in float32 (e^-500000) is 0 and right
        assert (a - b).norm() <= 2e-6 * b.norm() + 1e-30, f"d{name}"


def test_softplus_of_extreme_inputs(isa: str) -> None:
    """delta' = 0 below, delta above, and small steps keep their relative precision."""
    raw = torch.tensor([-1e4, -200.0, -80.0, -30.0, -9.0, -1e-3, 0.0, 1e-3, 3.0, 19.0, 30.0, 200.0, 1e4])
    one = torch.ones(1, 1, 13)
    values = [one, raw.view(1, 1, 13), torch.zeros(13, 1), torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)]
    y, _, _ = scan_forward(*values, None, None, None, None, None, True, False)  # type: ignore[call-arg]
    expected = torch.logaddexp(raw.double(), torch.zeros(13, dtype=torch.float64))
    torch.testing.assert_close(y.flatten().double(), expected, rtol=1e-6, atol=1e-37)


def test_a_step_of_zero_leaves_the_state_as_it_is(isa: str) -> None:
    values = inputs(2, 50, 20, 5) | {"delta": torch.zeros(2, 50, 20), "delta_bias": None, "delta_softplus": False}
    assert torch.equal(scan_forward(*values.values(), False)[1], values["initial_state"])


def test_a_million_tokens() -> None:
    """One channel with constant steps is a recursive filter."""
    length, a = 2**20, 1 - 1e-3
    x, one = normal(1, length, 1), torch.ones(1, length, 1, 1)
    y = selective_scan(
        x, torch.ones_like(x), torch.tensor([[np.log(a)]], dtype=torch.float32), one[..., 0], one[..., 0]
    )
    decay = np.exp(np.float64(np.float32(np.log(a))))
    expected = scipy.signal.lfilter([1.0], [1.0, -decay], x.numpy().astype(np.float64), axis=1)
    assert isinstance(y, Tensor)
    # the rounded decay alone, off by up to 3e-8 over a memory of 1000 tokens, is worth 3e-5
    assert np.linalg.norm(y.numpy() - expected) <= 3e-5 * np.linalg.norm(expected)


def test_a_million_tokens_of_gradient() -> None:
    """Sums over a long sequence: dA and dD of a state that lives one token."""
    length = 2**20
    values = inputs(1, length, 1, 1) | {"z": None, "initial_state": None, "delta_bias": None, "delta_softplus": False}
    values |= {"A": torch.tensor([[-50.0]]), "delta": torch.ones(1, length, 1), "C": torch.ones(1, length, 1, 1)}
    dD = everything(values, torch.ones(1, length, 1))[-2]
    assert dD.item() == pytest.approx(values["u"].double().sum().item(), rel=1e-6)


def test_nan_stays_where_it_is(isa: str) -> None:
    values = inputs(3, 40, 20, 5)
    values["u"][1, 10, 3] = float("nan")
    y, last, _ = scan_forward(*values.values(), False)
    assert y[1, 10:, 3].isnan().all() and last[1, 3].isnan().all()
    y[1, 10:, 3], last[1, 3] = 0, 0
    assert y.isfinite().all() and last.isfinite().all()


def test_an_infinite_step_is_not_hidden(isa: str) -> None:
    values = inputs(1, 4, 3, 2)
    values["delta"][0, 2, 1] = float("inf")
    assert not scan_forward(*values.values(), False)[0][0, 2, 1].isfinite()


def test_denormals_come_back_after_the_call() -> None:
    values = inputs(1, 4, 3, 2)
    everything(values, normal(1, 4, 3))
    assert (torch.tensor([1e-40]) * 1).item() > 0
    assert (torch.tensor([1e-20]) * torch.tensor([1e-20])).item() > 0


@pytest.mark.filterwarnings("error")
def test_default_dtype_and_device_do_not_matter() -> None:
    values = inputs(2, 5, 3, 4)
    expected = everything(values, normal(2, 5, 3))
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            dout = torch.randn(2, 5, 3, device="cpu", dtype=torch.float32, generator=torch.Generator().manual_seed(0))
            found = everything(values, dout)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_gradient_that_is_one_number_everywhere() -> None:
    """y.sum() gives an expanded scalar, all strides 0."""
    case = Case(length=40, width="wide", **(FULL | {"last_state": False}))
    values = make(case)
    y, _ = selective_scan(**values, return_last_state=True, implementation="cpu")
    expanded = torch.autograd.grad(y.sum(), values["u"], retain_graph=True)[0]
    assert torch.equal(expanded, torch.autograd.grad(y, values["u"], torch.ones_like(y))[0])


def test_arguments_are_left_alone() -> None:
    case = Case(length=40, width="wide", **FULL)
    values = make(case)
    before = {k: v.detach().clone() for k, v in values.items() if isinstance(v, Tensor)}
    results(case, values, "cpu")
    assert all(torch.equal(values[k], v) for k, v in before.items())
