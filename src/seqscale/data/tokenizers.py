"""Tokenizers: text to integers and back."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer, ByteLevelBPETokenizer


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

    def prompt(self, text: str) -> np.ndarray:
        """The tokens of a prompt, without what the corpus lacks; at least one."""
        return self.encode("".join(c for c in text if c in self._index) or self.vocabulary[0])


class WordTokenizer:
    """One token per word between blanks, and ``<eos>`` after each line (Zaremba et al. 2014, Merity et al. 2016)."""

    END = "<eos>"

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self._index = {word: i for i, word in enumerate(self.vocabulary)}

    @classmethod
    def of(cls, texts: Iterable[str]) -> "WordTokenizer":
        """The vocabulary of all of a corpus's splits, in alphabetical order."""
        words: set[str] = {cls.END}
        for text in texts:
            words.update(text.split())
        return cls(sorted(words))

    def __len__(self) -> int:
        return len(self.vocabulary)

    @classmethod
    def words(cls, text: str) -> Iterator[str]:
        """The words of a text with the ends of its lines; a newline at the very end opens no further line."""
        for line in text.removesuffix("\n").split("\n"):
            yield from line.split()
            yield cls.END

    def encode(self, text: str) -> np.ndarray:
        """Lines of words to uint16 (uint32 for more than 65,536 different words).

        Raises:
            ValueError: a word that the vocabulary lacks.
        """
        dtype = np.uint16 if len(self) <= 1 << 16 else np.uint32
        try:
            return np.fromiter((self._index[word] for word in self.words(text)), dtype=dtype)
        except KeyError as error:
            raise ValueError(f"the word {error.args[0]!r} is not in this corpus's vocabulary") from None

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(self.vocabulary[int(t)] for t in tokens).replace(f"{self.END} ", "\n").replace(self.END, "\n")

    def prompt(self, text: str) -> np.ndarray:
        """The tokens of a prompt, without words that the corpus lacks; at least one."""
        known = [self._index[word] for word in text.split() if word in self._index]
        return np.asarray(known or [self._index[self.END]])


class SubwordTokenizer:
    """Pieces of words: GPT-2's byte-level BPE (Radford et al. 2019) or BERT's WordPiece (Devlin et al. 2019).

    A thin face around the `tokenizers` library, made from the published vocabulary files.
    """

    PIECE_CHARACTERS = 4_000  # of a long text, tokenised at once
    TEXTS_AT_ONCE = 10_000  # of many short ones

    def __init__(self, inner: Tokenizer) -> None:
        self.inner = inner

    @classmethod
    def gpt2(cls, vocabulary: Path, merges: Path) -> "SubwordTokenizer":
        """From vocab.json (encoder.json) and merges.txt (vocab.bpe)."""
        return cls(ByteLevelBPETokenizer(str(vocabulary), str(merges))._tokenizer)

    @classmethod
    def bert_uncased(cls, vocabulary: Path) -> "SubwordTokenizer":
        """From vocab.txt; lower case, accents stripped, a sequence between [CLS] and [SEP]."""
        return cls(BertWordPieceTokenizer(str(vocabulary), lowercase=True)._tokenizer)

    @classmethod
    def load(cls, path: Path) -> "SubwordTokenizer":
        """Read what `save` wrote."""
        return cls(Tokenizer.from_file(str(path)))

    def save(self, path: Path) -> None:
        """The whole tokenizer as one JSON file, the `tokenizers` library's own form."""
        self.inner.save(str(path), pretty=False)

    def __len__(self) -> int:
        return self.inner.get_vocab_size()

    def encode(self, text: str) -> np.ndarray:
        """A text as uint16 (uint32 for more than 65,536 entries), without special tokens.

        A long text goes through in pieces cut between a letter and the blank after it, where neither tokenizer ever
        joins: the tokens are those of the whole, and memory stays small.
        """
        pieces = self.inner.encode_batch_fast(_pieces(text, self.PIECE_CHARACTERS), add_special_tokens=False)
        dtype = np.uint16 if len(self) <= 1 << 16 else np.uint32
        return np.concatenate([np.asarray(piece.ids, dtype=dtype) for piece in pieces])

    def encode_each(self, texts: Sequence[str], max_tokens: int) -> tuple[np.ndarray, np.ndarray]:
        """Each text for itself, with special tokens, cut to `max_tokens`.

        Returns:
            tokens, (texts, max_tokens), padded on the right, and how many of each row are real, (texts,), int64.
        """
        tokens = np.full((len(texts), max_tokens), self.padding, np.uint16 if len(self) <= 1 << 16 else np.uint32)
        lengths = np.zeros(len(texts), dtype=np.int64)
        self.inner.enable_truncation(max_tokens)
        try:
            for first in range(0, len(texts), self.TEXTS_AT_ONCE):
                piece = list(texts[first : first + self.TEXTS_AT_ONCE])
                for index, row in enumerate(self.inner.encode_batch_fast(piece), first):
                    lengths[index] = len(row.ids)
                    tokens[index, : len(row.ids)] = row.ids
        finally:
            self.inner.no_truncation()
        return tokens, lengths

    @property
    def padding(self) -> int:
        """The token that fills short rows."""
        return self.inner.token_to_id("[PAD]") or 0

    def decode(self, tokens: Sequence[int]) -> str:
        return self.inner.decode([int(t) for t in tokens])

    def prompt(self, text: str) -> np.ndarray:
        """The tokens of a prompt; at least one."""
        return self.encode(text or " ")


def _pieces(text: str, size: int) -> list[str]:
    """`text` in pieces of about `size` characters, each but the first beginning with a blank after a non-blank."""
    pieces, start = [], 0
    for match in re.finditer(r"(?<=\S)\s", text):
        if match.start() - start >= size:
            pieces.append(text[start : match.start()])
            start = match.start()
    return [*pieces, text[start:]]


AnyTokenizer = CharacterTokenizer | WordTokenizer | SubwordTokenizer


def open_tokenizer(folder: Path, meta: dict[str, Any]) -> AnyTokenizer:
    """The tokenizer of a folder that `prepare` made."""
    if meta["tokenizer"] == "characters":
        return CharacterTokenizer(meta["vocabulary"])
    if meta["tokenizer"] == "words":
        return WordTokenizer(meta["vocabulary"])
    return SubwordTokenizer.load(folder / "tokenizer.json")
