"""The scan as an operation of PyTorch: torch.library, compiler, transforms, checkpointing, autocast, FLOPs."""

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_places import Place, places
from scan_cases import GRADIENTS, OPTIONS, Case, make
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import seqscale
from seqscale.kernels import scan_flops, selective_scan

COMPILED = pytest.mark.parametrize("place", places("cpu", "chunked", "triton", "chunked-cuda"), indirect=True)
KERNELS = pytest.mark.parametrize(
    "place", places("cpu", "chunked", "triton", "triton-interpreter", "chunked-cuda"), indirect=True
)


def case(name: str, length: int = 13, **options: Any) -> Case:
    return Case("float32", 4, length, **(OPTIONS[name] | {"groups": 0, "width": "narrow", "rows": 2, **options}))


def named(values: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors that have gradients, by name."""
    return {name: values[name] for name in GRADIENTS if name in values}


def scan_of(values: dict[str, Any], place: Place) -> Any:
    """A function of the tensors in `named(values)` alone."""
    names = list(named(values))
    rest = {k: v for k, v in values.items() if k not in names}

    def scan(*tensors: Tensor) -> Any:
        arguments = dict(zip(names, tensors, strict=True))
        return selective_scan(**arguments, **rest, return_last_state=True, implementation=place.implementation)

    return scan


def forward_arguments(values: dict[str, Any], place: Place, save: bool = True) -> tuple[Any, ...]:
    tensors = [values.get(name) for name in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")]
    return (*tensors, values["cu_seqlens"], values["delta_softplus"], save, place.implementation)


# --- torch.library ----------------------------------------------------------------------------------------------------


@KERNELS
@pytest.mark.parametrize("name", ["bare", "all", "all-packed"])
@pytest.mark.parametrize("length", [0, 1, 13])
def test_opcheck(length: int, name: str, place: Place) -> None:
    """Schema, autograd registration, fake tensors, tracing by AOTAutograd with dynamic shapes; both operations."""
    if place.interpreted and length != 1:
        pytest.skip("the interpreter is tried with one token: opcheck runs an operation a dozen times")
    values = make(case(name, length), place.device)
    if values["cu_seqlens"] is not None:  # no empty sequence: what is kept for one is never read and may be anything
        ends = [0, length] if length < 2 else [0, 1, length // 2, length]
        values["cu_seqlens"] = torch.tensor(ends, device=place.device)
        values["initial_state"] = torch.ones(len(ends) - 1, 4, 4, device=place.device, requires_grad=True)
    arguments = forward_arguments(values, place)
    if length > 0:  # dynamic shapes take 0 and 1 apart
        torch.library.opcheck(torch.ops.seqscale.selective_scan.default, arguments)
    checks = ("test_schema", "test_faketensor", "test_aot_dispatch_static")
    torch.library.opcheck(torch.ops.seqscale.selective_scan.default, arguments, test_utils=checks)

    silent = [t.detach() if isinstance(t, Tensor) else t for t in arguments]
    y, last, saved = torch.ops.seqscale.selective_scan(*silent)
    arguments = (torch.ones_like(y), torch.ones_like(last), *silent[:11], saved, place.implementation)
    torch.library.opcheck(torch.ops.seqscale.selective_scan_backward.default, arguments, test_utils=checks)


def test_only_a_forward_that_will_be_differentiated_keeps_states() -> None:
    place = Place("chunked", "cpu")
    values = make(case("bare"))
    seen: list[bool] = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.seqscale.selective_scan.default:
                seen.append(args[11])
            return func(*args, **(kwargs or {}))

    with Watch():
        scan_of(values, place)(*named(values).values())
        with torch.no_grad():
            scan_of(values, place)(*named(values).values())
        scan_of(values, place)(*(t.detach() for t in named(values).values()))
    assert seen == [True, False, False]


def test_shapes_on_the_meta_device() -> None:
    values = make(case("all-packed"), "cpu")
    values = {
        k: v.detach().to("meta").requires_grad_(v.is_floating_point()) if isinstance(v, Tensor) else v
        for k, v in values.items()
    }
    y, last = selective_scan(**values, return_last_state=True)
    assert (y.shape, last.shape, y.device.type) == (values["u"].shape, values["initial_state"].shape, "meta")
    (y.sum() + last.sum()).backward()
    assert all(t.grad is not None and t.grad.shape == t.shape for t in named(values).values())


def test_there_is_no_second_derivative_and_it_says_so() -> None:
    values = make(case("bare"))
    tensors = list(named(values).values())
    y, _ = scan_of(values, Place("chunked", "cpu"))(*tensors)
    (gradient,) = torch.autograd.grad(y.sum(), tensors[:1], create_graph=True)
    with pytest.raises(NotImplementedError, match=r"no second derivative.*implementation='reference' has all"):
        gradient.sum().backward()


def test_the_compiler_is_not_imported_by_using_the_scan() -> None:
    """TorchDynamo costs every process a second, triton's import 0.2 s: only for those who use them."""
    program = """
import sys, torch
from seqscale.kernels import selective_scan
before = set(sys.modules)
t = [torch.ones(s, requires_grad=True) for s in ((1, 3, 2), (1, 3, 2), (2, 2), (1, 3, 2), (1, 3, 2))]
selective_scan(*t, implementation="chunked").sum().backward()
assert t[0].grad is not None
late = [m for m in ("torch._dynamo", "triton", "sympy") if m in sys.modules]
assert not late, late
from torch.utils.flop_counter import FlopCounterMode
with FlopCounterMode(display=False) as counter:
    selective_scan(*t, implementation="chunked")
assert counter.get_total_flops() == 9 * 3 * 2 * 2
"""
    environment = os.environ | {"PYTHONPATH": str(Path(seqscale.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


# --- compiler, transforms, checkpointing, autocast --------------------------------------------------------------------


def same_results(one: Any, other: Any, tensors: list[Tensor], exactly: bool = True) -> None:
    """Values and gradients of two functions of `tensors` are the same."""
    found = []
    for function in (one, other):
        y, last = function(*tensors)
        gradients = torch.autograd.grad(y.sin().sum() + last.cos().sum(), tensors)
        found.append((y.detach(), last.detach(), *gradients))
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b) if exactly else torch.allclose(a, b, rtol=1e-5, atol=1e-5)


@COMPILED
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", ["bare", "all", "all-packed"])
def test_compiled_in_one_graph(name: str, dynamic: bool, place: Place) -> None:
    torch._dynamo.reset()
    values = make(case(name), place.device)
    scan = scan_of(values, place)
    compiled = torch.compile(scan, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    same_results(compiled, scan, list(named(values).values()))
    with torch.no_grad():
        assert torch.equal(compiled(*named(values).values())[0], scan(*named(values).values())[0])


@pytest.mark.slow
@pytest.mark.parametrize("place", places("triton"), indirect=True)
def test_compiled_by_inductor_among_other_operations(place: Place) -> None:
    torch._dynamo.reset()
    values = make(case("all", 37, width="wide"), place.device)
    scan = scan_of(values, place)

    def block(*tensors: Tensor) -> Any:
        y, last = scan(tensors[0] * 2, *tensors[1:])
        return torch.nn.functional.silu(y) + 1, last * 0.5

    same_results(torch.compile(block, fullgraph=True), block, list(named(values).values()), exactly=False)


def test_compiled_code_chooses_when_it_runs() -> None:
    torch._dynamo.reset()
    values = make(case("all"))
    automatic = scan_of(values, Place("auto", "cpu"))
    same_results(torch.compile(automatic, fullgraph=True, backend="aot_eager"), automatic, list(named(values).values()))


@COMPILED
def test_transforms(place: Place) -> None:
    """torch.func's grad, vmap, and a gradient per sample, with parameters shared."""
    values = make(case("all", 5, rows=1), place.device)
    scan = scan_of(values, place)
    tensors = [t.detach() for t in named(values).values()]

    def loss(*t: Tensor) -> Tensor:
        y, last = scan(*t)
        return y.sin().sum() + last.cos().sum()

    everything = tuple(range(len(tensors)))
    leaves = [t.clone().requires_grad_() for t in tensors]
    expected = torch.autograd.grad(loss(*leaves), leaves)
    for a, b in zip(torch.func.grad(loss, everything)(*tensors), expected, strict=True):
        assert torch.equal(a, b)

    several = torch.stack([tensors[0], -tensors[0], 2 * tensors[0]])
    others = tensors[1:]
    mapped = torch.vmap(lambda u: scan(u, *others)[0])(several)
    assert torch.equal(mapped, torch.stack([scan(u, *others)[0] for u in several]))

    each = functools.partial(torch.func.grad(loss, (0, 2)))
    found = torch.vmap(lambda u: each(u, *others))(several)
    one_by_one = [each(u, *others) for u in several]
    for i in (0, 1):
        assert torch.equal(found[i], torch.stack([gradients[i] for gradients in one_by_one]))


@COMPILED
@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing(reentrant: bool, place: Place) -> None:
    values = make(case("all-packed"), place.device)
    scan, tensors = scan_of(values, place), list(named(values).values())
    gradients = []
    for run in (lambda *t: checkpoint(scan, *t, use_reentrant=reentrant), scan):
        for tensor in tensors:
            tensor.grad = None
        y, last = run(*tensors)
        (y.sin().sum() + last.cos().sum()).backward()
        gradients.append([t.grad.clone() for t in tensors if t.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@COMPILED
def test_autocast_changes_nothing(place: Place) -> None:
    """The dtypes of the arguments decide; the state stays in float32."""
    values = make(case("all"), place.device)
    scan = scan_of(values, place)

    def under_autocast(*tensors: Tensor) -> Any:
        with torch.autocast(place.device, torch.bfloat16):
            return scan(*tensors)

    same_results(under_autocast, scan, list(named(values).values()))


@COMPILED
def test_flops_are_counted(place: Place) -> None:
    """9 operations per state element and token forward, twice that backward; nothing inside is counted again."""
    values = make(case("all"), place.device)
    expected = scan_flops(*values["u"].shape, values["A"].shape[1])
    assert expected == 9 * values["u"].numel() * 4
    with FlopCounterMode(display=False) as counter:
        y, _ = scan_of(values, place)(*named(values).values())
    assert counter.get_total_flops() == expected
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert counter.get_total_flops() == 2 * expected
