"""Sequence mixers: one file each, all with the face of `base.Mixer`.

A file here is found by its name: `mixer: mamba` in config/models.yaml means `mixers/mamba.py`, which says
``MIXER = Mamba`` at its end. Nothing else needs to know of it.
"""

import importlib
import pkgutil

from seqscale.mixers.base import Mixer, State

__all__ = ["Mixer", "State", "available", "get"]


def available() -> list[str]:
    """The names of all mixers in this folder, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "base")


def get(name: str) -> type[Mixer]:
    """The mixer class called `name`.

    Raises:
        ValueError: there is no such mixer, or its file does not define MIXER.
    """
    if name not in available():
        raise ValueError(f"unknown mixer {name!r}; choose from {', '.join(available())}")
    module = importlib.import_module(f"{__name__}.{name}")
    mixer = getattr(module, "MIXER", None)
    if not (isinstance(mixer, type) and issubclass(mixer, Mixer)):
        raise ValueError(f"mixers/{name}.py must end with `MIXER = <a subclass of Mixer>`")
    return mixer
