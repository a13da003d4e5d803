"""A corpus of pinned files (kind `corpus`) to token files: characters, words or GPT-2's pieces."""

from pathlib import Path
from typing import Any

import numpy as np

from seqscale.data.corpora import DataError
from seqscale.data.corpus import load_splits
from seqscale.data.fetch import PinnedFile, joint_checksum
from seqscale.data.splits import write_split
from seqscale.data.tokenizers import AnyTokenizer, CharacterTokenizer, SubwordTokenizer, WordTokenizer
from seqscale.files import atomic_write, write_json


def prepare_corpus(
    name: str, spec: dict[str, Any], out: Path, mirror: str | None, downloads: Path, common: dict[str, Any]
) -> None:
    """Write {train,valid,test}.bin, the tokenizer where it is more than a list, and last of all meta.json.

    Raises:
        DataError: as `load_splits`, or the tokens are not those that `expect` promises.
    """
    texts = load_splits(name, spec, mirror, downloads)
    tokenizer = make_tokenizer(spec, texts, mirror, downloads)
    counts, checksums, firsts = {}, {}, {}
    dtype = None
    for split, text in texts.items():
        tokens = tokenizer.encode(text)
        if len(tokens) < 2:
            raise DataError(f"dataset {name!r}: the {split} split has {len(tokens)} tokens, too few to predict one")
        counts[split], firsts[split], dtype = len(tokens), tokens[:8], tokens.dtype
        checksums[split] = write_split(out, split, tokens)
    if not spec.get("limit"):
        check_expected(name, spec.get("expect", {}), len(tokenizer), counts, firsts)
    if isinstance(tokenizer, SubwordTokenizer):
        with atomic_write(out / "tokenizer.json") as temporary:
            tokenizer.save(temporary)
    write_json(
        out / "meta.json",
        common
        | {
            "task": "text",
            "tokenizer": spec["tokenizer"],
            "vocab_size": len(tokenizer),
            "vocabulary": None if isinstance(tokenizer, SubwordTokenizer) else tokenizer.vocabulary,
            "dtype": str(dtype),
            "tokens": counts,
            "files_sha256": checksums,
            "characters": {split: len(text) for split, text in texts.items()},
            "limit": spec.get("limit"),
            "origin": ", ".join(entry.get("url") or entry["path"] for entry in spec["files"].values()),
            "sha256": joint_checksum(spec),
        },
    )


def make_tokenizer(spec: dict[str, Any], texts: dict[str, str], mirror: str | None, downloads: Path) -> AnyTokenizer:
    """The tokenizer that the dataset's entry names; vocabularies of characters and words come from all splits."""
    kind = spec["tokenizer"]
    if kind == "characters":
        return CharacterTokenizer(sorted(set().union(*texts.values())))
    if kind == "words":
        return WordTokenizer.of(texts.values())
    files = {
        part: PinnedFile.from_dict(entry).locate(mirror, downloads) for part, entry in spec["tokenizer_files"].items()
    }
    if kind == "gpt2":
        return SubwordTokenizer.gpt2(files["vocab"], files["merges"])
    return SubwordTokenizer.bert_uncased(files["vocab"])


def check_expected(
    name: str, expect: dict[str, Any], vocab_size: int, counts: dict[str, int], firsts: dict[str, np.ndarray]
) -> None:
    """Hold what was made against what the entry promises.

    Raises:
        DataError: with both numbers.
    """
    wrong = []
    if expect.get("vocab_size", vocab_size) != vocab_size:
        wrong.append(f"{vocab_size:,} different tokens, expected {expect['vocab_size']:,}")
    for split, count in expect.get("tokens", {}).items():
        if counts[split] != count:
            wrong.append(f"{counts[split]:,} tokens in {split}, expected {count:,}")
    for split, first in expect.get("first_tokens", {}).items():
        if (found := firsts[split][: len(first)].tolist()) != first:
            wrong.append(f"{split} starts with the tokens {found}, expected {first}")
    if wrong:
        raise DataError(
            f"dataset {name!r}: " + "; ".join(wrong) + ". The bytes are right, so the arrangement or tokenizer is not."
        )
