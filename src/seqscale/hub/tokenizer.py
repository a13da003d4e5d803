"""A corpus's own tokenizer in the form that transformers opens: tokenizer.json and tokenizer_config.json."""

from pathlib import Path
from typing import Any

from seqscale.data.tokenizers import CharacterTokenizer
from seqscale.files import write_json
from seqscale.hub.files import CheckpointError


def save_tokenizer(tokenizer: object, folder: str | Path, length_max: int | None = None) -> None:
    """Write a character tokenizer: every character a token, nothing normalised, decoding joins without spaces.

    Written by hand, since it is plain JSON, so that an export needs no further package. A character that the corpus
    lacks is an error there as it is here, not a token.
    """
    if not isinstance(tokenizer, CharacterTokenizer):
        raise CheckpointError(f"only a character tokenizer is written so far, not {type(tokenizer).__name__}")
    folder = Path(folder)
    vocabulary = {character: number for number, character in enumerate(tokenizer.vocabulary)}
    content: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": r"[\s\S]"},  # a dot would leave out line breaks
            "behavior": "Isolated",
            "invert": False,
        },
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }
    write_json(folder / "tokenizer.json", content)
    about: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    if length_max is not None:
        about["model_max_length"] = length_max
    write_json(folder / "tokenizer_config.json", about)
