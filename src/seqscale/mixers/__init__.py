"""Sequence mixers: one file each, all with the face of `base.Mixer`.

A file here is found by its name: `mixer: mamba` in config/models.yaml means `mixers/mamba.py`, which says
``MIXER = Mamba`` at its end. Nothing else needs to know of it. Other packages offer theirs by an entry point
(`seqscale.plugins`).
"""

import importlib
import pkgutil

from seqscale.mixers.base import Mixer, State
from seqscale.plugins import outside_mixers

__all__ = ["Mixer", "State", "available", "get"]


def available() -> list[str]:
    """The names of all mixers, sorted: the files in this folder and those of installed packages."""
    return sorted({m.name for m in pkgutil.iter_modules(__path__) if m.name != "base"} | set(outside_mixers()))


def get(name: str) -> type[Mixer]:
    """The mixer class called `name`.

    Raises:
        ValueError: there is no such mixer, its file does not define MIXER, or it does not have a mixer's face.
    """
    if name not in available():
        raise ValueError(f"unknown mixer {name!r}; choose from {', '.join(available())}")
    if name in outside_mixers():
        point = outside_mixers()[name]
        where = f"the entry point {point.name} = {point.value!r} must name a module that ends with"
        mixer = point.load() if point.attr else getattr(point.load(), "MIXER", None)
    else:
        where = f"mixers/{name}.py must end with"
        mixer = getattr(importlib.import_module(f"{__name__}.{name}"), "MIXER", None)
    if not (isinstance(mixer, type) and issubclass(mixer, Mixer)):
        raise ValueError(f"{where} `MIXER = <a subclass of Mixer>`")
    return mixer
