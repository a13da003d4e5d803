"""One small JSON file in results/records/ for each result: what was written, from what, by which code.

A record is written by the process that writes the result, from the bytes it has just written and not from what lies
there later, so that a byte that changes afterwards cannot go unnoticed. Logs and checkpoints grow while jobs run; they
are taken down all together when a run of the workflow ends (`take_down_the_rest`), in results/records/rest.json.
"""

import datetime
import hashlib
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from seqscale.provenance import PACKAGE, code_digest, digest

VARIABLE = "SEQSCALE_RECORDS"
FOLDER, REST = "records", "rest.json"
GROWING = ("logs", "work")  # files there are written piecemeal, or again and again
SCRIPTS = PACKAGE.parent

_read: dict[str, None] = {}  # results that this process has read, in order
_checksums: dict[tuple[str, int, int], str] = {}


def folder() -> Path | None:
    """The folder of results that is being recorded, or None."""
    value = os.environ.get(VARIABLE)
    return Path(value) if value else None


def checksum(path: Path) -> str:
    """SHA-256 of a file; read once for each time that the file was written."""
    state = path.stat()
    key = (str(path), state.st_mtime_ns, state.st_size)
    if key not in _checksums:
        with open(path, "rb") as handle:
            _checksums[key] = hashlib.file_digest(handle, "sha256").hexdigest()
    return _checksums[key]


def sealed(values: dict[str, Any]) -> dict[str, Any]:
    """A record with a digest of itself, so that a changed record is noticed too."""
    return {**values, "seal": digest(values)}


def is_sealed(values: Any) -> bool:
    """Whether a record is as it was written."""
    return isinstance(values, dict) and values.get("seal") == digest({k: v for k, v in values.items() if k != "seal"})


def note_read(path: str | Path) -> None:
    """This process has read a file: what it writes from now on depends on it (if it is a result)."""
    if (root := folder()) is not None and (name := _name(Path(path), root)) and not _is_growing(name):
        _read[name] = None


def note_written(path: str | Path) -> None:
    """This process has written a result: make its record. Does nothing outside the folder of results."""
    root = folder()
    if root is None or not (name := _name(Path(path), root)) or _is_growing(name):
        return
    file = Path(path)
    record = {
        "file": name,
        "sha256": checksum(file),
        "bytes": file.stat().st_size,
        "time_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "by": Path(sys.argv[0]).name,
        "code": _code(),
        "inputs": {n: checksum(root / n) for n in _read if n != name and (root / n).is_file()},
    }
    _write(record_of(root, name), sealed(record))


def record_of(root: Path, name: str) -> Path:
    """Where the record of the result `name` lies."""
    return root / FOLDER / f"{name}.json"


def take_down_the_rest(root: Path, since: float) -> None:
    """Take down every file that has no record of its own, as it is now; those known before only if written `since`.

    Args:
        since: seconds since the epoch. What is older and differs from the record stays on record as it was.
    """
    path = root / FOLDER / REST
    known: dict[str, str] = read_rest(root) or {}
    found: dict[str, str] = {}
    repository = committed(root)
    for file in sorted(f for f in root.rglob("*") if f.is_file()):
        name = _name(file, root)
        if not name or name.startswith(f"{FOLDER}/") or record_of(root, name).is_file() or name in repository:
            continue
        found[name] = known[name] if name in known and file.stat().st_mtime < since else checksum(file)
    _write(path, sealed({"files": found}))


def read_rest(root: Path) -> dict[str, str] | None:
    """Checksums taken down by `take_down_the_rest`; None if there are none, or they were tampered with."""
    try:
        values = json.loads((root / FOLDER / REST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values["files"] if is_sealed(values) else None


def committed(root: Path) -> set[str]:
    """What belongs to the repository and not to a run: README.md and the reference results."""
    reference = root / "reference"
    files = reference.rglob("*") if reference.is_dir() else ()
    return {"README.md", *(f.relative_to(root).as_posix() for f in files)}


def _is_growing(name: str) -> bool:
    return name.split("/")[0] in (*GROWING, FOLDER)


def _name(path: Path, root: Path) -> str:
    """A file's name within the folder of results, or nothing."""
    absolute = Path(os.path.abspath(path))
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else ""


def _code() -> dict[str, Any] | None:
    """The code of this process: its script, and the mixers that were loaded by name."""
    script = Path(sys.argv[0]).name
    if not (SCRIPTS / script).is_file() or not script.endswith(".py"):
        return None
    mixers = sorted(m for m in sys.modules if m.startswith("seqscale.mixers.") and m != "seqscale.mixers.base")
    return {"roots": [script, *mixers], "digest": code_of(script, mixers)}


def code_of(script: str, modules: list[str]) -> str:
    """The digest of a script in src/ and of modules that it loads by name."""
    return code_digest(SCRIPTS / script, *modules)


def _write(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
