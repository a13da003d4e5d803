"""Cutting a text into training, validation and test, refusing one that is too short for it; tokens on disk."""

from pathlib import Path

import numpy as np

from seqscale.data.corpora import DataError, RawText
from seqscale.files import atomic_write, sha256_of

SPLITS = ("train", "valid", "test")


def split_text(text: str, fractions: list[float]) -> dict[str, str]:
    """Cut a text into train, valid and test, in this order, by fractions of its characters."""
    first = round(len(text) * fractions[0])
    second = round(len(text) * (fractions[0] + fractions[1]))
    return dict(zip(SPLITS, (text[:first], text[first:second], text[second:]), strict=True))


def check_text(name: str, raw: RawText, fractions: list[float], context: int | None) -> dict[str, str]:
    """The splits of a text, refused if it is empty or a split is shorter than one context.

    Raises:
        DataError: with the numbers and what would be enough.
    """
    if not raw.text.strip():
        raise DataError(f"dataset {name!r}: the text ({raw.origin}) is empty")
    splits = split_text(raw.text, fractions)
    needed = (context or 1) + 1
    for split, part in splits.items():
        if len(part) < needed:
            raise DataError(
                f"dataset {name!r}: the {split} split has {len(part):,} characters, shorter than one context of "
                f"{needed - 1} (and one to predict). Use a longer text, a shorter `context` or another `split`."
            )
    return splits


def write_split(out: Path, split: str, tokens: np.ndarray) -> str:
    """Write the tokens of a split, whole or not at all, to {split}.bin in their own dtype; returns the SHA-256."""
    file = out / f"{split}.bin"
    with atomic_write(file) as temporary:
        tokens.tofile(temporary)
    return sha256_of(file)
