"""Models around a mixer: blocks, the language model, the classifier, and how to build one from its description."""

from seqscale.models.classifier import Classifier
from seqscale.models.language_model import LanguageModel, ModelState
from seqscale.models.spec import ModelSpec, build, build_classifier

__all__ = ["Classifier", "LanguageModel", "ModelSpec", "ModelState", "build", "build_classifier"]
