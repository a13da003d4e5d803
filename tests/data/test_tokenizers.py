"""Characters to integers and back."""

import random

import numpy as np
import pytest

from seqscale.data.tokenizers import CharacterTokenizer


@pytest.mark.parametrize("seed", range(20))
def test_round_trip(seed: int) -> None:
    """Any text, of any characters that Unicode can write."""
    rng = random.Random(seed)
    alphabet = [chr(c) for c in rng.sample([*range(0xD800), *range(0xE000, 0x110000)], 30)]
    text = "".join(rng.choices([*alphabet, "\n", "\r", "\x00", "é", "e\u0301"], k=200))
    tokenizer = CharacterTokenizer.of(text)
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert len(tokens) == len(text)
    assert tokens.max() < len(tokenizer) == len(set(text))
    assert CharacterTokenizer(tokenizer.vocabulary).encode(text).tolist() == tokens.tolist()


def test_vocabulary_is_in_code_point_order() -> None:
    tokenizer = CharacterTokenizer.of("banana\nZ é")
    assert tokenizer.vocabulary == ["\n", " ", "Z", "a", "b", "n", "é"]
    assert tokenizer.encode("aé").tolist() == [3, 6]


def test_width_of_integers() -> None:
    small, large = ([chr(0x1F000 - n + i) for i in range(n)] for n in (1 << 16, (1 << 16) + 1))
    assert CharacterTokenizer(small).encode(small[-1]).dtype == np.uint16
    assert CharacterTokenizer(large).encode(large[-1]).tolist() == [1 << 16]


def test_unknown_character_is_named() -> None:
    with pytest.raises(ValueError, match="the character 'q' is not in this corpus's vocabulary"):
        CharacterTokenizer.of("abc").encode("abq")


def test_empty_text() -> None:
    tokenizer = CharacterTokenizer.of("ab")
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.decode([]) == ""
