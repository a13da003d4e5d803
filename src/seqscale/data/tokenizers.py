"""Tokenizers: text to integers and back."""

from collections.abc import Sequence

import numpy as np


class CharacterTokenizer:
    """One token per Unicode character. The vocabulary is every character of the corpus, in code point order.

    The whole corpus, not only its training part, names the vocabulary, so that no test character is unknown; the
    models learn nothing from that but the size of the table.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self._index = {character: i for i, character in enumerate(self.vocabulary)}

    @classmethod
    def of(cls, text: str) -> "CharacterTokenizer":
        return cls(sorted(set(text)))

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> np.ndarray:
        """Characters to uint16 (uint32 for more than 65,536 of them).

        Raises:
            ValueError: a character that the vocabulary lacks.
        """
        dtype = np.uint16 if len(self) <= 1 << 16 else np.uint32
        try:
            return np.fromiter((self._index[c] for c in text), dtype=dtype, count=len(text))
        except KeyError as error:
            raise ValueError(f"the character {error.args[0]!r} is not in this corpus's vocabulary") from None

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self.vocabulary[int(t)] for t in tokens)
