"""Models around a mixer: blocks, the language model, how to build one from its description; and models as published."""

from seqscale.models.language_model import LanguageModel, ModelState
from seqscale.models.published import PublishedModel
from seqscale.models.spec import ModelSpec, build, build_any

__all__ = ["LanguageModel", "ModelSpec", "ModelState", "PublishedModel", "build", "build_any"]
