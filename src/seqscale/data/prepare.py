"""Corpus to verified bytes to tokens on disk, with a meta.json that says all about them."""

from pathlib import Path
from typing import Any

from seqscale.config.tasks import is_generated, parameters
from seqscale.data.corpora import load
from seqscale.data.splits import check_text
from seqscale.data.synthetic import make_task
from seqscale.data.tokenizers import CharacterTokenizer
from seqscale.files import atomic_write, sha256_of, write_json
from seqscale.provenance import provenance


def prepare(name: str, spec: dict[str, Any], out: str | Path, mirror: str | None, context: int | None = None) -> None:
    """Prepare the dataset `name` in the folder `out`: {train,valid,test}.bin and, last of all, meta.json.

    Args:
        spec: its entry in datasets.yaml.
        mirror: folder of local copies, or None.
        context: the longest context it will be used with, to refuse a text shorter than that.

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
    raw = load(spec, mirror)
    splits = check_text(name, raw, spec["split"], context)
    tokenizer = CharacterTokenizer.of(raw.text)
    counts, checksums = {}, {}
    for split, text in splits.items():
        tokens = tokenizer.encode(text)
        counts[split] = len(tokens)
        with atomic_write(out / f"{split}.bin") as temporary:
            tokens.tofile(temporary)
        checksums[split] = sha256_of(out / f"{split}.bin")
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
