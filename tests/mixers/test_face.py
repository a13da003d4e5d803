"""What DESIGN.md asks of every mixer: three ways that agree, causality, gradients, an honest account of the state.

The identities themselves are seqscale.checks, which `seqscale check` runs as well; here they meet every mixer as the
configuration uses it and with options of no roundness.
"""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

import seqscale.mixers
from seqscale.checks import CHECKS, Case, Check, sequence
from seqscale.checks.case import tokens
from seqscale.layers import layers
from seqscale.mixers import available, get

MODELS = yaml.safe_load((Path(__file__).parents[2] / "config" / "models.yaml").read_text())
# Every mixer as config/models.yaml uses it, at a width that tests can afford, then options and sizes of no roundness
CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    **{
        f"{name}-{layer.mixer}" if "blocks" in spec else name: (layer.mixer, 16, dict(layer.options))
        for name, spec in MODELS.items()
        for layer in layers(spec)
    },
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


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_every_mixer_is_tested() -> None:
    assert {name for name, _, _ in CASES.values()} == set(available())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_identity(case: Case, check: Check) -> None:
    for call in check.calls:
        call(case)


def test_mixers_that_claim_to_mix_do(case: Case) -> None:
    assert sequence.looks_back(case) == (case.mixer not in ("linear", "mlp"))


# --- the account of costs ---------------------------------------------------------------------------------------------


def test_only_a_cache_grows(case: Case) -> None:
    mixer = case.make()
    short, long = (mixer.state_bytes(1, length, torch.float32) for length in (10, 1000))
    assert long == (100 * short if case.mixer == "attention" else short)


def test_flops_of_parts_add_up(case: Case) -> None:
    mixer = case.make()
    shared = case.mixer in ("lti_ssm", "s4")  # the batch shares their kernel
    assert mixer.flops(3, 8) == 3 * mixer.flops(1, 8) or shared
    if not shared and case.mixer != "mamba2":  # a transform, or chunks, of the whole are not the sum of those of parts
        assert mixer.flops(2, 5) + mixer.flops(2, 6, context=5) == mixer.flops(2, 11)


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case[0] in ("linear", "mlp", "mamba", "mamba2")]
)
def test_flops_are_what_pytorch_counts(name: str) -> None:
    """Exactly, for what is made of counted operations; transforms, fused LSTMs and causal attention are not."""
    mixer = Case(*CASES[name]).make()
    with FlopCounterMode(display=False) as counter:
        mixer(tokens(mixer))
    assert counter.get_total_flops() == mixer.flops(2, 11)


# --- options ----------------------------------------------------------------------------------------------------------


def test_unknown_options_are_refused(case: Case) -> None:
    with pytest.raises(TypeError, match="n_headz"):
        Case(case.mixer, case.d_model, {**case.options, "n_headz": 3}).make()


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
