"""Where a result comes from: commit, versions, machine; and digests that tell whether two things are the same."""

import ast
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
PACKAGES = ("torch", "triton", "numpy", "pandas", "matplotlib", "snakemake", "papermill", "datasets")


def digest(value: Any) -> str:
    """A short SHA-256 of anything that JSON can hold; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(["git", *arguments], cwd=PACKAGE, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    """The processor's name; Linux tells it, elsewhere the platform's word must do."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        return f"{names[0]}, {os.cpu_count()} cores"
    except (OSError, IndexError):
        return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


@functools.cache
def _fixed() -> dict[str, Any]:
    code = ("src", "config", "workflow", "report", "Snakefile")  # untracked files there count: a new mixer, say
    status = _git("-C", str(PACKAGE.parent.parent), "status", "--porcelain", "--", *code)
    head = _git("rev-parse", "HEAD")
    return {
        # SEQSCALE_COMMIT tells the commit where the code was copied without its history (a container, a cluster node)
        "git_commit": head or os.environ.get("SEQSCALE_COMMIT"),
        "git_dirty": None if head is None or status is None else bool(status),
        "packages": _versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
    }


def provenance(**more: Any) -> dict[str, Any]:
    """What every result file carries; `more` adds what the caller knows (device, config digest, checksums, ...)."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {**_fixed(), "time_utc": now, **more}


# --- digests of code -------------------------------------------------------------------------------------------------


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def _module_file(name: str) -> Path | None:
    """The file of a module of this package, None for anything else."""
    parts = name.split(".")
    if parts[0] != PACKAGE.name:
        return None
    base = PACKAGE.joinpath(*parts[1:])
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _imports(tree: ast.AST, file: Path) -> set[str]:
    """Modules of this package that a file imports, absolutely or relatively, with the packages they lie in."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level and file.is_relative_to(PACKAGE):
                folder = file.parents[node.level - 1].relative_to(PACKAGE.parent)
                module = ".".join([*folder.parts, *([module] if module else [])])
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    for name in list(found):
        parts = name.split(".")
        found.update(".".join(parts[:i]) for i in range(1, len(parts)))
    return {name for name in found if name.split(".")[0] == PACKAGE.name}


@functools.cache
def _read(file: Path, changed_ns: int, size: int) -> tuple[str, frozenset[str]]:
    """A file's code without comments and docstrings, and what it imports; kept for the next digest that needs it."""
    tree = _without_docstrings(ast.parse(file.read_text(encoding="utf-8"), filename=str(file)))
    return ast.unparse(tree), frozenset(_imports(tree, file))


def code_digest(*roots: str | Path) -> str:
    """A digest of the code that `roots` (script paths or module names) run: their files and all that those import.

    C files in a folder `native` beside one of them count whole. Python's comments, docstrings and layout do not count,
    so polishing them reruns nothing. Mixers are imported by name at run time; a rule therefore names the mixer's module
    among its roots, and editing one mixer's file concerns that mixer's runs alone.

    Raises:
        FileNotFoundError: a root that does not exist.
        SyntaxError: a file that is not Python; the message names it.
    """
    pending: list[Path] = []
    for root in roots:
        file = Path(root) if str(root).endswith(".py") else _module_file(str(root))
        if file is None or not file.is_file():
            raise FileNotFoundError(f"no code at {root!s}")
        pending.append(file.resolve())
    sources: dict[Path, str] = {}
    while pending:
        file = pending.pop()
        if file in sources:
            continue
        state = file.stat()
        sources[file], imported = _read(file, state.st_mtime_ns, state.st_size)
        pending.extend(found for name in imported if (found := _module_file(name)) is not None)
    for folder in sorted({file.parent / "native" for file in sources}):  # C that a package compiles for itself
        sources |= {file: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.[ch]"))}
    names = {str(f.relative_to(PACKAGE) if f.is_relative_to(PACKAGE) else Path(*f.parts[-2:])): s
             for f, s in sources.items()}  # fmt: skip
    return digest(names)
