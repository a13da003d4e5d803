"""One token at a time on the CPU: the step of the scan, and the whole mixer in one call against its own operations."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from cpu_isas import isa
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from seqscale.kernels.cpu import build, decode
from seqscale.kernels.cpu.step import step_update
from seqscale.kernels.step import selective_state_step
from seqscale.mixers import State
from seqscale.mixers.mamba import Mamba

__all__ = ["isa"]

pytestmark = pytest.mark.skipif(not build.available(), reason=f"no native library: {build.reason()}")
SIZES: dict[str, dict[str, Any]] = {
    "mamba": {"d_model": 128},
    "small": {"d_model": 16, "d_state": 4},
    "smallest": {"d_model": 1, "d_state": 1, "d_conv": 1, "expand": 1},
    "odd": {"d_model": 21, "d_state": 17, "d_conv": 3, "expand": 3, "dt_rank": 5},
    "wide": {"d_model": 200, "d_state": 40, "d_conv": 2},
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """One entry for each native step of a mixer."""
    made: list[int] = []
    native = decode.mamba_step

    def counted(x: Tensor, *rest: Any) -> Any:
        made.append(x.shape[0])
        return native(x, *rest)

    monkeypatch.setattr(decode, "mamba_step", counted)
    return made


def mixer(seed: int = 0, **options: Any) -> Mamba:
    torch.manual_seed(seed)
    return Mamba(**(options or SIZES["mamba"]))


def started(m: Mamba, batch: int) -> State:
    state = m.init_state(batch, 9, torch.device("cpu"), torch.float32)
    return {name: torch.randn_like(tensor) for name, tensor in state.items()}


def ordinary(m: Mamba, x: Tensor, state: State) -> tuple[Tensor, State]:
    """The step by PyTorch's operations, in float64."""
    wide = {name: tensor.double() for name, tensor in state.items()}
    return copy.deepcopy(m).double().step(x.double(), wide)


def close(found: Tensor, expected: Tensor, tolerance: float = 2e-6) -> None:
    assert found.shape == expected.shape
    assert (found - expected).norm() <= tolerance * expected.norm()


@pytest.mark.parametrize("batch", [1, 2, 4, 5, 16])
@pytest.mark.parametrize("options", SIZES.values(), ids=SIZES)
def test_a_step_is_the_ordinary_step(options: dict[str, Any], batch: int, calls: list[int]) -> None:
    m = mixer(**options)
    x, state = torch.randn(batch, m.d_model), started(m, batch)
    before = {name: tensor.clone() for name, tensor in state.items()}
    with torch.inference_mode():
        y, following = m.step(x, state)
        expected, expected_following = ordinary(m, x, state)
    assert calls == [batch]
    close(y, expected)
    assert following.keys() == expected_following.keys()
    for name in following:
        if following[name].numel():
            close(following[name], expected_following[name])
        assert torch.equal(state[name], before[name]), "the state that was given was changed"


@pytest.mark.parametrize("options", [SIZES["mamba"], SIZES["odd"]], ids=["mamba", "odd"])
def test_every_width_of_vectors(isa: str, options: dict[str, Any]) -> None:
    m = mixer(**options)
    x, state = torch.randn(3, m.d_model), started(m, 3)
    with torch.no_grad():
        close(m.step(x, state)[0], ordinary(m, x, state)[0])


def test_token_by_token_is_the_sequence() -> None:
    m = mixer()
    x = torch.randn(2, 20, 128)
    with torch.inference_mode():
        whole, state = m(x, m.init_state(2, 20, x.device, x.dtype))
        following, outputs = m.init_state(2, 20, x.device, x.dtype), []
        for t in range(20):
            y, following = m.step(x[:, t], following)
            outputs.append(y)
    close(torch.stack(outputs, dim=1), whole)
    close(following["ssm"], state["ssm"])


def test_same_bits_for_any_number_of_threads() -> None:
    m = mixer(d_model=160)
    x, state, before, found = torch.randn(2, 160), started(m, 2), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                y, following = m.step(x, state)
            found.append([y, *following.values()])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_with_gradients_it_is_the_ordinary_step(calls: list[int]) -> None:
    m = mixer()
    y, _ = m.step(torch.randn(1, 128), started(m, 1))
    y.sum().backward()
    assert not calls
    assert all(p.grad is not None for p in m.parameters())


def test_operations_are_still_counted(calls: list[int]) -> None:
    m = mixer()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        m.step(torch.randn(1, 128), started(m, 1))
    assert not calls
    assert counter.get_total_flops() > 2 * 128 * 512


@pytest.mark.parametrize("name", ["in_proj", "conv", "out_proj"])
def test_a_hook_is_called(name: str, calls: list[int]) -> None:
    m, seen = mixer(), []
    m.get_submodule(name).register_forward_hook(lambda *_: seen.append(name))
    with torch.no_grad():
        m.step(torch.randn(1, 128), started(m, 1))
    assert not calls
    assert seen == ([name] if name != "conv" else [])  # the ordinary step reads the convolution's weights alone


def test_an_exchanged_layer_is_called(calls: list[int]) -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    m = mixer()
    x, state = torch.randn(1, 128), started(m, 1)
    with torch.no_grad():
        single = m.step(x, state)[0]
        exchanged = Doubled(256, 128, bias=False)
        exchanged.weight = m.out_proj.weight
        m.out_proj = exchanged  # type: ignore[assignment]
        close(m.step(x, state)[0], 2 * single)
    assert calls == [1]


@pytest.mark.parametrize("how", ["in place", "data", "parameter", "bias"])
def test_changed_weights_are_seen(how: str, calls: list[int]) -> None:
    m = mixer()
    x, state = torch.randn(1, 128), started(m, 1)
    with torch.no_grad():
        m.step(x, state)
        if how == "in place":
            m.A_log.add_(0.5)
        elif how == "data":
            m.x_proj.weight.data = m.x_proj.weight.data * 2
        elif how == "parameter":
            m.D = nn.Parameter(torch.randn(256))
        else:
            m.in_proj.bias = nn.Parameter(torch.randn(512))
        close(m.step(x, state)[0], ordinary(m, x, state)[0])
    assert calls == [1, 1]


@pytest.mark.parametrize("change", ["double", "transposed", "autocast", "wide batch"])
def test_what_it_does_not_take_goes_the_ordinary_way(change: str, calls: list[int]) -> None:
    m, batch = mixer(), decode.MOST_ROWS + 1 if change == "wide batch" else 1
    x, state = torch.randn(batch, 128), started(m, batch)
    if change == "double":
        m, x, state = m.double(), x.double(), {name: tensor.double() for name, tensor in state.items()}
    if change == "transposed":
        m.x_proj.weight.data = m.x_proj.weight.data.t().contiguous().t()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=change == "autocast"):
        y, _ = m.step(x, state)
    assert not calls
    with torch.no_grad():
        close(y, ordinary(m, x, state)[0], 2e-2 if change == "autocast" else 2e-6)


def test_moved_there_and_back(calls: list[int]) -> None:
    m = mixer()
    x, state = torch.randn(1, 128), started(m, 1)
    with torch.no_grad():
        first = m.step(x, state)[0]
        m.double().float()
        again = copy.deepcopy(m)
        assert torch.equal(m.step(x, state)[0], first)
        assert torch.equal(again.step(x, state)[0], first)
    assert calls == [1, 1, 1]


@pytest.mark.parametrize(("d_inner", "d_state", "groups"), [(40, 16, 1), (33, 17, 3), (1, 1, 1), (20, 64, 4)])
def test_step_of_the_scan(isa: str, d_inner: int, d_state: int, groups: int) -> None:
    g = torch.Generator().manual_seed(0)
    shapes = [(3, d_inner, d_state), (3, d_inner), (3, d_inner), (d_inner, d_state), *[(3, groups, d_state)] * 2]
    state, u, delta, A, B, C = (torch.randn(shape, generator=g) for shape in shapes)
    D, z, bias = (torch.randn(shape, generator=g) for shape in ((d_inner,), (3, d_inner), (d_inner,)))
    exact = [t.double() for t in (state, u, delta, -A.abs(), B, C, D, z, bias)]
    expected, following = selective_state_step(*exact, delta_softplus=True)
    strided = state.transpose(0, 1).clone(memory_format=torch.contiguous_format).transpose(0, 1)
    for held in (state, strided):
        y = step_update(held, u, delta, -A.abs(), B, C, D, z, bias, True)
        close(y, expected)
        close(held, following)


def test_step_of_many_rows_in_half_precision() -> None:
    g = torch.Generator().manual_seed(0)
    state, A = torch.zeros(200, 128, 16), -torch.rand(128, 16, generator=g)
    u, delta = (torch.rand(200, 128, generator=g).bfloat16() for _ in range(2))
    B, C = (torch.rand(200, 1, 16, generator=g).bfloat16() for _ in range(2))
    expected, following = selective_state_step(*(t.double() for t in (state, u, delta, A, B, C)))
    out = torch.empty(200, 128)
    assert step_update(state, u, delta, A, B, C, out=out) is out
    close(out, expected)
    close(state, following)
