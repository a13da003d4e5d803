"""The language model around each mixer: the same identities, from tokens to logits."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seqscale.mixers import get
from seqscale.models import LanguageModel, ModelSpec, build
from seqscale.models.blocks import GELUMLP, Block, SwiGLU

SPECS = yaml.safe_load((Path(__file__).parents[2] / "config" / "models.yaml").read_text())
VOCAB, CONTEXT = 11, 12


def make(name: str, seed: int = 0, **changes: Any) -> LanguageModel:
    """The model called `name` in config/models.yaml, narrow."""
    torch.manual_seed(seed)
    return build(ModelSpec.from_dict({"name": name, **SPECS[name], "d_model": 16, **changes}), VOCAB, CONTEXT)


def some_tokens(batch: int = 2, length: int = CONTEXT) -> Tensor:
    return torch.randint(0, VOCAB, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=SPECS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_parameters_are_matched_within_5_percent(name: str) -> None:
    """Non-embedding parameters of config/models.yaml as it stands, against the Transformer's."""

    def count(model: str) -> int:
        return build(ModelSpec.from_dict({"name": model, **SPECS[model]}), 103, 128).count_parameters()[1]

    ratio = count(name) / count("transformer")
    assert (abs(ratio - 1) <= 0.05) == SPECS[name].get("matched", True), f"{name}: {ratio:.3f} of the Transformer"


def test_parameter_count_leaves_out_embeddings_only(name: str) -> None:
    model = make(name)
    total, rest = model.count_parameters()
    assert total == sum(p.numel() for p in model.parameters())
    positions = CONTEXT if SPECS[name]["positions"] == "learned" else 0
    assert total - rest == (VOCAB + positions) * 16


# --- the three ways ---------------------------------------------------------------------------------------------------


def test_three_ways_agree(name: str) -> None:
    model, tokens = make(name).double().eval(), some_tokens()
    with torch.inference_mode():
        whole = model(tokens)
        first, state = model(tokens[:, :5], model.init_state(2, CONTEXT))
        assert state.position == 5
        second, state = model(tokens[:, 5:], state)
        state, steps = model.init_state(2, CONTEXT), []
        for t in range(CONTEXT):
            logits, state = model.step(tokens[:, t], state)
            steps.append(logits)
    assert whole.shape == (2, CONTEXT, VOCAB)
    assert state.position == CONTEXT
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(torch.stack(steps, dim=1), whole)


def test_logits_do_not_see_what_follows(name: str) -> None:
    model, tokens = make(name).double(), some_tokens()
    other = tokens.clone()
    other[:, 6] = (other[:, 6] + 1) % VOCAB
    before, after = model(tokens), model(other)
    torch.testing.assert_close(after[:, :6], before[:, :6], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(after[:, 6], before[:, 6])


@pytest.mark.parametrize("length", [1, 2])
def test_short_sequences(name: str, length: int) -> None:
    assert make(name)(some_tokens(length=length)).shape == (2, length, VOCAB)


# --- positions --------------------------------------------------------------------------------------------------------


def test_beyond_learned_positions_is_refused() -> None:
    model = make("transformer")
    assert model.length_max == CONTEXT
    model(some_tokens())
    with pytest.raises(ValueError, match="position 12 is beyond the 12 learned positions"):
        model(some_tokens(length=CONTEXT + 1))
    _, state = model(some_tokens(), model.init_state(2, CONTEXT))
    with pytest.raises(ValueError, match="position 12 is beyond"):
        model.step(some_tokens()[:, 0], state)


@pytest.mark.parametrize("name", ["transformer_pp", "mamba", "lstm", "lti_ssm", "linear"])
def test_without_learned_positions_there_is_no_limit(name: str) -> None:
    model = make(name)
    assert model.length_max is None
    assert model(some_tokens(length=3 * CONTEXT)).isfinite().all()


# --- initialisation ---------------------------------------------------------------------------------------------------


def test_same_seed_same_start(name: str) -> None:
    one, same, other = make(name), make(name), make(name, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.embedding.weight, other.embedding.weight)


def test_starts_near_the_uniform_guess(name: str) -> None:
    """An untrained model knows nothing: its loss is close to log(vocabulary)."""
    loss = F.cross_entropy(make(name)(some_tokens()).flatten(0, 1), some_tokens().flatten())
    assert loss.item() == pytest.approx(torch.tensor(VOCAB).log().item(), abs=0.25)


def test_output_is_tied_to_the_embedding() -> None:
    model, tokens = make("mlp"), some_tokens()
    hidden: list[Tensor] = []
    model.norm.register_forward_hook(lambda _module, _inputs, output: hidden.append(output))
    logits = model(tokens)
    torch.testing.assert_close(logits, hidden[0] @ model.embedding.weight.t())
    assert sum(p.shape == (VOCAB, 16) for p in model.parameters()) == 1


@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("transformer", 4),
        ("transformer_pp", 4),
        ("attention", 6),
        ("mamba", 3),
        ("lti_ssm", 3),
        ("mlp", 3),
        ("linear", 1),
    ],
)
def test_layers_that_write_into_the_residual_stream_start_small(name: str, writes: int) -> None:
    """Scaled by 1/sqrt(writes): PyTorch's own start for a linear layer is uniform up to 1/sqrt(fan in)."""
    model = make(name)
    outputs = [m for m in model.modules() if getattr(m, "residual_output", False)]
    assert len(outputs) == writes
    for layer in outputs:
        bound = layer.in_features**-0.5 * writes**-0.5
        assert 0.9 * bound < layer.weight.abs().max() <= bound * 1.0001
    for other in model.modules():
        if isinstance(other, torch.nn.Linear) and other not in outputs and name != "mamba":
            assert other.weight.abs().max() > 0.9 * other.in_features**-0.5


def test_biases_start_at_zero_but_for_those_a_mixer_keeps(name: str) -> None:
    for module_name, module in make(name).named_modules():
        if isinstance(module, torch.nn.Linear) and module.bias is not None:
            kept = module_name.endswith("dt_proj")
            assert bool(module.bias.any()) == kept, module_name


def test_a_mixers_own_start_survives() -> None:
    torch.manual_seed(0)
    mixer = get("mamba")(16)
    before = {name: p.clone() for name, p in mixer.named_parameters() if name not in ("out_proj.weight",)}
    LanguageModel(VOCAB, 16, [mixer], norm="rmsnorm")
    for name, value in before.items():
        assert torch.equal(mixer.get_parameter(name), value), name


# --- costs ------------------------------------------------------------------------------------------------------------


def test_training_flops_are_three_forwards(name: str) -> None:
    model = make(name)
    assert model.training_flops(3, 8) == 3 * model.flops(3, 8)


@pytest.mark.parametrize("name", ["linear", "mlp", "mamba"])
def test_flops_are_what_pytorch_counts(name: str) -> None:
    model = make(name)
    with FlopCounterMode(display=False) as counter:
        model(some_tokens())
    assert counter.get_total_flops() == model.flops(2, CONTEXT)


@pytest.mark.parametrize("layer", [GELUMLP(16), SwiGLU(16), SwiGLU(64)], ids=["mlp", "swiglu", "swiglu-64"])
def test_channel_mixer_flops(layer: GELUMLP | SwiGLU) -> None:
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(5, layer.d_model))
    assert counter.get_total_flops() == layer.flops(5)


def test_state_bytes_are_the_sum_over_layers(name: str) -> None:
    model = make(name)
    mixers = [block.mixer for block in model.blocks]
    assert model.state_bytes(3, 7) == sum(m.state_bytes(3, 7, torch.float32) for m in mixers)


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_block_is_pre_norm_and_residual() -> None:
    torch.manual_seed(0)
    block, x = Block(get("mlp")(8), "swiglu", "rmsnorm"), torch.randn(2, 5, 8)
    rms = lambda v: v * torch.rsqrt(v.square().mean(-1, keepdim=True) + torch.finfo(v.dtype).eps)  # noqa: E731
    middle = x + block.mixer(rms(x))
    gate, up = (rms(middle) @ block.channel_mixer.gate_up.weight.t()).chunk(2, dim=-1)
    expected = middle + (F.silu(gate) * up) @ block.channel_mixer.down.weight.t()
    torch.testing.assert_close(block(x), expected)


def test_dropout_only_while_training() -> None:
    model, tokens = make("transformer", dropout=0.5), some_tokens()
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


def test_unknown_keys_of_a_description_are_refused() -> None:
    with pytest.raises(TypeError, match="d_modell"):
        ModelSpec.from_dict({"name": "x", "mixer": "mlp", "d_modell": 3, "n_layers": 1})
