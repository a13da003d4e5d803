"""The models as published: their sizes are the published ones, and their defects are there."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

from seqscale.benchmarks.flops import count_flops
from seqscale.config.published import architectures
from seqscale.models.published import build_published, module_of
from seqscale.models.published.base import PublishedModel, WidthScaledAttention

ROOT = Path(__file__).resolve().parents[2]
LISTED = yaml.safe_load((ROOT / "config" / "published_models.yaml").read_text())
TOKENS = 64 * 128 * 1000  # source 000: batch x context x steps


def listed(name: str, vocab: int = 65, context: int = 128, **changes: int) -> PublishedModel:
    entry = {**LISTED[name], **changes}
    torch.manual_seed(0)
    return build_published(
        entry["published"], vocab, context, entry["d_model"], entry["n_layers"], entry.get("mixer_options", {})
    )


SMALL = {name: {"d_model": 16, "n_layers": min(2, entry["n_layers"])} for name, entry in LISTED.items()}
LANGUAGE = [name for name, entry in LISTED.items() if entry["published"].split(".")[0] in ("000", "001")]


def some_tokens(batch: int = 2, length: int = 9, vocab: int = 65) -> Tensor:
    return torch.randint(vocab, (batch, length), generator=torch.Generator().manual_seed(1))


# --- 000: what the published FLOPs say of the sizes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "flops"),
    [("published_000_mamba", 483_649, 1.58e13), ("published_000_transformer", 1_220_673, 6.00e13)],
)
def test_parameters_give_the_published_flops_to_their_three_digits(name: str, params: int, flops: float) -> None:
    model = listed(name)
    assert model.count_parameters()[0] == params
    published = model.published_flops(TOKENS)
    assert published is not None
    assert float(f"{published:.2e}") == flops


def test_a_residual_a_last_norm_or_positions_would_not_fit_the_published_count() -> None:
    """What the count excludes in Mamba: positions (16,384 more) and a last norm (256 more)."""
    params = listed("published_000_mamba").count_parameters()[0]
    assert f"{4 * (params + 256) * TOKENS:.2e}" == "1.59e+13"
    assert f"{4 * (params + 128 * 128) * TOKENS:.2e}" == "1.64e+13"


# --- defects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_attention_is_scaled_by_the_width_of_the_model(heads: int) -> None:
    torch.manual_seed(0)
    attention = WidthScaledAttention(16, heads)
    x = torch.randn(2, 7, 16)
    q, k, v = (t.view(2, 7, heads, -1).transpose(1, 2) for t in attention.qkv(x).chunk(3, dim=-1))
    scores = q @ k.transpose(-1, -2) / 16**0.5
    scores = scores.masked_fill(torch.ones(7, 7, dtype=torch.bool).triu(1), -torch.inf)
    expected = attention.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(2, 7, 16))
    torch.testing.assert_close(attention(x), expected)
    proper = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    told_apart = not torch.allclose(attention.out(proper.transpose(1, 2).reshape(2, 7, 16)), expected)
    assert told_apart == (heads > 1)


def test_mamba_and_self_attention_have_no_residual_connection() -> None:
    """With the output projections at zero nothing of the token is left; the Transformer still sees it."""
    for name, dead in (("published_000_mamba", True), ("published_000_attention", True),
                       ("published_000_transformer", False)):  # fmt: skip
        model = listed(name, context=9, **SMALL[name])
        for key, parameter in model.named_parameters():
            if key.endswith(("out_proj.weight", "out.weight", "down.weight")):
                nn.init.zeros_(parameter)
        logits = model(some_tokens())
        assert torch.allclose(logits, logits[:1, :1].expand_as(logits)) == dead, name


@pytest.mark.parametrize("name", ["published_000_linear", "published_000_mlp"])
def test_linear_and_mlp_see_one_token(name: str) -> None:
    model = listed(name)
    x = some_tokens()
    torch.testing.assert_close(model(x)[:, 5:6], model(x[:, 5:6]))


# --- all --------------------------------------------------------------------------------------------------------------


def test_what_is_listed_is_what_there_is() -> None:
    assert {entry["published"] for entry in LISTED.values()} == set(architectures())
    for name in architectures():
        assert module_of(name).startswith("seqscale.models.published.source_")
    with pytest.raises(ValueError, match=r"there is no published model '000\.mambo'; allowed: linear"):
        build_published("000.mambo", 65, 8, 16, 1, {})
    with pytest.raises(ValueError, match="no published source '009'"):
        build_published("009.mamba", 65, 8, 16, 1, {})


@pytest.mark.parametrize("name", LANGUAGE)
def test_nothing_looks_ahead(name: str) -> None:
    model = listed(name, context=16, **SMALL[name]).eval()
    x = some_tokens()
    other = x.clone()
    other[:, 6:] = (other[:, 6:] + 1) % 65
    torch.testing.assert_close(model(x)[:, :6], model(other)[:, :6])
    assert not torch.allclose(model(x)[:, 6:], model(other)[:, 6:])


@pytest.mark.parametrize("name", LISTED)
def test_counted_flops_are_the_closed_form(name: str) -> None:
    model = listed(name, context=16, **SMALL[name]).eval()
    x = some_tokens()
    with torch.no_grad():
        assert count_flops(lambda: model(x)) == model.flops(2, 9)
    assert model.training_flops(2, 9) == 3 * model.flops(2, 9)


@pytest.mark.parametrize("name", LISTED)
def test_every_parameter_matters(name: str) -> None:
    model = listed(name, context=9, **SMALL[name]).eval()
    model(some_tokens()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
