"""What a mixer's options are, read from its file without importing it (and with it PyTorch).

The options of `mixers/NAME.py` are the keyword-only arguments of the class that the file calls MIXER.
"""

import ast
import functools

from seqscale.plugins import mixer_file, outside_mixers, own_mixers


def mixers() -> list[str]:
    """Names of all mixers: the files in seqscale/mixers, but for base.py, and those that other packages offer."""
    return sorted([*own_mixers(), *outside_mixers()])


@functools.cache
def options(mixer: str) -> dict[str, str]:
    """The options of a mixer with their types' names ("int", "float", "bool", "str").

    Raises:
        ValueError: the file does not end with ``MIXER = Class``, or the class is not in it.
    """
    file = mixer_file(mixer)
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    except SyntaxError as error:
        raise ValueError(f"{file.name}, line {error.lineno}: not valid Python: {error.msg}") from error
    point = outside_mixers().get(mixer)
    names = (
        [point.attr]
        if point is not None and point.attr
        else [
            node.value.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Name)
            and any(isinstance(target, ast.Name) and target.id == "MIXER" for target in node.targets)
        ]
    )
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if not names or names[0] not in classes:
        raise ValueError(f"{file.name} must define a class and end with `MIXER = ThatClass`")
    for node in classes[names[0]].body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return {a.arg: ast.unparse(a.annotation) if a.annotation else "any" for a in node.args.kwonlyargs}
    return {}
