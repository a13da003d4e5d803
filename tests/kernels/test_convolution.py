"""The causal convolution of every implementation against its definition, forward and backward."""

import importlib
import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kernel_places import Place, places
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seqscale.kernels import causal_conv1d, causal_conv1d_reference

F64 = torch.float64
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": F64}
# |found - right| / |right|, Euclidean, against float64 from the same rounded inputs
TOLERANCE = {"float32": 2e-6, "bfloat16": 5e-3, "float16": 5e-4, "float64": 1e-13}
NAMES = ("x", "weight", "bias", "initial_state")


def implementation(place: Place) -> str:
    """What the convolution calls it: its PyTorch operations are not chunked."""
    return place.implementation.replace("chunked", "pytorch")


def inputs(
    batch: int = 2,
    length: int = 9,
    channels: int = 3,
    width: int = 4,
    *,
    bias: bool = True,
    start: bool = True,
    ends: list[int] | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> dict[str, Any]:
    """Random inputs; x and the states in `dtype`, the parameters in float32 (float64 beside float64)."""
    g = torch.Generator().manual_seed(length + 10 * width)
    wide = F64 if dtype == F64 else torch.float32

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=F64)

    rows = batch if ends is None else len(ends) - 1
    return {
        "x": normal(batch, length, channels).to(device, dtype),
        "weight": normal(channels, width).to(device, wide),
        "bias": normal(channels).to(device, wide) if bias else None,
        "initial_state": normal(rows, width - 1, channels).to(device, dtype) if start else None,
        "cu_seqlens": None if ends is None else torch.tensor(ends, device=device),
    }


def run(values: dict[str, Any], incoming: tuple[Tensor, Tensor], **options: Any) -> dict[str, Tensor | None]:
    """y, the final state and every gradient."""
    free = {name: values[name].detach().clone().requires_grad_() for name in NAMES if values[name] is not None}
    y, final = causal_conv1d(**{**values, **free}, **options)
    total = (y * incoming[0].to(y.dtype)).sum() + (final * incoming[1].to(y.dtype)).sum()
    gradients = torch.autograd.grad(total, list(free.values()), allow_unused=True)
    found = {"y": y.detach(), "final state": final.detach()}
    return found | {f"gradient of {n}": g for n, g in zip(free, gradients, strict=True)}


def agree(values: dict[str, Any], tolerance: float, chosen: str, activation: str | None = "silu") -> None:
    g = torch.Generator().manual_seed(5)
    device, shape = values["x"].device, values["x"].shape
    rows = shape[0] if values["cu_seqlens"] is None else values["cu_seqlens"].shape[0] - 1
    final_shape = (rows, values["weight"].shape[1] - 1, shape[2])
    rounded = values["x"].dtype
    incoming = tuple(torch.randn(s, generator=g, dtype=F64).to(rounded).to(device) for s in (shape, final_shape))
    wide = {n: t.double() if torch.is_tensor(t) and t.is_floating_point() else t for n, t in values.items()}
    right = run(wide, incoming, activation=activation, implementation="reference")  # type: ignore[arg-type]
    found = run(values, incoming, activation=activation, implementation=chosen)  # type: ignore[arg-type]
    for name, expected in right.items():
        result = found[name]
        if expected is None:  # no tokens: the reference has no path from here to there
            assert result is None or not result.any(), name
            continue
        assert result is not None and result.shape == expected.shape, name
        if not expected.numel():
            continue
        assert result.dtype == (values["weight"].dtype if name.endswith(("weight", "bias")) else rounded), name
        error = (result.double() - expected).norm() / expected.norm().clamp(min=1e-300)
        assert error <= tolerance, f"{name}: relative error {error:.2e}"


SIZES: dict[str, dict[str, Any]] = {
    "plain": {},
    "one-token": {"length": 1},
    "shorter-than-the-state": {"length": 2},
    "as-long-as-the-state": {"length": 3},
    "one-channel": {"channels": 1, "length": 33},
    "no-bias": {"bias": False},
    "zeros-before": {"start": False},
    "bare": {"bias": False, "start": False, "length": 70},
    "width-1": {"width": 1},
    "width-2": {"width": 2, "channels": 33},
    "width-3": {"width": 3, "batch": 1, "length": 20},
    "width-5": {"width": 5, "length": 11},
    "width-8": {"width": 8, "length": 19},
    "several-tiles": {"batch": 1, "length": 150, "channels": 20},
    "many-channels": {"length": 6, "channels": 300},
    "packed": {"batch": 1, "length": 37, "ends": [0, 0, 1, 3, 3, 20, 37, 37]},
    "packed-no-state": {"batch": 1, "length": 37, "ends": [0, 5, 37], "start": False, "bias": False},
    "packed-wide": {"batch": 1, "length": 37, "width": 8, "ends": [0, 2, 2, 9, 37]},
    "packed-one": {"batch": 1, "length": 9, "ends": [0, 9]},
    "no-tokens": {"length": 0},
    "no-tokens-packed": {"batch": 1, "length": 0, "ends": [0, 0, 0]},
    "no-rows": {"batch": 0},
}


@pytest.mark.parametrize("size", SIZES)
def test_equals_definition(size: str, place: Place) -> None:
    """Values and every gradient, the final state's share included."""
    values = inputs(**SIZES[size], device=place.device)
    agree(values, TOLERANCE["float32"], implementation(place))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("size", ["several-tiles", "width-8", "packed"])
def test_low_precision_is_rounded_once(size: str, dtype: str, place: Place) -> None:
    """Arithmetic is in float32; weights stay in float32 beside activations of half the size."""
    values = inputs(**SIZES[size], dtype=DTYPES[dtype], device=place.device)
    slack = 2 if place.interpreted else 1  # the interpreter rounds to bfloat16 by cutting off
    agree(values, slack * TOLERANCE[dtype], implementation(place))


@pytest.mark.parametrize("size", SIZES)
def test_float64(size: str) -> None:
    agree(inputs(**SIZES[size], dtype=F64), TOLERANCE["float64"], "auto")


def test_without_activation(place: Place) -> None:
    agree(inputs(length=40, device=place.device), TOLERANCE["float32"], implementation(place), activation=None)


@pytest.mark.parametrize("place", places("triton", "triton-interpreter"), indirect=True)
@pytest.mark.parametrize("programs", [1, 10**9], ids=["longest", "shortest"])
def test_stretches_of_any_length(programs: int, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """How tokens are dealt out to programs changes nothing."""
    # by its name in sys.modules: another test may have had the package imported anew
    monkeypatch.setattr(importlib.import_module("seqscale.kernels.gpu.convolution"), "_PROGRAMS", programs)
    agree(inputs(1, 150, 40, device=place.device), TOLERANCE["float32"], "triton")
    agree(inputs(1, 150, 40, ends=[0, 31, 32, 90, 150], device=place.device), TOLERANCE["float32"], "triton")


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("batch", "length", "channels"), [(3, 997, 260), (1, 4096, 256), (2, 513, 2048), (70000, 1, 8)]
)
@pytest.mark.parametrize("width", [2, 4, 7])
def test_large_on_a_gpu(batch: int, length: int, channels: int, width: int, dtype: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU; PyTorch sees none here")
    values = inputs(batch, length, channels, width, dtype=DTYPES[dtype], device="cuda")
    agree(values, TOLERANCE[dtype], "triton")


@pytest.mark.gpu
def test_addresses_beyond_31_bits() -> None:
    """More than 2^31 elements: the last tokens' results are those of the last tokens alone."""
    if not torch.cuda.is_available() or torch.cuda.mem_get_info()[0] < 40e9:
        pytest.skip("needs a CUDA GPU with 40 GB free")
    length, channels, tail = 2**20 + 5, 2064, 100
    assert length * channels > 2**31
    x = torch.randn(1, length, channels, device="cuda", dtype=torch.bfloat16).requires_grad_()
    values = inputs(1, tail, channels, device="cuda")
    y, final = causal_conv1d(x, values["weight"], values["bias"], activation="silu", implementation="triton")
    end = x[:, -tail:].detach().requires_grad_()
    before = x[:, -tail - 3 : -tail].detach()
    expected, last = causal_conv1d(end, values["weight"], values["bias"], before, "silu", implementation="triton")
    assert torch.equal(y[:, -tail:], expected)
    assert torch.equal(final, last)
    dy = torch.randn_like(expected)
    y[:, -tail:].backward(dy)
    expected.backward(dy)
    assert x.grad is not None and end.grad is not None
    torch.testing.assert_close(x.grad[:, -tail:], end.grad)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_in_pieces_is_the_whole(width: int, place: Place) -> None:
    values = inputs(width=width, start=False, device=place.device)
    chosen = implementation(place)
    x, parameters = values.pop("x"), {"weight": values["weight"], "bias": values["bias"]}
    whole, last = causal_conv1d(x, **parameters, implementation=chosen)
    state, pieces = None, []
    for begin, end in ((0, 1), (1, 3), (3, 4), (4, 9)):
        y, state = causal_conv1d(x[:, begin:end], **parameters, initial_state=state, implementation=chosen)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)
    assert torch.equal(state, last)


def test_packed_is_each_alone(place: Place) -> None:
    ends, chosen = [0, 4, 4, 5, 21], implementation(place)
    values = inputs(1, 21, ends=ends, device=place.device)
    y, final = causal_conv1d(**values, activation="silu", implementation=chosen)
    for s, (begin, end) in enumerate(itertools.pairwise(ends)):
        alone = {"x": values["x"][:, begin:end], "initial_state": values["initial_state"][s : s + 1]}
        parameters = {"weight": values["weight"], "bias": values["bias"]}
        expected, last = causal_conv1d(**alone, **parameters, activation="silu", implementation=chosen)
        torch.testing.assert_close(y[:, begin:end], expected)
        assert torch.equal(final[s : s + 1], last)


@pytest.mark.parametrize("layout", ["half of a wide tensor", "channels before length", "every other", "expanded"])
def test_any_strides(layout: str, place: Place) -> None:
    values = inputs(length=20, channels=6, device=place.device)
    x = values["x"]
    if layout == "half of a wide tensor":
        values["x"] = torch.cat([x, x], dim=-1)[..., 6:]
    elif layout == "channels before length":
        values["x"] = x.transpose(1, 2).contiguous().transpose(1, 2)
        values["weight"] = values["weight"].t().contiguous().t()
        values["initial_state"] = values["initial_state"].transpose(0, 2).contiguous().transpose(0, 2)
    elif layout == "every other":
        values["x"] = x.repeat_interleave(2, dim=1)[:, ::2]
        values["bias"] = values["bias"].repeat_interleave(2)[::2]
    else:
        values["x"] = x[:1].expand_as(x)
    assert not values["x"].is_contiguous()
    dense = {name: None if t is None else t.contiguous() for name, t in values.items()}
    # the gradients' strides too: the one that comes in has those of x
    results = []
    for given in (values, dense):
        free = given["x"].detach().requires_grad_()
        y, final = causal_conv1d(**{**given, "x": free}, activation="silu", implementation=implementation(place))
        dy = torch.sin(given["x"]) if given is values else torch.sin(given["x"]).contiguous()
        results.append([y, final, *torch.autograd.grad(y, free, dy)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_parameters_in_low_precision(place: Place) -> None:
    """Gradients come in their inputs' dtypes."""
    values = inputs(device=place.device)
    values = {n: None if t is None else t.bfloat16().requires_grad_() for n, t in values.items()}
    y, final = causal_conv1d(**values, implementation=implementation(place))
    (y.float().sum() + final.float().sum()).backward()
    for name in NAMES:
        assert values[name].grad.dtype == torch.bfloat16, name
        assert values[name].grad.isfinite().all(), name


def test_same_bits_twice(place: Place) -> None:
    values = inputs(2, 70, 20, device=place.device)
    incoming = (torch.ones_like(values["x"]), torch.ones_like(values["initial_state"]))
    one, other = (run(values, incoming, activation="silu", implementation=implementation(place)) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp2:RuntimeWarning")  # NumPy, in the interpreter
def test_extreme_values(place: Place) -> None:
    """SiLU far out on both sides is x and 0, and its gradient is 1 and 0."""
    x = torch.tensor([-1e30, -1e4, -90.0, -50.0, 0.0, 50.0, 1e4, 1e30], device=place.device).reshape(1, 8, 1)
    x.requires_grad_()
    weight = torch.tensor([[0.0, 1.0]], device=place.device)
    y, _ = causal_conv1d(x, weight, activation="silu", implementation=implementation(place))
    torch.testing.assert_close(y, F.silu(x))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    expected = torch.tensor([0, 0, 0, 0, 0.5, 1, 1, 1.0], device=place.device).reshape(1, 8, 1)
    torch.testing.assert_close(gradient, expected)


def test_position_t_does_not_see_what_follows(place: Place) -> None:
    values = inputs(length=30, device=place.device)
    y, _ = causal_conv1d(**values, implementation=implementation(place))
    values["x"] = values["x"].clone()
    values["x"][:, 11] += 1.0
    other, _ = causal_conv1d(**values, implementation=implementation(place))
    assert torch.equal(other[:, :11], y[:, :11])
    assert torch.equal(other[:, 15:], y[:, 15:])
    assert not torch.allclose(other[:, 11:15], y[:, 11:15])


@pytest.mark.parametrize("ends", [None, [0, 2, 5]], ids=["batch", "packed"])
@pytest.mark.parametrize("chosen", ["auto", "reference"])
def test_gradients_against_finite_differences(ends: list[int] | None, chosen: str) -> None:
    values = inputs(1, 5, 2, 3, ends=ends, dtype=F64)
    free = [values[name].requires_grad_() for name in NAMES]

    def both(*v: Tensor) -> Any:
        named = dict(zip(NAMES, v, strict=True))
        return causal_conv1d(**named, activation="silu", cu_seqlens=values["cu_seqlens"], implementation=chosen)

    assert torch.autograd.gradcheck(both, free)


@pytest.mark.parametrize("needs", [("x",), ("weight",), ("bias", "initial_state")], ids=str)
def test_gradients_of_some_inputs_alone(needs: tuple[str, ...], place: Place) -> None:
    values = inputs(device=place.device)
    for name in needs:
        values[name].requires_grad_()
    y, _ = causal_conv1d(**values, implementation=implementation(place))
    found = torch.autograd.grad(y.sum(), [values[name] for name in needs])
    y, _ = causal_conv1d(**values, implementation="reference")
    for one, other in zip(found, torch.autograd.grad(y.sum(), [values[name] for name in needs]), strict=True):
        torch.testing.assert_close(one, other)


def test_autocast_changes_nothing(place: Place) -> None:
    values = inputs(device=place.device)
    y, final = causal_conv1d(**values, activation="silu", implementation=implementation(place))
    with torch.autocast(place.device, torch.bfloat16):
        cast, cast_final = causal_conv1d(**values, activation="silu", implementation=implementation(place))
    assert torch.equal(y, cast) and torch.equal(final, cast_final)


# --- as a PyTorch operation -------------------------------------------------------------------------------------------

CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")


@pytest.mark.parametrize("size", ["plain", "bare", "packed", "no-tokens"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_opcheck(size: str, dtype: str, place: Place) -> None:
    if place.implementation == "reference":
        pytest.skip("the reference is no registered operation")
    if place.interpreted and (dtype == "float32") != (size in ("plain", "packed")):
        pytest.skip("in the interpreter dtypes take turns: opcheck runs an operation a dozen times")
    values = inputs(**SIZES[size], dtype=DTYPES[dtype], device=place.device)
    free = [None if values[n] is None else values[n].requires_grad_() for n in NAMES]
    rest = (values["cu_seqlens"], True, implementation(place))
    torch.library.opcheck(torch.ops.seqscale.causal_conv1d.default, (*free, *rest), test_utils=CHECKS)
    bare = [None if t is None else t.detach() for t in free]
    y, final = torch.ops.seqscale.causal_conv1d(*bare, *rest)
    torch.library.opcheck(
        torch.ops.seqscale.causal_conv1d_backward.default, (y, final, *bare, *rest), test_utils=CHECKS
    )


def test_opcheck_with_dynamic_shapes() -> None:
    values = inputs()
    args = (*(values[n].requires_grad_() for n in NAMES), None, True, "auto")
    torch.library.opcheck(torch.ops.seqscale.causal_conv1d.default, args, test_utils=("test_aot_dispatch_dynamic",))


def test_shapes_on_the_meta_device() -> None:
    y, final = causal_conv1d(**inputs(device="meta"))
    assert (y.shape, final.shape, y.device.type) == ((2, 9, 3), (2, 3, 3), "meta")


@pytest.mark.parametrize("chosen", ["auto", "pytorch"])
def test_flops_are_counted(chosen: str) -> None:
    """Each token meets each tap once, a multiply-add is two; the backward counts twice that."""
    values = {n: None if t is None else t.requires_grad_() for n, t in inputs(2, 9, 3, 4).items()}
    with FlopCounterMode(display=False) as counter:
        y, _ = causal_conv1d(**values, activation="silu", implementation=chosen)
    assert counter.get_total_flops() == 2 * 2 * 9 * 3 * 4
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert counter.get_total_flops() == 2 * 2 * 2 * 9 * 3 * 4


def test_under_torch_func() -> None:
    values = inputs(3, 7, start=False)
    x, parameters = values["x"], (values["weight"], values["bias"])

    def loss(weight: Tensor, row: Tensor) -> Tensor:
        return causal_conv1d(row.unsqueeze(0), weight, parameters[1], activation="silu")[0].square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters[0], x)
    for row, found in zip(x, each, strict=True):
        weight = parameters[0].clone().requires_grad_()
        torch.testing.assert_close(found, torch.autograd.grad(loss(weight, row), weight)[0])
    with pytest.raises(ValueError, match=r"'cpu' cannot run under a transform.*allowed there: auto, pytorch"):
        torch.func.vmap(lambda row: causal_conv1d(row[None], *parameters, implementation="cpu")[0])(x)


def test_no_second_derivative_is_said() -> None:
    values = inputs(dtype=F64)
    values["x"].requires_grad_()
    y, _ = causal_conv1d(**values, activation="silu")
    (gradient,) = torch.autograd.grad(y.sum(), values["x"], create_graph=True)
    with pytest.raises(NotImplementedError, match=r"no second derivative.*'reference' has all"):
        gradient.sum().backward()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": torch.zeros(9, 3)}, r"x must be \(batch, length, channels\); got \(9, 3\)"),
        ({"weight": torch.zeros(4, 3)}, r"weight must be \(channels, width\) with channels = 3; got \(4, 3\)"),
        ({"weight": torch.zeros(3, 0)}, "weight must be"),
        ({"bias": torch.zeros(4)}, r"bias must be \(channels,\) = \(3,\); got \(4,\)"),
        ({"initial_state": torch.zeros(2, 4, 3)}, r"\(batch, width - 1, channels\) = \(2, 3, 3\); got \(2, 4, 3\)"),
        ({"activation": "gelu"}, "activation must be None or 'silu'; got 'gelu'"),
        ({"cu_seqlens": torch.tensor([0, 9])}, "batch must be 1; got 2"),
        ({"x": torch.zeros(2, 9, 3, dtype=torch.int64)}, "x is torch.int64; allowed: float32"),
        ({"bias": torch.zeros(3, device="meta")}, "one device; x is on cpu and bias on meta"),
        ({"implementation": "cuda"}, "unknown implementation 'cuda' of causal_conv1d; choose from auto, triton"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_wrong_arguments_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        causal_conv1d(**{**inputs(), **change})


@pytest.mark.parametrize("ends", [[1, 9], [0, 5, 4, 9], [0, 8]], ids=str)
@pytest.mark.parametrize("chosen", ["auto", "pytorch", "reference"])
def test_wrong_packing_is_refused(ends: list[int], chosen: str) -> None:
    values = inputs(1, start=False)
    with pytest.raises(ValueError, match="cu_seqlens must"):
        causal_conv1d(**{**values, "cu_seqlens": torch.tensor(ends)}, implementation=chosen)


def test_reference_by_hand() -> None:
    """y_1 = 10 + 2 * 5 + 3 * 1, y_2 = 10 + 2 * 1 + 3 * 4."""
    x, weight = torch.tensor([[[1.0], [4.0]]]), torch.tensor([[2.0, 3.0]])
    y = causal_conv1d_reference(x, weight, torch.tensor([10.0]), torch.tensor([[[5.0]]]))
    assert y.flatten().tolist() == [23.0, 24.0]
