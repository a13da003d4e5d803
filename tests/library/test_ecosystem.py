"""In the hands of PyTorch's own tools: compiler without graph breaks, transforms, autocast, checkpointing, opcheck."""

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

from seqscale import kernels
from seqscale.mixers import get
from seqscale.models.blocks import Block


def block(seed: int = 0) -> Block:
    """A Mamba block: norm, mixer, residual."""
    torch.manual_seed(seed)
    return Block(get("mamba")(8, d_state=3), "none", "rmsnorm")


def batch(seed: int = 1) -> Tensor:
    return torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(seed))


def gradients(y: Tensor, module: torch.nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(y.square().sum(), list(module.parameters())))


# --- torch.compile ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_block_compiles_as_one_graph(backend: str) -> None:
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("Inductor compiles C++ on a CPU, and there is no g++ here")
    module, x = block(), batch()
    compiled = torch.compile(module, fullgraph=True, backend=backend)
    y, expected = compiled(x), module(x)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    for found, wanted in zip(gradients(y, module), gradients(expected, module), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_a_block_with_a_state_compiles_as_one_graph() -> None:
    module, x = block(), batch()
    state = module.mixer.init_state(2, 9, x.device, x.dtype)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        (y, following), (expected, wanted) = compiled(x, state), module(x, state)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(following["ssm"], wanted["ssm"])


# --- torch.func, autocast, checkpointing ------------------------------------------------------------------------------


def test_gradients_per_example_by_torch_func() -> None:
    module, x = block(), batch()
    parameters = dict(module.named_parameters())

    def loss(parameters: dict[str, Tensor], row: Tensor) -> Tensor:
        return functional_call(module, parameters, (row.unsqueeze(0),)).square().sum()

    each = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    for row in range(2):
        alone = grad(loss)(parameters, x[row])
        for name, value in alone.items():
            torch.testing.assert_close(each[name][row], value, rtol=1e-4, atol=1e-5)


def test_checkpointing_changes_nothing() -> None:
    module, x = block(), batch()
    plain = gradients(module(x), module)
    again = gradients(checkpoint(module, x, use_reentrant=False), module)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_autocast_trains() -> None:
    module, x = block(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
    expected = module(x)
    assert (y.float() - expected).abs().max() < 0.05 * expected.abs().max()
    for found, wanted in zip(gradients(y.float(), module), gradients(expected, module), strict=True):
        assert found.dtype == torch.float32
        assert (found - wanted).abs().max() <= 0.1 * wanted.abs().max() + 1e-3


# --- torch.library.opcheck --------------------------------------------------------------------------------------------


def samples() -> dict[str, tuple[Any, ...]]:
    """Arguments for every operation that this package registers, by its name."""
    g = torch.Generator().manual_seed(0)

    def r(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    b, n, d, s, w = 2, 6, 4, 3, 3
    u, delta, A, B, C = r(b, n, d), r(b, n, d), -r(d, s).exp(), r(b, n, 1, s), r(b, n, 1, s)
    D, z, bias, first = r(d), r(b, n, d), r(d), r(b, d, s)
    scan = (u, delta, A, B, C, D, z, bias, first, None, True, True, "chunked")
    y, last, saved = torch.ops.seqscale.selective_scan(*scan)
    x, weight, conv_bias, state = r(b, n, d), r(d, w), r(d), r(b, w - 1, d)
    return {
        "selective_scan": scan,
        "selective_scan_backward": (torch.ones_like(y), torch.ones_like(last), *scan[:11], saved, "chunked"),
        **_others(x, weight, conv_bias, state),
    }


def _others(x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> dict[str, tuple[Any, ...]]:
    """Recorded from real calls, so that they are what the package itself passes."""
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: dict[str, tuple[Any, ...]] = {}

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            namespace, _, name = func._schema.name.partition("::")
            if namespace == "seqscale" and not kwargs:
                copied = tuple(a.detach().clone() if isinstance(a, Tensor) else a for a in args)
                seen.setdefault(name, copied)
            return func(*args, **(kwargs or {}))

    b, _n, d = x.shape
    A = -torch.ones(d, 3)
    with Record():
        given = [t.clone().requires_grad_() for t in (x, weight, bias, state)]
        y, final = kernels.causal_conv1d(given[0], given[1], given[2], given[3], activation="silu")
        (y.sum() + final.sum()).backward()
        with torch.no_grad():
            window = torch.zeros(b, weight.shape[1] - 1, d)
            kernels.causal_conv1d_step_(window, x[:, 0], weight, bias, "silu")
            kernels.selective_state_step_(torch.zeros(b, d, 3), x[:, 0], x[:, 1], A, torch.ones(b, 3), torch.ones(b, 3))
    return seen


def registered() -> set[str]:
    """Every operation in this package's namespace."""
    names = torch._C._dispatch_get_all_op_names()
    return {name.partition("::")[2].partition(".")[0] for name in names if name.startswith("seqscale::")}


@pytest.fixture(scope="module")
def arguments() -> dict[str, tuple[Any, ...]]:
    return samples()


def test_every_operation_has_a_sample(arguments: dict[str, tuple[Any, ...]]) -> None:
    assert registered() == set(arguments)


@pytest.mark.parametrize("name", sorted(registered()))
def test_opcheck(name: str, arguments: dict[str, tuple[Any, ...]]) -> None:
    """Schema, fake tensors, autograd registration, tracing with fixed shapes (dynamic ones: tests/kernels)."""
    checks = ["test_schema", "test_faketensor", "test_aot_dispatch_static"]
    if not name.endswith(("backward", "_")):
        checks.append("test_autograd_registration")
        given = tuple(a.clone().requires_grad_() if isinstance(a, Tensor) and a.is_floating_point() else a
                      for a in arguments[name])  # fmt: skip
    else:
        given = arguments[name]
    torch.library.opcheck(getattr(torch.ops.seqscale, name).default, given, test_utils=checks)
