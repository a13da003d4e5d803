"""Models exactly as the source documents published them, defects included and named (`source_NNN.py`).

`published: "000.mamba"` in config/models.yaml means ARCHITECTURES["mamba"] of `source_000.py`. Nothing here is meant
to be good; it is meant to be what was measured there. Where a source leaves something open, the file's head says what
was taken and what the published figures say for it.
"""

import importlib
from typing import Any

from seqscale.models.published.arithmetic import published_flops
from seqscale.models.published.base import PublishedModel

__all__ = ["PublishedModel", "build_published", "module_of", "published_flops"]


def module_of(name: str) -> str:
    """The module that holds the architecture `name`: "000.mamba" -> "seqscale.models.published.source_000"."""
    return f"{__name__}.source_{name.split('.')[0]}"


def build_published(
    name: str, vocab_size: int, context: int, d_model: int, n_layers: int, options: dict[str, Any]
) -> PublishedModel:
    """The architecture `name` ("000.mamba"), initialised from PyTorch's current random state.

    Raises:
        ValueError: there is no such source or architecture.
    """
    try:
        architectures = importlib.import_module(module_of(name)).ARCHITECTURES
    except ModuleNotFoundError as error:
        raise ValueError(f"there is no published source {name.split('.')[0]!r} (models/published)") from error
    kind = name.partition(".")[2]
    if kind not in architectures:
        raise ValueError(f"there is no published model {name!r}; allowed: {', '.join(architectures)}")
    model: PublishedModel = architectures[kind](vocab_size, context, d_model, n_layers, **options)
    return model
