"""Models around a mixer: blocks, the language model, and how to build one from its description."""

from seqscale.models.language_model import LanguageModel, ModelState
from seqscale.models.spec import ModelSpec, build

__all__ = ["LanguageModel", "ModelSpec", "ModelState", "build"]
