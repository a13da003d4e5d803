"""Labelled tweets (kind `tweets`): cleaned, split, tokenised; as arrays for training and as CSV for people."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqscale.data.corpora import DataError
from seqscale.data.fetch import PinnedFile, joint_checksum
from seqscale.data.prepare_corpus import make_tokenizer
from seqscale.data.splits import SPLITS
from seqscale.data.tokenizers import SubwordTokenizer
from seqscale.data.tweets import CLASSES, NEUTRAL, Tweet, cleaned, read_tweets, stratified_split
from seqscale.files import atomic_write, sha256_of, write_json

SECOND_TEST = "manual"


def prepare_tweets(
    name: str, spec: dict[str, Any], out: Path, mirror: str | None, downloads: Path, common: dict[str, Any]
) -> None:
    """Write for each split SPLIT.npz (tokens, lengths, labels) and SPLIT.csv (id, label, tokens, text), and meta.json.

    Splits are train, valid and test, drawn from the training file so that the balance of labels stays, and `manual`,
    the hand-labelled second test with its neutral tweets, where the entry names that file. `limit` keeps the first so
    many tweets of each label in each split.

    Raises:
        DataError: a file is missing or damaged, or a split lacks a label.
    """
    files = {part: PinnedFile.from_dict(entry) for part, entry in spec["files"].items()}
    tweets = {part: read_tweets(file.read(mirror, downloads), file.path) for part, file in files.items()}
    clean = {part: cleaned(rows) for part, rows in tweets.items()}
    drawn = stratified_split(clean["train"], spec["split"], spec.get("split_seed", 0))
    splits: dict[str, list[Tweet]] = dict(zip(SPLITS, drawn, strict=True))
    if SECOND_TEST in clean:
        splits[SECOND_TEST] = clean[SECOND_TEST]
    if limit := spec.get("limit"):
        splits = {split: _first_of_each(rows, limit) for split, rows in splits.items()}
    tokenizer = make_tokenizer(spec, {}, mirror, downloads)
    assert isinstance(tokenizer, SubwordTokenizer), "the schema allows no other for tweets"
    classes = (*CLASSES, NEUTRAL)
    checksums, counts, tokens_seen = {}, {}, {}
    for split, rows in splits.items():
        lacking = [label for label in CLASSES if all(row.label != label for row in rows)]
        if lacking:
            raise DataError(
                f"dataset {name!r}: the {split} split of {len(rows)} tweets has none that is {' or '.join(lacking)}. "
                "Give it a larger part in `split`."
            )
        tokens, lengths = tokenizer.encode_each([row.text for row in rows], spec["max_tokens"])
        labels = np.array([classes.index(row.label) for row in rows], dtype=np.int64)
        with atomic_write(out / f"{split}.npz") as temporary:
            np.savez(temporary, tokens=tokens, lengths=lengths, labels=labels)
        _write_csv(out / f"{split}.csv", rows, lengths)
        checksums[split] = sha256_of(out / f"{split}.npz")
        counts[split], tokens_seen[split] = Counter(row.label for row in rows), int(lengths.sum())
    with atomic_write(out / "tokenizer.json") as temporary:
        tokenizer.save(temporary)
    in_training = {row.text for row in splits["train"]}
    write_json(
        out / "meta.json",
        common
        | {
            "task": "labels",
            "tokenizer": spec["tokenizer"],
            "vocab_size": len(tokenizer),
            "padding": tokenizer.padding,
            "max_tokens": spec["max_tokens"],
            "classes": list(CLASSES),
            "unanswerable": NEUTRAL,
            "split": spec["split"],
            "split_seed": spec.get("split_seed", 0),
            "examples": {split: len(rows) for split, rows in splits.items()},
            "labels": counts,
            "emptied_by_cleaning": {part: len(tweets[part]) - len(clean[part]) for part in tweets},
            "texts_also_in_training": {
                split: sum(row.text in in_training for row in rows)
                for split, rows in splits.items()
                if split != "train"
            },
            "tokens": tokens_seen,
            "files_sha256": checksums,
            "characters": None,
            "limit": spec.get("limit"),
            "origin": ", ".join(file.url or file.path for file in files.values()),
            "sha256": joint_checksum(spec),
        },
    )


def _first_of_each(rows: Sequence[Tweet], limit: int) -> list[Tweet]:
    seen: Counter[str] = Counter()
    kept = []
    for row in rows:
        seen[row.label] += 1
        if seen[row.label] <= limit:
            kept.append(row)
    return kept


def _write_csv(path: Path, rows: Sequence[Tweet], lengths: np.ndarray) -> None:
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(("id", "label", "tokens", "text"))
        writer.writerows((r.id, r.label, int(n), r.text) for r, n in zip(rows, lengths, strict=True))
