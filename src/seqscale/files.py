"""Reading and writing files so that a reader never meets half of one.

Everything the pipeline leaves behind is written beside its target under a temporary name, flushed to the disk and
renamed into place. A job killed at any moment leaves either the old file, the new file, or a stray ``.tmp`` file.
"""

import contextlib
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqscale.records.ledger import note_read, note_written

if TYPE_CHECKING:
    import pandas as pd


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds, remove it if it fails.

    The suffix is kept last (``table.1f3a.tmp.csv``), because writers choose their format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        note_written(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    """NumPy scalars, paths and not-a-number in forms that JSON has (NaN and infinities become null)."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN and infinities are written as null."""
    write_text(path, json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON; a broken file raises ValueError with the file's name and the line."""
    note_read(path)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Delete it and run again: it will be remade.") from error


def write_table(stem: str | Path, table: "pd.DataFrame") -> None:
    """Write a table twice, ``stem.csv`` for people and ``stem.parquet`` for programs, each atomically."""
    stem = Path(stem)
    with atomic_write(stem.with_name(stem.name + ".parquet")) as temporary:
        table.to_parquet(temporary, index=False)
    with atomic_write(stem.with_name(stem.name + ".csv")) as temporary:
        table.to_csv(temporary, index=False)


def read_table(path: str | Path) -> "pd.DataFrame":
    """Read a .parquet or .csv table by its suffix."""
    import pandas as pd  # here, because it takes half a second and most users of this module need no tables

    path = Path(path)
    note_read(path)
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
