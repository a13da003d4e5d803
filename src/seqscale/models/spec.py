"""A model's description (an entry of config/models.yaml) and the model built from it."""

from dataclasses import dataclass, field
from typing import Any

from seqscale.mixers import get
from seqscale.models.classifier import Classifier
from seqscale.models.language_model import LanguageModel
from seqscale.models.published import PublishedModel, build_published


@dataclass(frozen=True)
class ModelSpec:
    """Everything that fixes a model's architecture, but for vocabulary and context, which the data give."""

    name: str
    mixer: str
    d_model: int
    n_layers: int
    title: str = ""
    note: str = ""
    mixer_options: dict[str, Any] = field(default_factory=dict)
    channel_mixer: str = "none"
    norm: str = "layernorm"
    positions: str = "none"
    dropout: float = 0.0
    matched: bool = True
    published: str = ""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelSpec":
        """From the `model` part of a resolved run config (already validated; unknown keys are an error)."""
        return cls(**values)


def build(spec: ModelSpec, vocab_size: int, context: int) -> LanguageModel:
    """The model that `spec` describes, initialised from PyTorch's current random state.

    Args:
        vocab_size: different tokens.
        context: longest sequence, used only by learned positions.
    """
    mixer = get(spec.mixer)
    return LanguageModel(
        vocab_size=vocab_size,
        d_model=spec.d_model,
        mixers=[mixer(spec.d_model, **spec.mixer_options) for _ in range(spec.n_layers)],
        channel_mixer=spec.channel_mixer,
        norm=spec.norm,
        context=context if spec.positions == "learned" else None,
        dropout=spec.dropout,
    )


def build_classifier(spec: ModelSpec, vocab_size: int, context: int, classes: int) -> Classifier:
    """The same stack as `build` makes, with a classifier's head; arguments as there, and the number of classes."""
    return Classifier(build(spec, vocab_size, context), classes)


def build_as_published(spec: ModelSpec, vocab_size: int, context: int) -> PublishedModel:
    """The model of a source, exactly as published (`published: "000.mamba"`); it brings its own head."""
    return build_published(spec.published, vocab_size, context, spec.d_model, spec.n_layers, spec.mixer_options)
