"""The functions of mamba_ssm against what their documentation says, token by token in float64."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from drop_in_checks import BATCH, DIM, DTYPES, LENGTH, STATE, close, wide
from torch import Tensor

from seqscale.kernels import mamba_inner_fn, selective_scan_fn, selective_state_update


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


# --- selective_scan_fn ------------------------------------------------------------------------------------------------


def scan_by_token(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Any, z: Any, bias: Any, softplus: bool
) -> tuple[Tensor, Tensor]:
    """(batch, dim, length); B, C (dim, dstate), (batch, dstate, length) or (batch, groups, dstate, length)."""

    def of_token(x: Tensor, t: int) -> Tensor:
        """(batch, dim, dstate)"""
        if x.ndim == 2:
            return x.expand(u.shape[0], *x.shape)
        x = x[..., t]
        return (
            x[:, None].expand(-1, u.shape[1], -1) if x.ndim == 2 else x.repeat_interleave(u.shape[1] // x.shape[1], 1)
        )

    h, out = torch.zeros(u.shape[0], *A.shape, dtype=torch.float64, device=u.device), []
    for t in range(u.shape[2]):
        step = delta[..., t] if bias is None else delta[..., t] + bias
        step = torch.log1p(torch.exp(step)) if softplus else step
        h = torch.exp(step[..., None] * A) * h + step[..., None] * of_token(B, t) * u[..., t, None]
        y = (h * of_token(C, t)).sum(-1)
        y = y if D is None else y + D * u[..., t]
        out.append(y if z is None else y * z[..., t] * torch.sigmoid(z[..., t]))
    return torch.stack(out, dim=-1), h


def vectors(kind: str, dtype: torch.dtype, device: Any) -> Tensor:
    shape = {
        "constant": (DIM, STATE),
        "shared": (BATCH, STATE, LENGTH),
        "one group": (BATCH, 1, STATE, LENGTH),
        "four groups": (BATCH, 4, STATE, LENGTH),
    }[kind]
    return torch.randn(shape, dtype=wide(dtype) if kind == "constant" else dtype, device=device)


@DTYPES
@pytest.mark.parametrize("B_kind", ["constant", "shared", "one group", "four groups"])
@pytest.mark.parametrize("C_kind", ["constant", "shared", "one group", "four groups"])
@pytest.mark.parametrize("options", [False, True], ids=["bare", "options"])
def test_scan(
    B_kind: str, C_kind: str, options: bool, dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    """Values, last state and every gradient; dtypes and shapes as the original gives them."""

    def tokens() -> Tensor:
        return torch.randn(BATCH, DIM, LENGTH, dtype=dtype, device=device)

    values: dict[str, Any] = {"u": tokens(), "delta": 0.5 * torch.rand_like(tokens())}
    values["A"] = -torch.rand(DIM, STATE, dtype=wide(dtype), device=device)
    values |= {"B": vectors(B_kind, dtype, device), "C": vectors(C_kind, dtype, device), "D": None, "z": None}
    values["delta_bias"] = None
    if options:
        values |= {
            "D": torch.randn_like(values["A"][:, 0]),
            "z": tokens(),
            "delta_bias": torch.rand_like(values["A"][:, 0]),
        }
    names = [name for name, value in values.items() if value is not None]
    free = [values[name].requires_grad_() for name in names]
    out, last = selective_scan_fn(**values, delta_softplus=options, return_last_state=True)
    exact = {k: v if v is None else v.detach().double().requires_grad_() for k, v in values.items()}
    right, right_last = scan_by_token(*exact.values(), options)
    assert out.shape == (BATCH, DIM, LENGTH)
    assert out.dtype == dtype
    assert last.shape == (BATCH, DIM, STATE)
    assert last.dtype == wide(dtype)
    close(out, right, tolerance)
    close(last, right_last, tolerance)
    weights = torch.randn_like(out)
    found = torch.autograd.grad(out, free, weights)
    expected = torch.autograd.grad(right, [exact[name] for name in names], weights.double())
    for name, tensor, one, other in zip(names, free, found, expected, strict=True):
        assert one.dtype == tensor.dtype and one.shape == tensor.shape, name
        close(one, other, 2 * tolerance, name)
    assert isinstance(selective_scan_fn(**values, delta_softplus=options), Tensor)


def test_scan_refusals() -> None:
    u = torch.randn(BATCH, DIM, LENGTH)
    A, B = -torch.rand(DIM, STATE), torch.randn(BATCH, STATE, LENGTH)
    with pytest.raises(ValueError, match="must be real: complex state spaces are not computed here"):
        selective_scan_fn(u, u, A.to(torch.complex64), B, B)
    with pytest.raises(ValueError, match=r"B must be \(dim, dstate\) = \(8, 4\), .* got \(2, 13, 4\)"):
        selective_scan_fn(u, u, A, B.transpose(1, 2), B)
    with pytest.raises(ValueError, match=r"C must be .* got \(2, 3, 4, 13\)"):
        selective_scan_fn(u, u, A, B, torch.randn(BATCH, 3, STATE, LENGTH))


# --- one token --------------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("heads", [0, 4])
@pytest.mark.parametrize("groups", [0, 1, 2])
@pytest.mark.parametrize("options", [False, True], ids=["bare", "options"])
@pytest.mark.parametrize("tied", [False, True], ids=["free", "tied"])
def test_state_update(
    tied: bool, options: bool, groups: int, heads: int, dtype: torch.dtype, tolerance: float, device: torch.device
) -> None:
    """With and without heads; tied: one A, step and bias per head, expanded, as Mamba-2 has them."""
    shape = (heads, DIM) if heads else (DIM,)

    def row(*size: int, kind: torch.dtype = dtype) -> Tensor:
        return torch.rand(*size, device=device).to(kind) + 0.1

    tie = (*shape[:-1], 1)
    x, z = torch.randn(BATCH, *shape, device=device).to(dtype), torch.randn(BATCH, *shape, device=device).to(dtype)
    dt = row(BATCH, *tie).expand(BATCH, *shape) if tied else row(BATCH, *shape)
    A = -(row(*tie, 1, kind=wide(dtype)).expand(*shape, STATE) if tied else row(*shape, STATE, kind=wide(dtype)))
    bias = row(*tie, kind=wide(dtype)).expand(shape) if tied else row(*shape, kind=wide(dtype))
    B, C = (row(BATCH, *([groups] if groups else []), STATE) for _ in range(2))
    extras: dict[str, Any] = {"D": row(*shape, kind=wide(dtype)), "z": z, "dt_bias": bias, "dt_softplus": True}
    state = row(BATCH, *shape, STATE, kind=wide(dtype))
    exact = state.double()

    step = dt.double()
    if options:
        step = torch.log1p(torch.exp(step + bias.double()))
    per_row = [(t if groups else t[:, None]).double().repeat_interleave(shape[0] // max(1, groups), 1) for t in (B, C)]
    B_, C_ = (t if t.shape[1] == shape[0] else t.expand(-1, shape[0], -1) for t in per_row)
    B_, C_ = (t.unsqueeze(2) if heads else t for t in (B_, C_))
    exact = torch.exp(step[..., None] * A.double()) * exact + step[..., None] * B_ * x.double()[..., None]
    right = (exact * C_).sum(-1)
    if options:
        right = (right + extras["D"].double() * x.double()) * F.silu(z.double())

    out = selective_state_update(state, x, dt, A, B, C, **(extras if options else {}))
    assert out.shape == x.shape
    assert out.dtype == dtype
    close(out, right, tolerance)
    close(state, exact, tolerance)


def test_state_update_in_a_narrow_state(device: torch.device) -> None:
    """A state in bfloat16 is computed in float32 and rounded where it is kept."""
    state = torch.rand(BATCH, DIM, STATE, device=device).bfloat16()
    x, A = torch.rand(BATCH, DIM, device=device).bfloat16(), -torch.rand(DIM, STATE, device=device)
    B = torch.rand(BATCH, STATE, device=device).bfloat16()
    exact = state.float()
    out = selective_state_update(state, x, x, A, B, B)
    right = selective_state_update(exact, x, x, A, B, B)
    assert state.dtype == torch.bfloat16
    assert out.dtype == torch.bfloat16
    close(state, exact, 1e-2)
    close(out, right, 1e-2)


def test_state_update_refusals() -> None:
    state, x, A, B = torch.rand(2, 8, 4), torch.rand(2, 8), torch.rand(8, 4), torch.rand(2, 4)
    with pytest.raises(ValueError, match=r"D must be \(8,\), like one row of x; got \(4,\)"):
        selective_state_update(state, x, x, A, B, B, D=torch.rand(4))


def test_state_update_of_chosen_rows(device: torch.device) -> None:
    """Rows are found by index; padding gives 0 and touches nothing."""
    indices = torch.tensor([4, -1, 0], dtype=torch.int32, device=device)
    x = torch.randn(3, DIM, device=device)
    state, A = torch.randn(6, DIM, STATE, device=device), -torch.rand(DIM, STATE, device=device)
    B = torch.randn(3, STATE, device=device)
    before, rows = state.clone(), state[[4, 0]].clone()
    out = selective_state_update(state, x, x.abs(), A, B, B, state_batch_indices=indices)
    alone = selective_state_update(rows, x[[0, 2]], x[[0, 2]].abs(), A, B[[0, 2]], B[[0, 2]])
    torch.testing.assert_close(out[[0, 2]], alone)
    torch.testing.assert_close(state[[4, 0]], rows)
    assert torch.equal(state[[1, 2, 3, 5]], before[[1, 2, 3, 5]])
    assert not out[1].any()


# --- a whole block ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [True, False], ids=["B and C made", "B and C given"])
@pytest.mark.parametrize("norms", [False, True], ids=["plain", "norms"])
def test_inner_block_by_hand(norms: bool, made: bool) -> None:
    """in_proj's output to out_proj's: convolution, SiLU, projections, (RMS norms,) scan, gate, projection."""
    rank, width, d_model = 3, 4, 5

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64).requires_grad_()

    xz, conv, conv_bias = normal(BATCH, 2 * DIM, LENGTH), normal(DIM, 1, width), normal(DIM)
    x_proj, dt_proj, out_proj = normal(rank + 2 * STATE, DIM), normal(DIM, rank), normal(d_model, DIM)
    out_bias, A = normal(d_model), (-torch.rand(DIM, STATE, dtype=torch.float64)).requires_grad_()
    more: dict[str, Any] = {"D": normal(DIM), "delta_bias": normal(DIM)}
    more |= {"B_proj_bias": normal(STATE), "C_proj_bias": normal(STATE)} if made else {}
    more |= {} if made else {"B": normal(DIM, STATE), "C": normal(BATCH, STATE, LENGTH)}
    if norms:
        more |= {"dt_rms_weight": normal(DIM)}
        more |= {"b_rms_weight": normal(STATE), "c_rms_weight": normal(STATE)} if made else {}
    found = mamba_inner_fn(xz, conv, conv_bias, x_proj, dt_proj, out_proj, out_bias, A, **more)

    def norm(x: Tensor, weight: Tensor | None) -> Tensor:
        return x if weight is None else F.rms_norm(x, x.shape[-1:], weight, 1e-6)

    x, z = xz.chunk(2, dim=1)
    x = F.silu(F.conv1d(F.pad(x, (width - 1, 0)), conv, conv_bias, groups=DIM))
    low, B, C = (x.transpose(1, 2) @ x_proj.T).split([rank, STATE, STATE], dim=-1)
    delta = norm(low @ dt_proj.T, more.get("dt_rms_weight")).transpose(1, 2)
    if made:
        B = norm(B + more["B_proj_bias"], more.get("b_rms_weight")).transpose(1, 2)
        C = norm(C + more["C_proj_bias"], more.get("c_rms_weight")).transpose(1, 2)
    else:
        B, C = more["B"], more["C"]
    y, _ = scan_by_token(x, delta, A, B, C, more["D"], z, more["delta_bias"], True)
    right = y.transpose(1, 2) @ out_proj.T + out_bias
    torch.testing.assert_close(found, right)
    free = [xz, conv, conv_bias, x_proj, dt_proj, out_proj, out_bias, A, *more.values()]
    for one, other in zip(*(torch.autograd.grad(t.sin().sum(), free) for t in (found, right)), strict=True):
        torch.testing.assert_close(one, other)
