"""What DESIGN.md asks of every mixer: three ways that agree, causality, gradients, an honest account of the state."""

import contextlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

import seqscale.mixers
from seqscale.mixers import Mixer, State, available, get

MODELS = yaml.safe_load((Path(__file__).parents[2] / "config" / "models.yaml").read_text())
# Every mixer as config/models.yaml uses it, at a width that tests can afford, then options and sizes of no roundness
CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    **{name: (spec["mixer"], 16, spec.get("mixer_options", {})) for name, spec in MODELS.items()},
    "linear-width-1": ("linear", 1, {}),
    "mlp-odd": ("mlp", 5, {"expand": 3}),
    "attention-1-head": ("attention", 5, {"n_heads": 1}),
    "attention-rope-5-heads": ("attention", 10, {"n_heads": 5, "rope": True}),
    "lstm-odd": ("lstm", 5, {}),
    "lti_ssm-smallest": ("lti_ssm", 3, {"d_state": 2, "expand": 1}),
    "lti_ssm-odd": ("lti_ssm", 5, {"d_state": 6, "expand": 3, "dt_min": 0.01, "dt_max": 1.0}),
    "mamba-smallest": ("mamba", 1, {"d_state": 1, "d_conv": 1, "expand": 1}),
    "s4-smallest": ("s4", 3, {"d_state": 2, "expand": 1}),
    "s4-random-odd": ("s4", 5, {"d_state": 6, "expand": 3, "init": "random", "dt_min": 0.01, "dt_max": 1.0}),
    "lti_ssm-legs-bilinear": ("lti_ssm", 5, {"d_state": 6, "init": "legs", "discretisation": "bilinear"}),
    "lti_ssm-random": ("lti_ssm", 5, {"d_state": 6, "init": "random"}),
    "mamba2-smallest": ("mamba2", 1, {"d_state": 1, "d_conv": 1, "expand": 1, "d_head": 1}),
    "mamba2-groups-odd": (
        "mamba2",
        6,
        {"d_state": 5, "d_conv": 3, "expand": 2, "d_head": 3, "n_groups": 2, "chunk": 4},
    ),
    "mamba-bare": ("mamba", 5, {"d_state": 3, "conv": False, "gate": False, "a_init": "constant"}),
    "mamba-lti-bare": (
        "mamba",
        5,
        {"d_state": 3, "conv": False, "gate": False, "a_init": "random", "selective_delta": False}
        | {"selective_b": False, "selective_c": False},
    ),
    "mamba-odd": ("mamba", 7, {"d_state": 5, "d_conv": 3, "expand": 3, "dt_rank": 2}),
}
F64 = torch.float64


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> tuple[str, int, dict[str, Any]]:
    return request.param


def make(case: tuple[str, int, dict[str, Any]], dtype: torch.dtype = F64, seed: int = 0) -> Mixer:
    name, d_model, options = case
    torch.manual_seed(seed)
    return get(name)(d_model, **options).to(dtype)


def tokens(mixer: Mixer, batch: int = 2, length: int = 11, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(batch, length, mixer.d_model, generator=torch.Generator().manual_seed(1), dtype=dtype)


def start(mixer: Mixer, batch: int = 2, length_max: int = 11, dtype: torch.dtype = F64) -> State:
    return mixer.init_state(batch, length_max, torch.device("cpu"), dtype)


def test_every_mixer_is_tested() -> None:
    assert {name for name, _, _ in CASES.values()} == set(available())


# --- three ways that agree --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [(5,), (1, 10), (1, 2, 3), (4, 4 + 1)], ids=str)
@pytest.mark.parametrize("gradients", [True, False], ids=["with-grad", "no-grad"])
@pytest.mark.parametrize("length_max", [0, 1, 11], ids=lambda n: f"reserved-{n}")
def test_in_pieces_is_the_whole(
    case: tuple[str, int, dict[str, Any]], cuts: tuple[int, ...], gradients: bool, length_max: int
) -> None:
    mixer = make(case)
    x = tokens(mixer)
    with contextlib.nullcontext() if gradients else torch.no_grad():
        whole, state, pieces = mixer(x), start(mixer, length_max=length_max), []
        for begin, end in zip((0, *cuts), (*cuts, 11), strict=True):
            y, state = mixer(x[:, begin:end], state)
            pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)


@pytest.mark.parametrize("prompt", [0, 1, 6])
@pytest.mark.parametrize("length_max", [1, 11], ids=lambda n: f"reserved-{n}")
def test_step_by_step_is_the_whole(case: tuple[str, int, dict[str, Any]], prompt: int, length_max: int) -> None:
    mixer = make(case)
    x = tokens(mixer)
    with torch.inference_mode():
        whole, state, outputs = mixer(x), start(mixer, length_max=length_max), []
        if prompt:
            y, state = mixer(x[:, :prompt], state)
            outputs.extend(y.unbind(1))
        for t in range(prompt, 11):
            y, state = mixer.step(x[:, t], state)
            assert y.shape == (2, mixer.d_model)
            outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, dim=1), whole)


@pytest.mark.parametrize("length", [1, 2, 3, 17])
def test_any_length(case: tuple[str, int, dict[str, Any]], length: int) -> None:
    mixer = make(case)
    x = tokens(mixer, length=length)
    y = mixer(x)
    assert y.shape == x.shape
    assert y.dtype == F64
    assert y.isfinite().all()
    torch.testing.assert_close(y, mixer(tokens(mixer, length=length).clone(), start(mixer, length_max=length))[0])


def test_float32_is_close_to_float64(case: tuple[str, int, dict[str, Any]]) -> None:
    mixer = make(case, torch.float32)
    x = tokens(mixer, length=40, dtype=torch.float32)
    y = mixer(x)
    expected = mixer.double()(x.double())
    assert y.dtype == torch.float32
    assert (y - expected).abs().max() <= 1e-5 * expected.abs().max() + 1e-6


# --- causality, independence, determinism -----------------------------------------------------------------------------


@pytest.mark.parametrize("t", [0, 1, 6, 10])
def test_a_change_at_t_moves_nothing_before_t(case: tuple[str, int, dict[str, Any]], t: int) -> None:
    mixer = make(case)
    x = tokens(mixer)
    other = x.clone()
    other[:, t] += 1.0
    y, moved = mixer(x), mixer(other)
    torch.testing.assert_close(moved[:, :t], y[:, :t], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(moved[:, t], y[:, t])


def test_mixers_that_claim_to_mix_do(case: tuple[str, int, dict[str, Any]]) -> None:
    mixer = make(case)
    x = tokens(mixer)
    other = x.clone()
    other[:, 3] += 1.0
    sees_past = bool((mixer(other) - mixer(x))[:, 4:].abs().max() > 1e-12)
    assert sees_past == (case[0] not in ("linear", "mlp"))


def test_rows_of_a_batch_do_not_meet(case: tuple[str, int, dict[str, Any]]) -> None:
    mixer = make(case)
    x = tokens(mixer, batch=3)
    whole = mixer(x)
    for row in range(3):
        torch.testing.assert_close(mixer(x[row : row + 1]), whole[row : row + 1])


def test_same_seed_same_mixer_same_bits(case: tuple[str, int, dict[str, Any]]) -> None:
    one, other = make(case, torch.float32), make(case, torch.float32)
    x = tokens(one, dtype=torch.float32)
    gradients = []
    for mixer in (one, other):
        y = mixer(x)
        gradients.append([y, *torch.autograd.grad(y.square().sum(), list(mixer.parameters()))])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    if one.d_model > 1:
        assert not torch.equal(make(case, torch.float32, seed=1)(x), one(x))


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "in-two-pieces"])
def test_gradients_against_finite_differences(case: tuple[str, int, dict[str, Any]], pieces: bool) -> None:
    """Of the output (and through the carried state), for the input and every parameter."""
    name, d_model, options = case
    mixer = make((name, min(d_model, 10 if options.get("n_heads") == 5 else 8), options))
    names = [n for n, _ in mixer.named_parameters()]
    x = tokens(mixer, batch=2, length=4).requires_grad_()

    def run(x: Tensor, *values: Tensor) -> Tensor:
        parameters = dict(zip(names, values, strict=True))
        if not pieces:
            return functional_call(mixer, parameters, (x,))
        first, state = functional_call(mixer, parameters, (x[:, :2], start(mixer, length_max=4)))
        return torch.cat([first, functional_call(mixer, parameters, (x[:, 2:], state))[0]], dim=1)

    assert torch.autograd.gradcheck(run, (x, *mixer.parameters()), fast_mode=True)


def test_every_parameter_matters(case: tuple[str, int, dict[str, Any]]) -> None:
    mixer = make(case)
    mixer(tokens(mixer)).square().sum().backward()
    for name, parameter in mixer.named_parameters():
        assert parameter.grad is not None, name
        if name == "qkv.bias":  # a bias on keys shifts all scores of a query alike: softmax cancels it
            continue
        assert parameter.grad.abs().max() > 0, name


# --- precision --------------------------------------------------------------------------------------------------------


def test_bfloat16_autocast_agrees_with_itself_and_float32(case: tuple[str, int, dict[str, Any]]) -> None:
    mixer = make(case, torch.float32)
    x = tokens(mixer, length=24, dtype=torch.float32)
    with torch.no_grad():
        expected = mixer(x)
        with torch.autocast("cpu", torch.bfloat16):
            whole = mixer(x)
            first, state = mixer(x[:, :9], start(mixer, length_max=24, dtype=torch.float32))
            steps = []
            for t in range(9, 24):
                y, state = mixer.step(x[:, t], state)
                steps.append(y)
    pieces = torch.cat([first, torch.stack(steps, dim=1)], dim=1)
    assert whole.dtype == first.dtype == pieces.dtype
    scale = expected.abs().max()
    assert (whole - expected).abs().max() <= 0.03 * scale
    assert (pieces - expected).abs().max() <= 0.03 * scale


# --- the account of costs ---------------------------------------------------------------------------------------------


def _bytes(state: State) -> int:
    """Bytes in use: of a cache, the filled part."""
    filled = state.get("length")
    tensors = [v if filled is None else v[:, :, :filled] for v in state.values() if isinstance(v, Tensor)]
    return sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.parametrize("length", [1, 8])
@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
@pytest.mark.parametrize("steps", [False, True], ids=["forward", "steps"])
def test_state_bytes_are_the_states_bytes(
    case: tuple[str, int, dict[str, Any]], length: int, dtype: torch.dtype, steps: bool
) -> None:
    mixer = make(case, dtype)
    x = tokens(mixer, batch=3, length=length, dtype=dtype)
    state = start(mixer, batch=3, length_max=16, dtype=dtype)
    with torch.no_grad():
        if steps:
            for t in range(length):
                _, state = mixer.step(x[:, t], state)
        else:
            _, state = mixer(x, state)
    assert mixer.state_bytes(3, length, dtype) == _bytes(state)


def test_state_in_bfloat16(case: tuple[str, int, dict[str, Any]]) -> None:
    """Caches follow the activations; what a recurrence adds up in stays in float32."""
    mixer = make(case, torch.float32)
    state = start(mixer, dtype=torch.bfloat16)
    if "length" in state:
        state["length"] = 11
    assert mixer.state_bytes(2, 11, torch.bfloat16) == _bytes(state)


def test_only_a_cache_grows(case: tuple[str, int, dict[str, Any]]) -> None:
    mixer = make(case)
    short, long = (mixer.state_bytes(1, length, torch.float32) for length in (10, 1000))
    assert long == (100 * short if case[0] == "attention" else short)


def test_flops_of_parts_add_up(case: tuple[str, int, dict[str, Any]]) -> None:
    mixer = make(case)
    shared = case[0] in ("lti_ssm", "s4")  # the batch shares their kernel
    assert mixer.flops(3, 8) == 3 * mixer.flops(1, 8) or shared
    if not shared and case[0] != "mamba2":  # a transform, or chunks, of the whole are not the sum of those of parts
        assert mixer.flops(2, 5) + mixer.flops(2, 6, context=5) == mixer.flops(2, 11)


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case[0] in ("linear", "mlp", "mamba", "mamba2")]
)
def test_flops_are_what_pytorch_counts(name: str) -> None:
    """Exactly, for what is made of counted operations; transforms, fused LSTMs and causal attention are not."""
    mixer = make(CASES[name])
    with FlopCounterMode(display=False) as counter:
        mixer(tokens(mixer))
    assert counter.get_total_flops() == mixer.flops(2, 11)


# --- options ----------------------------------------------------------------------------------------------------------


def test_unknown_options_are_refused(case: tuple[str, int, dict[str, Any]]) -> None:
    name, d_model, options = case
    with pytest.raises(TypeError, match="n_headz"):
        get(name)(d_model, **options, n_headz=3)


@pytest.mark.parametrize("name", available())
def test_options_are_keyword_only_with_hints_and_defaults(name: str) -> None:
    """They are what `mixer_options` may say, and what a config is checked against."""
    parameters = list(inspect.signature(get(name)).parameters.values())
    assert parameters[0].name == "d_model"
    for option in parameters[1:]:
        assert option.kind is option.KEYWORD_ONLY, option
        assert option.annotation in (int, float, bool, str), option
        assert type(option.default) is option.annotation, option


def test_unknown_mixer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown mixer 'mambo'; choose from attention, .*mamba"):
        get("mambo")
    with pytest.raises(ValueError, match="unknown mixer 'base'"):
        get("base")


def test_a_file_without_a_mixer_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hollow.py").write_text("x = 1\n")
    monkeypatch.setattr(seqscale.mixers, "__path__", [*seqscale.mixers.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match=r"mixers/hollow\.py must end with `MIXER ="):
        get("hollow")
