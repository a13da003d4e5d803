"""Corpus to verified bytes to tokens on disk, with a meta.json that says all about them."""

from pathlib import Path
from typing import Any

from seqscale.config.tasks import is_generated, parameters
from seqscale.data.corpora import load
from seqscale.data.fetch import DOWNLOADS
from seqscale.data.prepare_corpus import prepare_corpus
from seqscale.data.prepare_tweets import prepare_tweets
from seqscale.data.splits import check_text, write_split
from seqscale.data.synthetic import make_task
from seqscale.data.tokenizers import CharacterTokenizer
from seqscale.files import write_json
from seqscale.provenance import provenance

PINNED = {"corpus": prepare_corpus, "tweets": prepare_tweets}  # kinds whose every byte datasets.yaml pins


def prepare(
    name: str,
    spec: dict[str, Any],
    out: str | Path,
    mirror: str | None,
    context: int | None = None,
    downloads: Path = DOWNLOADS,
) -> None:
    """Prepare the dataset `name` in the folder `out`: {train,valid,test}.bin and, last of all, meta.json.

    Labelled tweets are arrays instead, see `prepare_tweets`.

    Args:
        spec: its entry in datasets.yaml.
        mirror: folder of local copies, or None.
        context: the longest context it will be used with, to refuse a text shorter than that.
        downloads: where files that the mirror lacks are downloaded to, and kept.

    Raises:
        DataError: the corpus is missing, damaged, empty or too short.
    """
    out = Path(out)
    common = {
        "dataset": name,
        "title": spec.get("title", name),
        "kind": spec["kind"],
        "licence": spec.get("licence", ""),
        "provenance": provenance(),
    }
    if is_generated(spec):
        task = make_task(spec)
        examples = {"valid": spec["valid_examples"], "test": spec["test_examples"]}
        write_json(
            out / "meta.json",
            common
            | {
                "task": "answers",
                "vocab_size": task.vocab_size,
                "parameters": parameters(spec),
                "extrapolation": spec.get("extrapolation"),
                "examples": examples,
                "tokens": {split: count * task.answers for split, count in examples.items()} | {"train": None},
                "characters": None,
                "sha256": None,
            },
        )
        return
    if spec["kind"] in PINNED:
        PINNED[spec["kind"]](name, spec, out, mirror, downloads, common)
        return
    raw = load(spec, mirror)
    splits = check_text(name, raw, spec["split"], context)
    tokenizer = CharacterTokenizer.of(raw.text)
    counts, checksums = {}, {}
    for split, text in splits.items():
        tokens = tokenizer.encode(text)
        counts[split] = len(tokens)
        checksums[split] = write_split(out, split, tokens)
    write_json(
        out / "meta.json",
        common
        | {
            "task": "text",
            "tokenizer": spec["tokenizer"],
            "vocab_size": len(tokenizer),
            "vocabulary": tokenizer.vocabulary,
            "dtype": str(tokens.dtype),
            "tokens": counts,
            "files_sha256": checksums,
            "characters": {split: len(text) for split, text in splits.items()},
            "origin": raw.origin,
            "sha256": raw.sha256,
        },
    )
