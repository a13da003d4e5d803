"""Which architectures there are as published, and their options, read without importing them (and with them PyTorch).

A file `models/published/source_NNN.py` ends with ``ARCHITECTURES = {"name": Class, ...}``; the keyword-only arguments
of a class are what `mixer_options` may say.
"""

import ast
import functools
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "models" / "published"


@functools.cache
def architectures() -> dict[str, dict[str, str]]:
    """By name ("000.mamba"): each option with its type's name ("int", "float", "bool", "str")."""
    found: dict[str, dict[str, str]] = {}
    for file in sorted(FOLDER.glob("source_*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        for node in tree.body:
            if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)):
                continue
            if not any(isinstance(target, ast.Name) and target.id == "ARCHITECTURES" for target in node.targets):
                continue
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str) and isinstance(value, ast.Name):
                    name = f"{file.stem.removeprefix('source_')}.{key.value}"
                    found[name] = _options(classes[value.id])
    return found


def _options(node: ast.ClassDef) -> dict[str, str]:
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return {a.arg: ast.unparse(a.annotation) if a.annotation else "any" for a in member.args.kwonlyargs}
    return {}
