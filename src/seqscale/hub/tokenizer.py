"""A corpus's own tokenizer in the form that transformers opens: tokenizer.json and tokenizer_config.json."""

from pathlib import Path
from typing import Any

from seqscale.data.tokenizers import CharacterTokenizer, SubwordTokenizer, WordTokenizer
from seqscale.files import write_json
from seqscale.hub.files import CheckpointError


def save_tokenizer(tokenizer: object, folder: str | Path, length_max: int | None = None) -> None:
    """Write a tokenizer beside a checkpoint.

    Characters and words are plain JSON, written by hand: every character a token, nothing normalised, decoding joins
    without spaces; words between blanks, a line break is ``<eos>``. What the corpus lacks is an error there as it is
    here, not a token (but for words where the corpus has ``<unk>``). Pieces are the `tokenizers` library's own file.

    Raises:
        CheckpointError: a tokenizer of another kind.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(tokenizer, SubwordTokenizer):
        tokenizer.save(folder / "tokenizer.json")
    elif isinstance(tokenizer, CharacterTokenizer | WordTokenizer):
        write_json(folder / "tokenizer.json", _content(tokenizer))
    else:
        raise CheckpointError(f"there is no way to write a {type(tokenizer).__name__} for transformers")
    about: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    if length_max is not None:
        about["model_max_length"] = length_max
    write_json(folder / "tokenizer_config.json", about)


def beginning(tokenizer: object) -> int:
    """The token that stands best before a text's first: the end of a line, or of a text where the tokenizer has that.

    Models here are trained on one long text and have no token for its beginning; who scores a text whole
    (lm-evaluation-harness) wants one.
    """
    if isinstance(tokenizer, CharacterTokenizer):
        return tokenizer.vocabulary.index("\n") if "\n" in tokenizer.vocabulary else 0
    if isinstance(tokenizer, WordTokenizer):
        return tokenizer.vocabulary.index(tokenizer.END)
    if isinstance(tokenizer, SubwordTokenizer):
        ends = (tokenizer.inner.token_to_id(name) for name in ("<|endoftext|>", "[SEP]"))
        return next((end for end in ends if end is not None), int(tokenizer.encode("\n")[0]))
    raise CheckpointError(f"a {type(tokenizer).__name__} has no beginning of texts")


def _content(tokenizer: CharacterTokenizer | WordTokenizer) -> dict[str, Any]:
    """tokenizer.json of a tokenizer that is a list."""
    vocabulary = {entry: number for number, entry in enumerate(tokenizer.vocabulary)}
    content: dict[str, Any] = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": []}
    if isinstance(tokenizer, WordTokenizer):
        unknown = "<unk>" if "<unk>" in vocabulary else "[UNK]"
        return content | {
            "normalizer": {"type": "Replace", "pattern": {"String": "\n"}, "content": f" {tokenizer.END} "},
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": None,
            "decoder": None,  # words joined by blanks
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": unknown},
        }
    return content | {
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
