#!/usr/bin/env python
"""Prepare a corpus or a generated task: verified bytes to tokens on disk.

Leaves in --out: train.bin, valid.bin, test.bin (tokens, for a text) and meta.json (vocabulary, splits, checksums);
for labelled tweets SPLIT.npz (tokens, lengths, labels) and SPLIT.csv (the cleaned tweets).
Files that the mirror lacks are downloaded; what was fetched is kept and, after an interruption, gone on with.
"""

import os
import sys
from pathlib import Path
from typing import Any

from seqscale.cli import json_argument, main, parser
from seqscale.data import prepare
from seqscale.data.corpora import find_file
from seqscale.data.fetch import DOWNLOADS
from seqscale.files import sha256_of
from seqscale.provenance import code_digest, digest
from seqscale.store import fetch, share


def key_of(name: str, spec: dict[str, Any], mirror: str | None, context: int | None) -> str | None:
    """What the prepared data depend on, as a digest; None for kinds that are not worth sharing."""
    if spec["kind"] == "text":
        content = sha256_of(find_file(spec["path"], mirror))
    elif spec["kind"] == "pydoc_topics":
        content = sys.version
    elif spec["kind"] in ("corpus", "tweets"):
        content = "pinned"  # the specification holds the files' checksums
    else:
        return None
    return digest([name, spec, content, context, code_digest("seqscale.data.prepare")])


def work() -> None:
    p = parser(
        __doc__ or "",
        "example:\n"
        "  python src/prepare.py --name mine --out results/data/mine \\\n"
        '    --spec \'{"kind": "text", "path": "my.txt", "tokenizer": "characters", "split": [0.9, 0.05, 0.05]}\'',
    )
    p.add_argument("--name", required=True, help="the dataset's name, for messages and tables")
    p.add_argument(
        "--spec", required=True, type=json_argument, help="its entry in config/datasets.yaml, as JSON or @FILE"
    )
    p.add_argument("--out", required=True, help="folder to write, e.g. results/data/NAME")
    p.add_argument(
        "--mirror", default=os.environ.get("SEQSCALE_MIRROR"), help="folder of local copies, looked into first"
    )
    p.add_argument("--context", type=int, help="longest context it will be used with: a shorter text is refused")
    p.add_argument("--downloads", type=Path, default=DOWNLOADS, help="folder for downloads (default: %(default)s)")
    a = p.parse_args()
    out, key = Path(a.out), key_of(a.name, a.spec, a.mirror, a.context)
    if key is not None and fetch("data", key, out):
        return
    prepare(a.name, a.spec, out, a.mirror, a.context, a.downloads)
    if key is not None:
        files = [f for f in sorted(out.iterdir()) if f.is_file() and f.name != "meta.json"]
        share("data", key, [*files, out / "meta.json"])


if __name__ == "__main__":
    main(work)
