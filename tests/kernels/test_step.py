"""One token at a time is the whole: the in-place steps of every implementation against scan and convolution."""

from typing import Any

import pytest
import torch
from kernel_places import Place
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seqscale.kernels import (
    causal_conv1d,
    causal_conv1d_reference,
    causal_conv1d_step_,
    selective_scan_reference,
    selective_state_step,
    selective_state_step_,
)

F64 = torch.float64


def implementation(place: Place) -> str:
    """What a step calls it: there is nothing to chunk, and no reference but the scan's."""
    if place.implementation == "reference":
        pytest.skip("steps are tested against the scan's reference")
    return place.implementation.replace("chunked", "pytorch")


def tokens(
    length: int = 5,
    d_inner: int = 6,
    d_state: int = 4,
    groups: int = 0,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    extras: bool = True,
) -> tuple[dict[str, Tensor], dict[str, Any], Tensor]:
    """(per token, parameters, state); the parameters and the state in float32 or wider."""
    g = torch.Generator().manual_seed(d_inner + d_state)
    wide = F64 if dtype == F64 else torch.float32

    def normal(*shape: int, kind: torch.dtype = dtype) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=F64).to(device, kind)

    small = (d_state,) if groups == 0 else (groups, d_state)
    moving = {name: normal(3, length, d_inner) for name in ("u", "delta") + (("z",) if extras else ())}
    moving |= {name: normal(3, length, *small) for name in ("B", "C")}
    fixed: dict[str, Any] = {"A": -normal(d_inner, d_state, kind=wide).exp(), "delta_softplus": extras}
    if extras:
        fixed |= {name: normal(d_inner, kind=wide) for name in ("D", "delta_bias")}
    else:
        moving["delta"] = moving["delta"].abs()
    return moving, fixed, normal(3, d_inner, d_state, kind=wide)


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    error = (found.double() - expected.double()).norm() / expected.double().norm()
    assert error <= tolerance, f"relative error {error:.2e}"


@pytest.mark.parametrize("d_state", [1, 4, 17, 64, 256])
@pytest.mark.parametrize("groups", [0, 1, 3])
@pytest.mark.parametrize("extras", [True, False], ids=["all-options", "bare"])
def test_steps_are_the_scan(d_state: int, groups: int, extras: bool, place: Place) -> None:
    moving, fixed, state = tokens(d_state=d_state, groups=groups, extras=extras, device=place.device)
    expected, last = selective_scan_reference(**moving, **fixed, initial_state=state)
    for t in range(5):
        now = {name: x[:, t] for name, x in moving.items()}
        y = selective_state_step_(state, **now, **fixed, implementation=implementation(place))
        assert y.dtype == torch.float32
        close(y, expected[:, t], 3e-6)
    close(state, last, 2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_low_precision_tokens_keep_a_float32_state(dtype: torch.dtype, place: Place) -> None:
    moving, fixed, state = tokens(dtype=dtype, device=place.device)
    expected, last = selective_scan_reference(**moving, **fixed, initial_state=state)
    for t in range(5):
        now = {name: x[:, t] for name, x in moving.items()}
        y = selective_state_step_(state, **now, **fixed, implementation=implementation(place))
        assert y.dtype == dtype
        close(y, expected[:, t], 1e-2)
    close(state, last, 2e-6)


def test_functional_step_leaves_the_state_and_has_gradients() -> None:
    moving, fixed, state = tokens(1, 2, 2, groups=2, dtype=F64)
    untouched = state.clone()
    names = ("u", "delta", "B", "C", "z", "A", "D", "delta_bias")
    first = [state.requires_grad_(), *(({n: x[:, 0] for n, x in moving.items()} | fixed)[n] for n in names)]
    free = [t.detach().clone().requires_grad_() for t in first]

    def step(state: Tensor, *rest: Tensor) -> Any:
        return selective_state_step(state, **dict(zip(names, rest, strict=True)), delta_softplus=True)

    step(*first)
    assert torch.equal(state, untouched)
    assert torch.autograd.gradcheck(step, free)


def test_in_place_is_the_functional_step(place: Place) -> None:
    """Also for float64 states and for a token of a strided batch."""
    for dtype in (torch.float32, F64):
        if dtype == F64 and place.implementation in ("triton", "cpu"):
            continue
        moving, fixed, state = tokens(groups=2, dtype=dtype, device=place.device)
        now = {name: x[:, 1] for name, x in moving.items()}
        expected, following = selective_state_step(state, **now, **fixed)
        y = selective_state_step_(state, **now, **fixed, implementation=implementation(place))
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(state, following)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "free"])
@pytest.mark.parametrize("state_dtype", [torch.float32, torch.bfloat16], ids=str)
def test_heads(tied: bool, state_dtype: torch.dtype, place: Place) -> None:
    """(heads, dim) in place of d_inner; tied, as in Mamba-2: one A, delta and D per head, expanded."""
    heads, dim, d_state = 4, 3, 8
    moving, fixed, state = tokens(1, heads * dim, d_state, groups=2, device=place.device)
    now = {name: x[:, 0] for name, x in moving.items()}
    now |= {name: now[name].unflatten(1, (heads, dim)) for name in ("u", "delta", "z")}
    fixed |= {name: fixed[name].unflatten(0, (heads, dim)) for name in ("A", "D", "delta_bias")}
    state = state.unflatten(1, (heads, dim)).to(state_dtype)
    if tied:
        now["delta"] = now["delta"][:, :, :1].expand(-1, -1, dim)
        fixed |= {name: fixed[name][:, :1].expand(-1, dim) for name in ("D", "delta_bias")}
        fixed["A"] = fixed["A"][:, :1, :1].expand(-1, dim, d_state)
    flat = {name: x.flatten(1, 2) if x.ndim == 3 and name not in "BC" else x for name, x in now.items()}
    parameters = {name: x if name == "delta_softplus" else x.flatten(0, 1) for name, x in fixed.items()}
    expected, following = selective_state_step(state.float().flatten(1, 2), **flat, **parameters)
    y = selective_state_step_(state, **now, **fixed, implementation=implementation(place))
    assert y.shape == (3, heads, dim)
    close(y.flatten(1, 2), expected, 3e-6)
    close(state.flatten(1, 2), following, 3e-6 if state_dtype == torch.float32 else 1e-2)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64], ids=str)
def test_rows_of_a_larger_state(kind: torch.dtype, place: Place) -> None:
    moving, fixed, state = tokens(1, device=place.device)
    now = {name: x[:, 0] for name, x in moving.items()}
    pool = torch.randn(5, *state.shape[1:], device=place.device)
    indices = torch.tensor([4, -1, 2], dtype=kind, device=place.device)
    before = pool.clone()
    expected, following = selective_state_step(pool[[4, 0, 2]], **now, **fixed)
    y = selective_state_step_(pool, **now, **fixed, indices=indices, implementation=implementation(place))
    torch.testing.assert_close(y[[0, 2]], expected[[0, 2]])
    assert not y[1].any()
    torch.testing.assert_close(pool[[4, 2]], following[[0, 2]])
    assert torch.equal(pool[[0, 1, 3]], before[[0, 1, 3]])


def test_states_of_any_strides(place: Place) -> None:
    moving, fixed, state = tokens(1, device=place.device)
    now = {name: x[:, 0] for name, x in moving.items()}
    other = state.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    shifted = {name: x.t().contiguous().t() for name, x in now.items()}
    y = selective_state_step_(state, **now, **fixed, implementation=implementation(place))
    y_other = selective_state_step_(other, **shifted, **fixed, implementation=implementation(place))
    torch.testing.assert_close(y_other, y)
    torch.testing.assert_close(other, state)


# --- convolution ------------------------------------------------------------------------------------------------------


def conv_inputs(
    places: int = 3, length: int = 7, width: int = 4, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(x, state, weight, bias)."""
    g = torch.Generator().manual_seed(places)
    shapes = ((3, length, 5), (3, places, 5), (5, width), (5,))
    x, state, weight, bias = (torch.randn(*shape, generator=g).to(device) for shape in shapes)
    return x.to(dtype), state.to(dtype), weight, bias


@pytest.mark.parametrize("places", [3, 5])
@pytest.mark.parametrize("at_once", [0, 1, 2, 7], ids=["rows", "one", "two", "all"])
@pytest.mark.parametrize("activation", ["silu", None])
def test_convolution_steps_are_the_whole(places: int, at_once: int, activation: str | None, place: Place) -> None:
    x, state, weight, bias = conv_inputs(places, device=place.device)
    expected = causal_conv1d_reference(x, weight, bias, state[:, places - 3 :], activation)
    last = torch.cat([state, x], dim=1)[:, -places:]
    chosen = implementation(place)
    if at_once:
        parts = [
            causal_conv1d_step_(state, piece, weight, bias, activation, implementation=chosen)
            for piece in x.split(at_once, dim=1)
        ]
        y = torch.cat(parts, dim=1)
    else:
        steps = [causal_conv1d_step_(state, x[:, t], weight, bias, activation, implementation=chosen) for t in range(7)]
        y = torch.stack(steps, dim=1)
    torch.testing.assert_close(y, expected.float(), rtol=2e-6, atol=2e-6)
    assert torch.equal(state, last)


@pytest.mark.parametrize("width", [2, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_convolution_steps_of_any_width(width: int, dtype: torch.dtype, place: Place) -> None:
    x, state, weight, _ = conv_inputs(width - 1, 9, width, dtype, place.device)
    expected, last = causal_conv1d(x, weight, None, state, "silu", implementation="reference")
    chosen = implementation(place)
    y = [causal_conv1d_step_(state, x[:, t], weight, None, "silu", implementation=chosen) for t in range(9)]
    close(torch.stack(y, dim=1), expected, 2e-6 if dtype == torch.float32 else 1e-2)
    assert torch.equal(state, last)


@pytest.mark.parametrize("places", [3, 4, 6])
@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_convolution_state_as_a_ring(places: int, at_once: int, place: Place) -> None:
    """Rows that have seen 0, 5 and 11 tokens: the same outputs, and each token in place `seen % places`."""
    x, state, weight, bias = conv_inputs(places, device=place.device)
    seen = torch.tensor([0, 5, 11], device=place.device, dtype=torch.int32)
    ring = torch.stack([state[b].roll(int(seen[b]) % places, dims=0) for b in range(3)])
    for piece in x.split(at_once, dim=1):
        y = causal_conv1d_step_(state, piece, weight, bias, "silu", implementation=implementation(place))
        found = causal_conv1d_step_(
            ring, piece, weight, bias, "silu", cache_seqlens=seen, implementation=implementation(place)
        )
        torch.testing.assert_close(found, y)
        seen += piece.shape[1]
        for b in range(3):
            assert torch.equal(ring[b], state[b].roll(int(seen[b]) % places, dims=0))


def test_convolution_rows_of_a_larger_state(place: Place) -> None:
    """A pool of states with channels before places, as `causal_conv1d` keeps it."""
    x, state, weight, bias = conv_inputs(length=1, device=place.device)
    pool = torch.randn(5, 5, 3, device=place.device).transpose(1, 2)
    pool[4], pool[2] = state[0], state[2]
    before = pool.clone()
    indices = torch.tensor([4, -1, 2], device=place.device)
    chosen = implementation(place)
    y = causal_conv1d_step_(pool, x[:, 0], weight, bias, indices=indices, implementation=chosen)
    expected = causal_conv1d_step_(state, x[:, 0], weight, bias, implementation=chosen)
    torch.testing.assert_close(y[[0, 2]], expected[[0, 2]])
    assert not y[1].any()
    assert torch.equal(pool[[4, 2]], state[[0, 2]])
    assert torch.equal(pool[[0, 1, 3]], before[[0, 1, 3]])


# --- on a GPU ---------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_a_cuda_graph_replays_both_steps() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU; PyTorch sees none here")
    moving, fixed, start = tokens(6, 64, 16, device="cuda")
    x, conv_start, weight, bias = conv_inputs(length=6, device="cuda")
    state, conv_state = start.clone(), conv_start.clone()
    now = {name: value[:, 0].clone() for name, value in moving.items()}
    token = x[:, 0].clone()

    def both() -> tuple[Tensor, Tensor]:
        return (
            selective_state_step_(state, **now, **fixed),
            causal_conv1d_step_(conv_state, token, weight, bias, "silu"),
        )

    both()  # compiled before it is captured
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = both()
    state.copy_(start)
    conv_state.copy_(conv_start)
    expected, last = selective_scan_reference(**moving, **fixed, initial_state=start)
    conv_expected, conv_last = causal_conv1d(x, weight, bias, conv_start, "silu")
    for t in range(6):
        for name, value in moving.items():
            now[name].copy_(value[:, t])
        token.copy_(x[:, t])
        graph.replay()
        close(outputs[0], expected[:, t], 3e-6)
        close(outputs[1], conv_expected[:, t], 3e-6)
    close(state, last, 3e-6)
    assert torch.equal(conv_state, conv_last)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("batch", "d_inner", "d_state"), [(1, 1536, 16), (64, 2048, 16), (3, 4096, 128), (70000, 8, 4)]
)
def test_large_steps_on_a_gpu(batch: int, d_inner: int, d_state: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU; PyTorch sees none here")
    shapes = {
        "state": (batch, d_inner, d_state),
        "u": (batch, d_inner),
        "delta": (batch, d_inner),
        "z": (batch, d_inner),
    }
    shapes |= {"B": (batch, d_state), "C": (batch, d_state), "D": (d_inner,), "delta_bias": (d_inner,)}
    values: dict[str, Any] = {name: torch.randn(shape, device="cuda") for name, shape in shapes.items()}
    values["A"], values["delta_softplus"] = -torch.rand(d_inner, d_state, device="cuda"), True
    wide = {name: v if isinstance(v, bool) else v.double() for name, v in values.items()}
    expected, following = selective_state_step(**wide)
    close(selective_state_step_(**values), expected, 2e-6)
    close(values["state"], following, 2e-6)


# --- as PyTorch operations --------------------------------------------------------------------------------------------

CHECKS = ("test_schema", "test_faketensor", "test_aot_dispatch_static")


def test_opcheck(place: Place) -> None:
    moving, fixed, state = tokens(1, groups=2, device=place.device)
    now = {name: x[:, 0] for name, x in moving.items()}
    arguments = [state, *(now[n] for n in ("u", "delta")), fixed["A"], now["B"], now["C"], fixed["D"], now["z"]]
    arguments += [fixed["delta_bias"], True, None, implementation(place)]
    step = torch.ops.seqscale.selective_state_step_.default
    torch.library.opcheck(step, tuple(arguments), test_utils=CHECKS)
    x, conv_state, weight, bias = conv_inputs(device=place.device)
    conv = (conv_state, x, weight, bias, True, None, None, implementation(place))
    torch.library.opcheck(torch.ops.seqscale.causal_conv1d_step_.default, conv, test_utils=CHECKS)


def test_flops_are_counted_and_the_state_still_moves(place: Place) -> None:
    """A step costs what a token of the scan and of the convolution costs; a counting mode sees one operation."""
    moving, fixed, state = tokens(1, 6, 4, device=place.device)
    now = {name: x[:, 0] for name, x in moving.items()}
    before, plain = state.clone(), state.clone()
    with FlopCounterMode(display=False) as counter:
        y = selective_state_step_(state, **now, **fixed, implementation=implementation(place))
    assert counter.get_total_flops() == 9 * 3 * 6 * 4
    assert torch.equal(selective_state_step_(plain, **now, **fixed, implementation=implementation(place)), y)
    assert torch.equal(plain, state) and not torch.equal(state, before)
    x, conv_state, weight, bias = conv_inputs(device=place.device)
    with FlopCounterMode(display=False) as counter:
        causal_conv1d_step_(conv_state, x[:, 0], weight, bias, implementation=implementation(place))
    assert counter.get_total_flops() == 2 * 3 * 5 * 4


def test_parameters_that_learn_do_not_disturb(place: Place) -> None:
    """Decoding outside of no_grad: no gradient is recorded, none is refused."""
    moving, fixed, state = tokens(1, device=place.device)
    now = {name: x[:, 0].requires_grad_() for name, x in moving.items()}
    fixed = {name: x.requires_grad_() if torch.is_tensor(x) else x for name, x in fixed.items()}
    assert not selective_state_step_(state, **now, **fixed, implementation=implementation(place)).requires_grad
    x, conv_state, weight, bias = conv_inputs(device=place.device)
    weight.requires_grad_()
    assert not causal_conv1d_step_(conv_state, x, weight, bias, implementation=implementation(place)).requires_grad
    assert not state.requires_grad and not conv_state.requires_grad


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": torch.zeros(2, 6, 4)}, r"beside u \(batch, d_inner\).*got \(2, 6, 4\) and \(3, 6\)"),
        ({"delta": torch.zeros(3, 5)}, r"delta and z must be shaped like u, \(3, 6\); got \(3, 5\)"),
        ({"A": torch.zeros(6, 5)}, r"A must be shaped like one state, \(6, 4\); got \(6, 5\)"),
        ({"B": torch.zeros(3, 5)}, r"B must be \(batch, d_state\) = \(3, 4\)"),
        ({"C": torch.zeros(3, 4, 4)}, "C must be .*6 a multiple of groups"),
        ({"B": torch.zeros(3, 2, 4)}, "B and C must have the same groups"),
        ({"indices": torch.zeros(2, dtype=torch.int64)}, r"indices must be \(batch,\) = \(3,\); got \(2,\)"),
        ({"implementation": "chunked"}, "unknown implementation 'chunked'.*choose from auto, triton, cpu, pytorch"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_wrong_arguments_are_refused(change: dict[str, Any], words: str) -> None:
    moving, fixed, state = tokens(1)
    given = {"state": state, **{name: x[:, 0] for name, x in moving.items()}, **fixed}
    with pytest.raises(ValueError, match=words):
        selective_state_step_(**{**given, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": torch.zeros(3, 2, 5)}, r"\(batch, places, channels\) = \(3, 3 or more, 5\); got \(3, 2, 5\)"),
        ({"x": torch.zeros(5)}, r"x must be \(batch, channels\) or \(batch, tokens, channels\); got \(5,\)"),
        ({"weight": torch.zeros(4, 4)}, "weight must be .* channels = 5"),
        ({"bias": torch.zeros(4)}, "bias must be"),
        ({"activation": "relu"}, "activation must be None or 'silu'; got 'relu'"),
        ({"cache_seqlens": torch.zeros(1)}, r"cache_seqlens must be \(batch,\) = \(3,\); got \(1,\)"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_wrong_convolution_arguments_are_refused(change: dict[str, Any], words: str) -> None:
    x, state, weight, bias = conv_inputs(length=1)
    with pytest.raises(ValueError, match=words):
        causal_conv1d_step_(**{"state": state, "x": x[:, 0], "weight": weight, "bias": bias, **change})
