"""Models around a mixer: blocks, the language model, the classifier, how to build one; and models as published."""

from seqscale.models.classifier import Classifier
from seqscale.models.language_model import LanguageModel, ModelState
from seqscale.models.published import PublishedModel
from seqscale.models.spec import ModelSpec, build, build_as_published, build_classifier

__all__ = [
    "Classifier",
    "LanguageModel",
    "ModelSpec",
    "ModelState",
    "PublishedModel",
    "build",
    "build_as_published",
    "build_classifier",
]
