"""The functions of causal_conv1d against what their documentation says, output by output in float64."""

import itertools
from typing import Any

import pytest
import torch
from drop_in_checks import BATCH, DIM, DTYPES, LENGTH, close, wide
from torch import Tensor

from seqscale.kernels import causal_conv1d_fn, causal_conv1d_update


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def conv_by_token(
    x: Tensor, weight: Tensor, bias: Any, state: Any, activation: Any, seq_idx: Tensor | None = None
) -> Tensor:
    """(batch, dim, length): every output from the taps that fall on its own sequence."""
    width, out = weight.shape[1], torch.zeros_like(x)
    for b, t in itertools.product(range(x.shape[0]), range(x.shape[2])):
        total = torch.zeros_like(x[0, :, 0]) if bias is None else bias.clone()
        for k in range(width):
            s = t - width + 1 + k
            past = s < 0
            if past and state is None:
                continue
            if seq_idx is not None and seq_idx[b, t] != seq_idx[b, max(s, 0)]:
                continue
            total = total + weight[:, k] * (state[b, :, s] if past else x[b, :, s])
        if seq_idx is not None and seq_idx[b, t] < 0:
            total = torch.zeros_like(total)
        out[b, :, t] = total if activation is None else total * torch.sigmoid(total)
    return out


@DTYPES
@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("activation", [None, "silu", "swish"])
@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize("length", [1, 2, 13])
def test_convolution(
    length: int, with_state: bool, activation: str | None, width: int, dtype: torch.dtype, tolerance: float
) -> None:
    x, weight = torch.randn(BATCH, DIM, length, dtype=dtype), torch.randn(DIM, width, dtype=wide(dtype))
    bias = torch.randn(DIM, dtype=wide(dtype)) if width == 4 else None
    state = torch.randn(BATCH, DIM, width - 1, dtype=dtype) if with_state else None
    out, final = causal_conv1d_fn(x, weight, bias, None, state, return_final_states=True, activation=activation)
    exact = [None if t is None else t.double() for t in (x, weight, bias, state)]
    close(out, conv_by_token(*exact, activation), tolerance)
    assert out.shape == x.shape
    assert out.dtype == final.dtype == dtype
    seen = torch.cat([torch.zeros(BATCH, DIM, width - 1, dtype=dtype) if state is None else state, x], dim=-1)
    assert torch.equal(final, seen[..., length:])

    given = torch.empty_like(final)
    again, returned = causal_conv1d_fn(x, weight, bias, None, state, True, given, activation)
    assert returned is given
    assert torch.equal(given, final)
    assert torch.equal(again, out)


@DTYPES
@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize("activation", [None, "silu"])
def test_convolution_of_packed_sequences(
    activation: str | None, with_state: bool, dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    """seq_idx with sequences of one token, padding (-1), and rows that are packed differently."""
    seq_idx = torch.tensor([[0, 0, 0, 1, 2, 2, 2, 2, 2, 2, -1, -1, -1], [3, 4, 4, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6]])
    x = torch.randn(BATCH, DIM, LENGTH, dtype=dtype, device=device).requires_grad_()
    weight, bias = torch.randn(DIM, 4, device=device).to(wide(dtype)), torch.randn(DIM, device=device).to(wide(dtype))
    state = torch.randn(BATCH, DIM, 3, dtype=dtype, device=device) if with_state else None
    out = causal_conv1d_fn(x, weight, bias, seq_idx.to(device, torch.int32), state, activation=activation)
    exact = [None if t is None else t.detach().cpu().double() for t in (x, weight, bias, state)]
    close(out.cpu(), conv_by_token(*exact, activation, seq_idx), tolerance)
    assert out.dtype == dtype
    assert not out[0, :, 10:].any()
    (gradient,) = torch.autograd.grad(out.float().sum(), x)
    assert not gradient[0, :, 10:].any(), "padding reaches nothing"


def test_convolution_gradients() -> None:
    x, weight, bias = (torch.randn(s, dtype=torch.float64) for s in ((2, 3, 5), (3, 4), (3,)))
    state = torch.randn(2, 3, 3, dtype=torch.float64)
    free = [t.requires_grad_() for t in (x, weight, bias, state)]

    def whole(*t: Tensor) -> Any:
        return causal_conv1d_fn(t[0], t[1], t[2], None, t[3], True, None, "silu")

    def packed(*t: Tensor) -> Any:
        return causal_conv1d_fn(t[0], t[1], t[2], torch.tensor([[0, 0, 1, 1, 1]] * 2), t[3], activation="silu")

    assert torch.autograd.gradcheck(whole, free)
    assert torch.autograd.gradcheck(packed, free)


def test_convolution_refusals() -> None:
    x, weight = torch.randn(2, 3, 5), torch.randn(3, 4)
    with pytest.raises(NotImplementedError, match="activation must be None, 'silu' or 'swish'; got 'relu'"):
        causal_conv1d_fn(x, weight, activation="relu")
    with pytest.raises(ValueError, match="return_final_states and seq_idx do not go together"):
        causal_conv1d_fn(x, weight, seq_idx=torch.zeros(2, 5, dtype=torch.int32), return_final_states=True)
    with pytest.raises(ValueError, match=r"seq_idx must be \(batch, length\) = \(2, 5\); got \(5,\)"):
        causal_conv1d_fn(x, weight, seq_idx=torch.zeros(5, dtype=torch.int32))


@DTYPES
@pytest.mark.parametrize("places", [3, 5])
@pytest.mark.parametrize("tokens", [0, 1, 2, 5])
@pytest.mark.parametrize("ring", [False, True], ids=["line", "ring"])
def test_convolution_update(
    tokens: int, places: int, ring: bool, dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    """Token after token is the convolution of the whole; `tokens` at a time, 0: (batch, dim)."""
    x = torch.randn(BATCH, DIM, 15, dtype=dtype, device=device)
    weight, bias = torch.randn(DIM, 4, device=device).to(wide(dtype)), torch.randn(DIM, device=device).to(wide(dtype))
    whole = causal_conv1d_fn(x, weight, bias, activation="silu")
    state, seen = torch.zeros(BATCH, DIM, places, dtype=dtype, device=device), 0
    while seen + max(1, tokens) <= 15:
        piece = x[:, :, seen] if tokens == 0 else x[:, :, seen : seen + tokens]
        lengths = torch.full((BATCH,), seen, dtype=torch.int32, device=device) if ring else None
        out = causal_conv1d_update(piece, state, weight, bias, "silu", lengths)
        assert out.shape == piece.shape
        assert out.dtype == dtype
        close(out, whole[:, :, seen] if tokens == 0 else whole[:, :, seen : seen + tokens], tolerance)
        seen += max(1, tokens)
    kept = x[:, :, seen - places : seen]
    order = [(seen - places + i) % places for i in range(places)] if ring else list(range(places))
    assert torch.equal(state[:, :, order], kept)


def test_convolution_update_of_chosen_rows(device: torch.device) -> None:
    """Rows are found by index; padding gives 0 and touches nothing."""
    indices = torch.tensor([4, -1, 0], dtype=torch.int32, device=device)
    x, weight = torch.randn(3, DIM, device=device), torch.randn(DIM, 4, device=device)
    state = torch.randn(6, DIM, 3, device=device)
    before, rows = state.clone(), state[[4, 0]].clone()
    out = causal_conv1d_update(x, state, weight, conv_state_indices=indices)
    torch.testing.assert_close(out[[0, 2]], causal_conv1d_update(x[[0, 2]], rows, weight))
    assert torch.equal(state[[4, 0]], rows)
    assert torch.equal(state[[1, 2, 3, 5]], before[[1, 2, 3, 5]])
    assert not out[1].any()
