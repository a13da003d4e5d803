"""Comparing what finished runs left behind."""

import csv
from pathlib import Path
from typing import Any

import torch

from seqscale.files import read_json
from seqscale.training.checkpoint import load_tensors


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_tensors(out / "model.safetensors")[0]


def same(one: Path, other: Path) -> bool:
    """Whether two finished runs agree to the last bit, history included (but for the seconds)."""

    def rows(folder: Path) -> list[dict[str, str]]:
        with open(folder / "history.csv", newline="") as handle:
            return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(handle)]

    def summary(folder: Path) -> dict[str, Any]:
        return {k: v for k, v in read_json(folder / "summary.json").items() if k not in ("provenance", "train_seconds")}

    a, b = weights(one), weights(other)
    return (
        a.keys() == b.keys()
        and all(torch.equal(a[k].view(torch.uint8), b[k].view(torch.uint8)) for k in a)  # bits: a NaN equals itself
        and rows(one) == rows(other)
        and summary(one) == summary(other)
    )
