"""The selective scan against its definition, in every way that it can be cut."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seqscale.kernels import chunked, scan_flops, selective_scan, selective_scan_reference, selective_state_step
from seqscale.kernels.chunked import Plan

NAMES = ("u", "delta", "A", "B", "C", "initial_state")
CUTS = {
    "own": None,  # what `plan` chooses
    "one-token": Plan(1, 1),
    "segments": Plan(4, 1),
    "two-lanes": Plan(4, 2),
    "lanes-of-one-step": Plan(1, 5),
    "many-lanes": Plan(3, 4),
    "longer-than-all": Plan(8, 16),
}


def inputs(
    batch: int = 2, length: int = 13, d_inner: int = 3, d_state: int = 4, device: Any = "cpu", seed: int = 0
) -> dict[str, Tensor]:
    """Well-scaled random inputs in float64."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    values = {
        "u": normal(batch, length, d_inner),
        "delta": F.softplus(normal(batch, length, d_inner)),
        "A": -torch.exp(normal(d_inner, d_state)),
        "B": normal(batch, length, d_state),
        "C": normal(batch, length, d_state),
        "initial_state": normal(batch, d_inner, d_state),
    }
    return {name: value.to(device) for name, value in values.items()}


@pytest.fixture(params=CUTS.values(), ids=CUTS.keys())
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut sequences as a GPU or a small cache would, whatever the device."""
    if request.param is not None:
        for module in ("seqscale.kernels.chunked.plan", "seqscale.kernels.scan.plan"):
            monkeypatch.setattr(module, lambda *_: request.param)


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("length", [1, 2, 7, 12, 13, 24, 25, 40])
@pytest.mark.parametrize("start", [True, False], ids=["state", "zeros"])
def test_equals_definition(length: int, start: bool, device: torch.device) -> None:
    values = inputs(length=length, device=device)
    if not start:
        values["initial_state"] = None  # type: ignore[assignment]
    y, last = selective_scan(**values, return_last_state=True)
    expected, expected_last = selective_scan_reference(**values)
    assert y.dtype == last.dtype == torch.float64
    torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(last, expected_last, rtol=1e-11, atol=1e-12)


def test_one_channel_by_hand() -> None:
    """h_1 = e^-1 * 4 + 1 * 2 * 3, y_1 = 5 h_1; h_2 = e^-2 h_1 + 2 * 1 * -1, y_2 = h_2."""
    column = lambda *x: torch.tensor(x, dtype=torch.float64).reshape(1, -1, 1)  # noqa: E731
    A, start = torch.tensor([[-1.0]], dtype=torch.float64), torch.tensor([[[4.0]]], dtype=torch.float64)
    u, delta = column(3.0, -1.0), column(1.0, 2.0)
    y, last = selective_scan(u, delta, A, column(2, 1), column(5, 1), initial_state=start, return_last_state=True)
    h1 = torch.exp(torch.tensor(-1.0, dtype=torch.float64)) * 4 + 6
    h2 = torch.exp(torch.tensor(-2.0, dtype=torch.float64)) * h1 - 2
    torch.testing.assert_close(y.flatten(), torch.stack([5 * h1, h2]))
    torch.testing.assert_close(last.flatten(), h2.reshape(1))


@pytest.mark.usefixtures("cut")
def test_empty_sequence(device: torch.device) -> None:
    values = {k: v.requires_grad_() for k, v in inputs(length=0, device=device).items()}
    y, last = selective_scan(**values, return_last_state=True)
    assert y.shape == (2, 0, 3)
    assert torch.equal(last, values["initial_state"])
    last.square().sum().backward()
    torch.testing.assert_close(values["initial_state"].grad, 2 * last.detach())


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("cuts", [(6,), (1, 12), (5, 6)], ids=str)
def test_continuing_in_pieces_is_the_whole(cuts: tuple[int, ...], device: torch.device) -> None:
    values = inputs(device=device)
    whole, last = selective_scan(**values, return_last_state=True)
    state, pieces = values["initial_state"], []
    for begin, end in zip((0, *cuts), (*cuts, 13), strict=True):
        piece = {name: values[name][:, begin:end] for name in ("u", "delta", "B", "C")}
        y, state = selective_scan(**piece, A=values["A"], initial_state=state, return_last_state=True)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)
    torch.testing.assert_close(state, last)


def _extras(device: Any) -> dict[str, Any]:
    g = torch.Generator().manual_seed(1)
    return {
        "D": torch.randn(3, generator=g, dtype=torch.float64).to(device),
        "z": torch.randn(2, 13, 3, generator=g, dtype=torch.float64).to(device),
        "delta_bias": torch.randn(3, generator=g, dtype=torch.float64).to(device),
        "delta_softplus": True,
    }


def test_skip_gate_bias_and_softplus(device: torch.device) -> None:
    values, extras = inputs(device=device), _extras(device)
    y = selective_scan(**values, **extras)
    bare = {**values, "delta": torch.log1p(torch.exp(values["delta"] + extras["delta_bias"]))}
    expected = selective_scan_reference(**bare)[0] + extras["D"] * values["u"]
    torch.testing.assert_close(y, expected * extras["z"] * torch.sigmoid(extras["z"]))
    torch.testing.assert_close(y, selective_scan(**values, **extras, implementation="reference"))


def test_step_is_the_scan_of_one_token(device: torch.device) -> None:
    values, extras = inputs(device=device), _extras(device)
    whole, last = selective_scan(**values, **extras, return_last_state=True)
    state = values["initial_state"]
    untouched = state.clone()
    z = extras.pop("z")
    for t in range(13):
        token = {name: values[name][:, t] for name in ("u", "delta", "B", "C")}
        y, state = selective_state_step(state, **token, A=values["A"], z=z[:, t], **extras)
        torch.testing.assert_close(y, whole[:, t])
    torch.testing.assert_close(state, last)
    assert torch.equal(values["initial_state"], untouched), "the step must leave the state it was given alone"


@pytest.mark.usefixtures("cut")
def test_position_t_does_not_see_what_follows(device: torch.device) -> None:
    values = inputs(device=device)
    y = selective_scan(**values)
    for name in ("u", "delta", "B", "C"):
        changed = {**values, name: values[name].clone()}
        changed[name][:, 6] += 1.0
        other = selective_scan(**changed)
        assert torch.equal(other[:, :6], y[:, :6]), name
        assert not torch.allclose(other[:, 6:], y[:, 6:]), name


@pytest.mark.usefixtures("cut")
def test_strong_and_absent_decay(device: torch.device) -> None:
    """delta A of -2000 forgets all (exp underflows to 0), of 0 keeps all; neither makes a NaN, forward or backward."""
    values = inputs(length=40, device=device)
    values["delta"][:, ::3] = 2000.0
    values["delta"][:, 1::3] = 0.0
    values = {k: v.requires_grad_() for k, v in values.items()}
    y, last = selective_scan(**values, return_last_state=True)
    expected, expected_last = selective_scan_reference(**values)
    torch.testing.assert_close(y, expected)
    gradients = torch.autograd.grad(y.sum() + last.sum(), list(values.values()))
    expected_gradients = torch.autograd.grad(expected.sum() + expected_last.sum(), list(values.values()))
    for name, found, right in zip(NAMES, gradients, expected_gradients, strict=True):
        torch.testing.assert_close(found, right, msg=lambda m, name=name: f"{name}: {m}")


def test_non_contiguous_inputs(device: torch.device) -> None:
    values = inputs(device=device)
    scattered = {}
    for name, value in values.items():
        scattered[name] = value.transpose(0, -1).contiguous().transpose(0, -1)
        assert not scattered[name].is_contiguous()
    y, last = selective_scan(**values, return_last_state=True)
    other, other_last = selective_scan(**scattered, return_last_state=True)
    torch.testing.assert_close(other, y)
    torch.testing.assert_close(other_last, last)
    wide = torch.cat([values["u"], values["u"]], dim=-1)  # a slice, as `chunk` gives
    torch.testing.assert_close(selective_scan(**{**values, "u": wide[..., :3]}), y)


def test_batch_rows_do_not_meet(device: torch.device) -> None:
    values = inputs(batch=3, device=device)
    y = selective_scan(**values)
    for row in range(3):
        alone = {k: v if k == "A" else v[row : row + 1] for k, v in values.items()}
        torch.testing.assert_close(selective_scan(**alone), y[row : row + 1])


# --- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 4e-3), (torch.float16, 5e-4)], ids=str
)
def test_low_precision_inputs_keep_a_float32_state(dtype: torch.dtype, tolerance: float, device: torch.device) -> None:
    """Rounding the inputs aside, only the output is rounded: half a unit in its last place, of the largest y."""
    values = {k: v if k in ("A", "initial_state") else v.to(dtype) for k, v in inputs(length=40, device=device).items()}
    values["A"], values["initial_state"] = values["A"].float(), values["initial_state"].float()
    y, last = selective_scan(**values, return_last_state=True)
    expected, expected_last = selective_scan_reference(**values)
    assert y.dtype == dtype
    assert last.dtype == torch.float32
    assert (y - expected).abs().max() <= tolerance * expected.abs().max()
    torch.testing.assert_close(last.double(), expected_last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_autocast_does_not_touch_the_state(dtype: torch.dtype, device: torch.device) -> None:
    values = {k: v.float() for k, v in inputs(length=40, device=device).items()}
    values["u"] = values["u"].to(dtype)
    y, last = selective_scan(**values, return_last_state=True)
    token = {name: values[name][:, 0] for name in ("u", "delta", "B", "C")}
    step, state = selective_state_step(values["initial_state"], **token, A=values["A"])
    with torch.autocast(device.type, torch.bfloat16):
        y_cast, last_cast = selective_scan(**values, return_last_state=True)
        step_cast, state_cast = selective_state_step(values["initial_state"], **token, A=values["A"])
    for found, expected in ((y_cast, y), (last_cast, last), (step_cast, step), (state_cast, state)):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("low", ["u", "B", "C", "z"])
def test_gradients_come_in_their_inputs_dtypes(low: str) -> None:
    values = {k: v.float() for k, v in inputs().items()} | {"z": torch.randn(2, 13, 3), "D": torch.ones(3)}
    values[low] = values[low].bfloat16()
    values = {k: v.requires_grad_() for k, v in values.items()}
    selective_scan(**values).float().sum().backward()
    for name, value in values.items():
        assert value.grad is not None, name
        assert value.grad.dtype == value.dtype, name
        assert value.grad.isfinite().all(), name


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("length", [1, 5, 11])
def test_gradients_against_finite_differences(length: int) -> None:
    """Of y and of the last state, for all six inputs at once."""
    values = [v.requires_grad_() for v in inputs(batch=2, length=length, d_inner=2, d_state=2).values()]

    def both(*v: Tensor) -> Any:
        return selective_scan(*v[:5], initial_state=v[5], return_last_state=True)

    assert torch.autograd.gradcheck(both, values, fast_mode=length > 5)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("which", ["y", "last", "both"])
def test_gradients_against_the_definition(which: str, device: torch.device) -> None:
    """A long ragged sequence; the gradient enters through y, through the last state or through both."""
    values = {k: v.requires_grad_() for k, v in inputs(length=29, device=device).items()}

    def gradients(scan: Callable[..., tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
        y, last = scan()
        loss = sum(t.sin().sum() for t in {"y": [y], "last": [last], "both": [y, last]}[which])
        return torch.autograd.grad(loss, list(values.values()), allow_unused=True)

    found = gradients(lambda: selective_scan(**values, return_last_state=True))
    expected = gradients(lambda: selective_scan_reference(**values))
    for name, one, other in zip(NAMES, found, expected, strict=True):
        other = torch.zeros_like(one) if other is None else other  # C does not reach the last state
        torch.testing.assert_close(one, other, msg=lambda m, name=name: f"{name}: {m}")


def test_gradients_of_skip_gate_and_bias() -> None:
    values, extras = inputs(length=4), _extras("cpu")
    extras["z"] = extras["z"][:, :4]
    free = [extras[name].clone().requires_grad_() for name in ("D", "z", "delta_bias")]

    def scan(D: Tensor, z: Tensor, delta_bias: Tensor) -> Any:
        return selective_scan(**values, D=D, z=z, delta_bias=delta_bias, delta_softplus=True)

    assert torch.autograd.gradcheck(scan, free)


def test_same_bits_twice(device: torch.device) -> None:
    values = {k: v.float().requires_grad_() for k, v in inputs(batch=4, length=50, device=device).items()}
    results = []
    for _ in range(2):
        y = selective_scan(**values)
        results.append([y, *torch.autograd.grad(y.square().sum(), list(values.values()))])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


# --- as a PyTorch operation -------------------------------------------------------------------------------------------

CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("length", [0, 1, 13])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(length: int, dtype: torch.dtype) -> None:
    values = {k: v.float() for k, v in inputs(length=length).items()}
    values["u"], values["B"] = values["u"].to(dtype), values["B"].to(dtype)
    needing = [v.detach().requires_grad_() for v in values.values()]
    torch.library.opcheck(torch.ops.seqscale.selective_scan.default, tuple(needing), test_utils=CHECKS)
    y, last, starts = torch.ops.seqscale.selective_scan(*values.values())
    arguments = (y, last, *list(values.values())[:5], starts)
    torch.library.opcheck(torch.ops.seqscale.selective_scan_backward.default, arguments, test_utils=CHECKS)


def test_opcheck_with_dynamic_shapes() -> None:
    values = tuple(v.float().requires_grad_() for v in inputs().values())
    torch.library.opcheck(torch.ops.seqscale.selective_scan.default, values, test_utils=("test_aot_dispatch_dynamic",))


def test_shapes_on_the_meta_device() -> None:
    values = {k: v.float().to("meta") for k, v in inputs().items()}
    y, last = selective_scan(**values, return_last_state=True)
    assert (y.shape, last.shape, y.device.type) == ((2, 13, 3), (2, 3, 4), "meta")


def test_flops_are_counted() -> None:
    """9 operations per state element and token forward, twice that backward; nothing inside is counted again."""
    values = {k: v.requires_grad_() for k, v in inputs(batch=2, length=13, d_inner=3, d_state=4).items()}
    assert scan_flops(2, 13, 3, 4) == 9 * 2 * 13 * 3 * 4
    with FlopCounterMode(display=False) as counter:
        y = selective_scan(**values)
    assert counter.get_total_flops() == scan_flops(2, 13, 3, 4)
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert counter.get_total_flops() == 2 * scan_flops(2, 13, 3, 4)


def test_plan_covers_and_respects_the_budget() -> None:
    for device, (batch, length, d_inner, d_state) in [
        ("cpu", (16, 128, 128, 16)),
        ("cpu", (64, 10, 2048, 64)),
        ("cuda", (16, 128, 128, 16)),
        ("cuda", (1, 5, 2, 2)),
        ("cuda", (1, 100_000, 256, 16)),
    ]:
        cut = chunked.plan(batch, length, d_inner, d_state, device)
        assert 1 <= cut.segment <= length
        assert cut.segment == 1 or cut.segment * batch * d_inner * d_state <= chunked._SEGMENT_ELEMENTS[device]
        assert device == "cuda" or cut.lanes == 1


def test_only_segment_starts_are_kept_for_the_backward() -> None:
    """Memory grows by one state per segment, not per token."""
    values = {k: v.float() for k, v in inputs(length=100).items()}
    _, _, starts = torch.ops.seqscale.selective_scan(*values.values())
    assert starts.shape == (1, 2, 3, 4)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"delta": torch.zeros(2, 12, 3)}, r"u and delta must both be .*\(2, 13, 3\) and \(2, 12, 3\)"),
        ({"u": torch.zeros(13, 3)}, r"u and delta must both be"),
        ({"A": torch.zeros(4, 4)}, r"A must be \(d_inner, d_state\) with d_inner = 3; got \(4, 4\)"),
        ({"A": torch.zeros(3)}, r"A must be"),
        ({"B": torch.zeros(2, 13, 5)}, r"B must be .* = \(2, 13, 4\); got \(2, 13, 5\)"),
        ({"C": torch.zeros(1, 13, 4)}, r"C must be"),
        ({"initial_state": torch.zeros(3, 4)}, r"initial_state must be .* = \(2, 3, 4\); got \(3, 4\)"),
        ({"implementation": "triton2"}, r"unknown implementation 'triton2'; choose from auto, chunked"),
    ],
    ids=["delta-length", "u-2d", "A-width", "A-1d", "B-state", "C-batch", "state", "implementation"],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        selective_scan(**{**inputs(), **change})
