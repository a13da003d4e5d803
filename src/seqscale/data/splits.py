"""Cutting a text into training, validation and test, and refusing one that is too short for it."""

from seqscale.data.corpora import DataError, RawText

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
