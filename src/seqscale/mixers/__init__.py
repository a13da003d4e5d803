"""Sequence mixers: one file each, all with the face of `base.Mixer`.

A file here is found by its name: `mixer: mamba` in config/models.yaml means `mixers/mamba.py`, which says
``MIXER = Mamba`` at its end. Nothing else needs to know of it. Other packages offer theirs by an entry point
(`seqscale.plugins`).
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqscale.mixers import face
from seqscale.mixers.base import Mixer, State
from seqscale.plugins import NOT_MIXERS, mixer_file, outside_mixers

__all__ = ["Mixer", "State", "available", "from_file", "get", "make"]


def available() -> list[str]:
    """The names of all mixers, sorted: the files in this folder and those of installed packages."""
    return sorted({m.name for m in pkgutil.iter_modules(__path__) if m.name not in NOT_MIXERS} | set(outside_mixers()))


def get(name: str) -> type[Mixer]:
    """The mixer class called `name`.

    Raises:
        ValueError: there is no such mixer, its file cannot be loaded or does not define MIXER, or the class does not
            have a mixer's face; says the file, the line and what to write.
    """
    if name not in available():
        raise ValueError(f"unknown mixer {name!r}; choose from {', '.join(available())}")
    point = outside_mixers().get(name)
    module = f"{__name__}.{name}" if point is None else point.module
    where = f"mixers/{name}.py" if point is None else f"{module} (the entry point {point.name} = {point.value!r})"
    try:
        loaded = importlib.import_module(module)
    except Exception as error:
        raise ValueError(_told(error, where, _file(name))) from error
    return face.of_module(loaded, where, (point and point.attr) or "MIXER")


def from_file(path: str | Path) -> type[Mixer]:
    """The mixer class of a file that lies anywhere.

    Raises:
        ValueError: as `get`.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise ValueError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(_told(error, str(path), file)) from error
    return face.of_module(module, str(path))


def make(name: str, d_model: int, options: Mapping[str, Any]) -> Mixer:
    """A new mixer called `name`; errors as of `get` and `face.make`."""
    return face.make(get(name), d_model, options)


def _file(name: str) -> Path | None:
    try:
        return mixer_file(name)
    except Exception:  # the package that it lies in does not load: the message of that is what counts
        return None


def _told(error: Exception, where: str, file: Path | None) -> str:
    advice = ". Mend the import, or install what it names into this environment"
    return face.told(error, where, file) + (advice if isinstance(error, ModuleNotFoundError) else "")
