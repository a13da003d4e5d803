"""Corpora of pinned files: their text by split, arranged as the entry in config/datasets.yaml says."""

from pathlib import Path
from typing import Any

from seqscale.data.corpora import DataError
from seqscale.data.fetch import PinnedFile
from seqscale.data.splits import SPLITS


def load_splits(name: str, spec: dict[str, Any], mirror: str | None, downloads: Path) -> dict[str, str]:
    """The text of train, valid and test.

    Files called train, valid and test are the splits. A single file called text is cut by `lengths`, in characters,
    with `gap` characters dropped between the parts. `arrangement: hub_rows` lays each split out as the hub's copy of
    WikiText-2 does. `limit` keeps the first so many characters of each split, to the end of a line.

    Raises:
        DataError: a file is missing, damaged or not UTF-8; the text is not as long as `lengths` says.
    """
    texts = {part: _text(PinnedFile.from_dict(entry), mirror, downloads) for part, entry in spec["files"].items()}
    if "text" in texts:
        texts = _cut(name, texts["text"], spec["lengths"], spec.get("gap", 0))
    texts = {split: texts[split] for split in SPLITS}
    if spec.get("arrangement") == "hub_rows":
        texts = {split: hub_rows(text) for split, text in texts.items()}
    if limit := spec.get("limit"):
        texts = {split: _first_lines(text, limit) for split, text in texts.items()}
    return texts


def hub_rows(text: str) -> str:
    """A plain WikiText file as the hub's rows joined by newlines, which is what sources 000 and 001 trained on.

    A line that is not blank becomes a row with its newline, a blank one an empty row; rows are joined by newlines. So
    headings and paragraphs are followed by extra newlines: tokens that are easy to predict.
    """
    lines = text.removesuffix("\n").split("\n")
    return "\n".join(line + "\n" if line.strip() else "" for line in lines)


def _text(file: PinnedFile, mirror: str | None, downloads: Path) -> str:
    try:
        return file.read(mirror, downloads).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.path} is not UTF-8 text (byte {error.start}: {error.reason})") from error


def _cut(name: str, text: str, lengths: list[int], gap: int) -> dict[str, str]:
    needed = sum(lengths) + gap * (len(lengths) - 1)
    if len(text) != needed:
        raise DataError(
            f"dataset {name!r}: the text has {len(text):,} characters, but `lengths` and `gap` speak of {needed:,}"
        )
    parts, start = {}, 0
    for split, length in zip(SPLITS, lengths, strict=True):
        parts[split] = text[start : start + length]
        start += length + gap
    return parts


def _first_lines(text: str, limit: int) -> str:
    """The first `limit` characters, without the line that would be torn."""
    if len(text) <= limit:
        return text
    end = text.rfind("\n", 0, limit)
    return text[: end + 1] if end > 0 else text[:limit]
