"""Whether a class can be a mixer at all, and making one: every mistake told in words, with file, line and remedy."""

import inspect
import traceback
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqscale.mixers.base import Mixer


def of_module(module: types.ModuleType, where: str, attribute: str = "MIXER") -> type[Mixer]:
    """The mixer class that a module names; `where` says for messages which module that is.

    Raises:
        ValueError: it names none, or one that cannot be made (see `faults`).
    """
    mixer = getattr(module, attribute, None)
    if not (isinstance(mixer, type) and issubclass(mixer, Mixer)):
        raise ValueError(f"{where} must end with `{attribute} = <a subclass of seqscale.mixers.Mixer>`")
    refuse_faults(mixer)
    return mixer


def refuse_faults(mixer: type[Mixer]) -> None:
    """Raise ValueError with all that keeps a class from being a mixer."""
    if wrong := faults(mixer):
        raise ValueError(f"{place(mixer)}: " + "; ".join(wrong))


def faults(mixer: type[Mixer]) -> list[str]:
    """What keeps a class from being made: methods that it owes, and options without a name or a default."""
    wrong = []
    for name in sorted(getattr(mixer, "__abstractmethods__", ())):
        owed = inspect.getattr_static(Mixer, name, None)
        if owed is None:  # abstract in a class between
            wrong.append(f"the method `{name}` is missing")
            continue
        meaning = (inspect.getdoc(owed) or "").splitlines()[0].rstrip(".")
        wrong.append(f"the method `{name}` is missing; write `{signature(owed)}`: {meaning}")
    parameters = list(inspect.signature(mixer).parameters.values())
    if not parameters or parameters[0].name != "d_model":
        wrong.append("`__init__` must take the width first; write `def __init__(self, d_model: int, *, OPTIONS)`")
        return wrong
    for option in parameters[1:]:
        if option.kind in (option.VAR_KEYWORD, option.VAR_POSITIONAL):
            wrong.append(f"`{option}` of `__init__` hides what may be said in mixer_options; name each option")
        elif option.kind is not option.KEYWORD_ONLY:
            wrong.append(f"the option `{option.name}` must come after a `*`; write `*, {written(option)}`")
        elif option.default is option.empty:
            wrong.append(f"the option `{option.name}` has no default; write `{written(option)}`")
    return wrong


def written(option: inspect.Parameter) -> str:
    """An option as it should stand in `__init__`: name, type hint, default."""
    hint = type(option.default).__name__ if option.default is not option.empty else "int"
    if option.annotation is not option.empty:
        hint = inspect.formatannotation(option.annotation)
    return f"{option.name}: {hint} = {'VALUE' if option.default is option.empty else repr(option.default)}"


def signature(method: Any) -> str:
    """A method's first line, types by their short names."""
    text = str(inspect.signature(method)).replace("torch.Tensor", "Tensor").replace("dict[str, typing.Any]", "State")
    return f"def {method.__name__}{text}"


def make(mixer: type[Mixer], d_model: int, options: Mapping[str, Any]) -> Mixer:
    """A new one, of PyTorch's current random state.

    Raises:
        ValueError: the class is no mixer, or refuses the width or an option; in the mixer's own words where it has any.
        TypeError: an option that it does not have.
    """
    refuse_faults(mixer)
    inspect.signature(mixer).bind(d_model, **options)
    try:
        return mixer(d_model, **options)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{told(error, place(mixer), source(mixer))} (made with d_model = {d_model})") from error


def told(error: BaseException, where: str, file: Path | None) -> str:
    """An error in one line: where, the last line of `file` that it came through, what it was, and where it arose."""
    if isinstance(error, SyntaxError):
        return f"{label(Path(error.filename)) if error.filename else where}, line {error.lineno}: {error.msg}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    own = [f for f in frames if file is not None and Path(f.filename) == file]
    line = f", line {own[-1].lineno}" if own else ""
    # what the file imports may be what is broken; what a library does inside is nobody's business here
    deeper = frames[-1] if frames and own and isinstance(error, ImportError) and frames[-1] is not own[-1] else None
    arose = f" (raised in {label(Path(deeper.filename))}, line {deeper.lineno})" if deeper else ""
    return f"{where}{line}: {type(error).__name__}: {error}{arose}"


def source(mixer: type[Mixer]) -> Path | None:
    """The file that a class is written in; None where it has no code of its own."""
    # by its functions: inspect.getfile knows only classes of modules that were imported by name
    functions = [member for member in vars(mixer).values() if inspect.isfunction(member)]
    return Path(functions[0].__code__.co_filename) if functions else None


def place(mixer: type[Mixer]) -> str:
    """Where a class is, for messages: "mixers/mamba.py, class Mamba"."""
    file = source(mixer)
    return f"{label(file)}, class {mixer.__name__}" if file else f"class {mixer.__name__}"


def label(file: Path) -> str:
    """A file's name for messages: short for this package's mixers, else relative to here where it lies below."""
    folder = Path(__file__).parent
    if file.is_relative_to(folder):
        return f"mixers/{file.relative_to(folder)}"
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
