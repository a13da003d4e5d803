"""The history of a run: one CSV row per logged step, written as it goes and cut back when a run resumes."""

import csv
import math
from pathlib import Path
from typing import Any

from seqscale.files import atomic_write

COLUMNS = ("step", "tokens", "flops", "seconds", "learning_rate", "train_loss", "valid_loss", "grad_norm")


class History:
    """Append rows to `path`; on resuming, rows after `step` (and a row torn by a kill) are dropped first."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept: list[dict[str, str]] = []
        if step and path.exists():
            with open(path, newline="", encoding="utf-8") as handle:
                for row in csv.DictReader(handle):
                    if _whole(row) and int(row["step"]) <= step:
                        kept.append(row)
        with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
        self._handle = open(path, "a", newline="", encoding="utf-8")  # noqa: SIM115 (open as long as the run)
        self._writer = csv.DictWriter(self._handle, COLUMNS, extrasaction="ignore")

    def append(self, **row: Any) -> None:
        """Add a row; absent or non-finite values are left empty."""
        self._writer.writerow({k: v for k, v in row.items() if v is not None and math.isfinite(v)})
        self._handle.flush()

    def close(self) -> None:
        self._handle.close()


def _whole(row: dict[str, str]) -> bool:
    """Whether a row has all its columns and a readable step."""
    return None not in row and None not in row.values() and (row["step"] or "").isdigit()
