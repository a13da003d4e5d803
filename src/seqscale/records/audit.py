"""Compare the folder of results with its records, and name every file that is not what they say.

python src/audit.py            (or make audit; --help tells the rest)
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqscale.config import Config, Matrix
from seqscale.records.ledger import (
    FOLDER,
    GROWING,
    REST,
    checksum,
    code_of,
    committed,
    is_sealed,
    read_rest,
    record_of,
)

REMAKE = "delete it and run again: it will be remade"


@dataclass(frozen=True)
class Finding:
    """A file that is not on record as it is. `what` is one of WHAT."""

    file: str
    what: str
    words: str

    def __str__(self) -> str:
        return f"{self.what}: {self.file}: {self.words}"


WHAT = {
    "changed": "its bytes are not those that were written",
    "other inputs": "what it was made from has been made anew since",
    "other code": "the code that made it has been edited since (a comment does not count)",
    "other config": "its config is not the one in results/config.json",
    "not on record": "nothing says where it comes from",
}


def audit(root: Path) -> tuple[int, list[Finding]]:
    """Compare all files under `root` with their records.

    Returns:
        how many files were compared, and what was found, by file.

    Raises:
        ValueError: there is no such folder, or nothing in it was ever recorded.
    """
    root = root.resolve()
    if not (root / FOLDER).is_dir():
        raise ValueError(f"{root} has no records; they are written while the workflow runs (make run)")
    found: list[Finding] = []
    rest = read_rest(root)
    if rest is None and (root / FOLDER / REST).exists():
        found.append(Finding(f"{FOLDER}/{REST}", "changed", "the records of logs and checkpoints are damaged"))
    known = committed(root)
    count = 0
    for file in sorted(f for f in root.rglob("*") if f.is_file()):
        name = file.relative_to(root).as_posix()
        if name in known or name.startswith(f"{FOLDER}/"):
            continue
        count += 1
        if record_of(root, name).is_file():
            found += _compare(root, name)
        else:
            found += _compare_with_rest(file, name, rest)
    found += _records(root) + _configs(root) + _repository(root)
    return count, sorted(set(found), key=lambda f: (f.file, f.what))


def _record(root: Path, name: str) -> dict[str, Any] | None:
    try:
        values = json.loads(record_of(root, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if is_sealed(values) else None


def _compare(root: Path, name: str) -> list[Finding]:
    """A result with its own record."""
    record = _record(root, name)
    if record is None:
        return []  # told by _records
    found = []
    if (now := checksum(root / name)) != record["sha256"]:
        words = f"{record['by']} wrote sha256 {record['sha256'][:16]} at {record['time_utc']}, now {now[:16]}; {REMAKE}"
        found.append(Finding(name, "changed", words))
    others = [n for n, was in record["inputs"].items() if (root / n).is_file() and checksum(root / n) != was]
    if others:
        few = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        found.append(Finding(name, "other inputs", f"made from another {few}; run again"))
    if record["code"] is not None:
        script, *modules = record["code"]["roots"]
        try:
            same = code_of(script, modules) == record["code"]["digest"]
        except (FileNotFoundError, SyntaxError):
            same = False
        if not same:
            found.append(Finding(name, "other code", f"src/{script} or what it imports was edited since; run again"))
    return found


def _compare_with_rest(file: Path, name: str, rest: dict[str, str] | None) -> list[Finding]:
    """A log, a checkpoint, or a file that no job wrote."""
    if rest is None or name not in rest:
        where = "it appeared since the last run ended" if name.split("/")[0] in GROWING else "no job of this wrote it"
        return [Finding(name, "not on record", f"{where}; the next run takes it down, or delete it")]
    if checksum(file) != rest[name]:
        return [Finding(name, "changed", "its bytes differ from those at the end of the last run")]
    return []


def _records(root: Path) -> list[Finding]:
    """Records that were themselves changed."""
    found = []
    for file in sorted((root / FOLDER).rglob("*.json")):
        name = file.relative_to(root / FOLDER).as_posix().removesuffix(".json")
        if file != root / FOLDER / REST and _record(root, name) is None:
            found.append(Finding(f"{FOLDER}/{name}.json", "changed", f"the record of {name} is damaged; {REMAKE}"))
    return found


def _configs(root: Path) -> list[Finding]:
    """Runs whose config is not the one that results/config.json asks for."""
    try:
        whole = json.loads((root / "config.json").read_text(encoding="utf-8"))["config"]
        values = {k: v for k, v in whole.items() if k not in ("models", "datasets")}
        matrix = Matrix(Config(values, whole["models"], whole["datasets"]))
        wanted = {f"runs/{e}/{m}/seed{s}": matrix.run_config(e, m, s) for e, m, s in matrix.runs()}
        wanted |= {f"search/{e}/{m}/lr{lr}": matrix.search_config(e, m, lr) for e, m, lr in matrix.searches()}
    except (OSError, ValueError, KeyError):
        return []  # a damaged config.json is told as changed, a missing one has nothing to be compared with
    found = []
    for folder, config in wanted.items():
        file = root / folder / "summary.json"
        try:
            made = json.loads(file.read_text(encoding="utf-8"))["config"]
        except (OSError, ValueError, KeyError):
            continue
        if config["optimizer"]["learning_rate"] is None:  # chosen by the search
            config["optimizer"]["learning_rate"] = made["optimizer"]["learning_rate"]
        if made != config:
            keys = ", ".join(sorted(k for k in {*made, *config} if made.get(k) != config.get(k)))
            found.append(
                Finding(f"{folder}/summary.json", "other config", f"{keys} differ from config.json; run again")
            )
    return found


def _repository(root: Path) -> list[Finding]:
    """Committed files under results/ that differ from the commit."""
    done = subprocess.run(
        ["git", "-C", str(root), "diff", "--name-only", "--relative", "HEAD", "--", "."], capture_output=True, text=True
    )
    changed = done.stdout.splitlines() if done.returncode == 0 else []
    return [Finding(name, "changed", "differs from the commit (git diff); git checkout brings it back")
            for name in changed]  # fmt: skip
