"""Text samples: the same for the same seed, no longer than a model's positions."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seqscale.data.tokenizers import CharacterTokenizer
from seqscale.models import LanguageModel, ModelSpec, build
from seqscale.training import sample_text

SPECS = yaml.safe_load((Path(__file__).parents[2] / "config" / "models.yaml").read_text())
TOKENIZER = CharacterTokenizer.of("abcdefgh ")


def make(name: str, context: int = 16) -> LanguageModel:
    torch.manual_seed(0)
    return build(ModelSpec.from_dict({"name": name, **SPECS[name], "d_model": 16, "n_layers": 1}), 9, context)


@pytest.mark.parametrize("name", SPECS)
def test_same_seed_same_text(name: str) -> None:
    model = make(name, context=64)
    one = sample_text(model, TOKENIZER, "abc", 40, seed=1)
    torch.manual_seed(123)  # the global random state plays no part
    assert sample_text(model, TOKENIZER, "abc", 40, seed=1) == one
    assert sample_text(model, TOKENIZER, "abc", 40, seed=2) != one
    assert one.startswith("abc")
    assert len(one) == 43


@pytest.mark.parametrize(
    ("prompt", "length"), [("abc", 16), ("abc", 14), ("a" * 15, 16), ("a" * 16, 16), ("a" * 40, 40)]
)
def test_learned_positions_end_the_text(prompt: str, length: int) -> None:
    """A prompt beyond the last position is given back as it is."""
    text = sample_text(make("transformer"), TOKENIZER, prompt, length - 3 if length == 14 else 100, seed=1)
    assert text.startswith(prompt)
    assert len(text) == length


def test_models_without_learned_positions_go_on() -> None:
    assert len(sample_text(make("transformer_pp"), TOKENIZER, "abc", 60, seed=1)) == 63


def test_unknown_characters_are_left_out() -> None:
    model = make("mamba")
    assert sample_text(model, TOKENIZER, "aXbYcZ", 5, seed=1) == sample_text(model, TOKENIZER, "abc", 5, seed=1)
    assert sample_text(model, TOKENIZER, "XYZ", 5, seed=1).startswith(" ")
    assert len(sample_text(model, TOKENIZER, "", 5, seed=1)) == 6


@pytest.mark.parametrize(("settings", "letters"), [({"top_k": 1}, 1), ({"temperature": 1e-4}, 1), ({"top_k": 3}, 3)])
def test_top_k_and_temperature_narrow_the_choice(settings: dict[str, Any], letters: int) -> None:
    """Logits fixed by hand, h the likeliest, then g, f, ...: only that many different letters are ever drawn."""
    model = make("linear")
    fixed = torch.arange(9.0)
    model.step = lambda tokens, state: (fixed[None], state)  # type: ignore[method-assign]
    text = sample_text(model, TOKENIZER, "a", 200, seed=1, **settings)
    assert set(text[2:]) == set("hgfedcba"[:letters])


def test_is_the_models_own_distribution() -> None:
    """The step-wise text is what forward over the whole text would choose, greedily."""
    model = make("mamba")
    text = sample_text(model, TOKENIZER, "abc", 12, seed=1, top_k=1)
    with torch.no_grad():
        choices = model(torch.from_numpy(TOKENIZER.encode(text).astype("int64"))[None])[0].argmax(-1)
    assert TOKENIZER.decode(choices[2:-1].tolist()) == text[3:]
