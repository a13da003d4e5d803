"""The learning rate over time, and which parameters decay."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seqscale.models import ModelSpec, build
from seqscale.training.optimizer import OptimizerSettings, make_optimizer

SPECS = yaml.safe_load((Path(__file__).parents[2] / "config" / "models.yaml").read_text())


def test_learning_rate_over_time() -> None:
    """Up in a line to the full rate, then half a cosine down to its tenth, reached at the last step."""
    settings = OptimizerSettings(learning_rate=2.0, warmup_fraction=0.1, final_fraction=0.1)
    rates = [settings.rate(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (k + 1) for k in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[-1] == pytest.approx(0.2)
    middle = settings.rate(10 + 30, 101)  # 90 steps of decay from 10: a third of the way
    assert middle == pytest.approx(2.0 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 3))))
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
def test_learning_rate_of_short_runs(steps: int, warmup: float) -> None:
    settings = OptimizerSettings(learning_rate=1.0, warmup_fraction=warmup)
    assert all(0 < settings.rate(step, steps) <= 1.0 for step in range(steps))


def test_final_fraction_zero_ends_at_zero() -> None:
    assert OptimizerSettings(learning_rate=1.0, final_fraction=0.0).rate(49, 50) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("settings", [{}, {"decay_all": True}, {"algorithm": "adam"}], ids=str)
def test_steps_are_pytorchs_to_the_last_bit(settings: dict[str, Any]) -> None:
    """Also across a saved state; the compiler's import, which PyTorch's own classes cost, is all that is left out."""
    kind = torch.optim.Adam if "algorithm" in settings else torch.optim.AdamW

    def trained(theirs: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))
        ours = make_optimizer(model, OptimizerSettings(0.1, **settings))
        groups = [{**group, "params": list(group["params"])} for group in ours.param_groups]
        optimizer = kind(groups, fused=True) if theirs else ours
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            model(torch.randn(4, 3)).square().sum().backward()
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
        return [parameter.detach() for parameter in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(trained(False), trained(True), strict=True))


@pytest.mark.parametrize("name", SPECS)
def test_only_matrices_decay(name: str) -> None:
    """Never biases, norms, or what a mixer exempts; each parameter in one group."""
    model = build(ModelSpec.from_dict({"name": name, **SPECS[name], "d_model": 16}), 11, 12)
    optimizer = make_optimizer(model, OptimizerSettings(learning_rate=1e-3, weight_decay=0.1))
    decayed, kept = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert not decayed & kept
    assert decayed | kept == {id(p) for p in model.parameters()}
    for full_name, parameter in model.named_parameters():
        last = full_name.rsplit(".", 1)[-1]
        exempt = last.startswith("bias") or "norm" in full_name or getattr(parameter, "no_weight_decay", False)
        assert (id(parameter) in kept) == exempt, full_name


def test_decay_shrinks_matrices_alone() -> None:
    """With gradients of zero, a step of AdamW multiplies what decays by 1 - rate * decay and leaves the rest."""
    torch.manual_seed(0)
    model = build(ModelSpec.from_dict({"name": "mamba", **SPECS["mamba"], "d_model": 16}), 11, 12)
    optimizer = make_optimizer(model, OptimizerSettings(learning_rate=0.5, weight_decay=0.2))
    before = {name: p.clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.embedding.weight, before["embedding.weight"] * 0.9)
    for name in ("blocks.0.mixer.A_log", "blocks.0.mixer.D", "norm.weight", "blocks.0.mixer.conv.bias"):
        assert torch.equal(model.get_parameter(name), before[name]), name


def test_settings_from_a_config() -> None:
    settings = OptimizerSettings.from_dict({"learning_rate": 0.1, "betas": [0.8, 0.9]})
    assert settings.betas == (0.8, 0.9)
    with pytest.raises(TypeError, match="momentum"):
        OptimizerSettings.from_dict({"learning_rate": 0.1, "betas": [0.8, 0.9], "momentum": 1})
