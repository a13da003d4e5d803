"""A model's description (an entry of config/models.yaml) and the model built from it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from seqscale.layers import Layer, layers
from seqscale.mixers import make
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
    blocks: list[dict[str, Any]] = field(default_factory=list)  # of a hybrid: see seqscale.layers

    def layers(self) -> list[Layer]:
        """Every layer's mixer, options and channel mixer, first to last."""
        return layers(asdict(self))

    def mixers(self) -> list[str]:
        """The names of the mixers in it, each once."""
        return list(dict.fromkeys(layer.mixer for layer in self.layers()))

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
    layers = spec.layers()
    model = LanguageModel(
        vocab_size=vocab_size,
        d_model=spec.d_model,
        mixers=[make(layer.mixer, spec.d_model, layer.options) for layer in layers],
        channel_mixer=[layer.channel_mixer for layer in layers],
        norm=spec.norm,
        context=context if spec.positions == "learned" else None,
        dropout=spec.dropout,
    )
    model.spec = spec
    return model


def build_classifier(spec: ModelSpec, vocab_size: int, context: int, classes: int) -> Classifier:
    """The same stack as `build` makes, with a classifier's head; arguments as there, and the number of classes."""
    return Classifier(build(spec, vocab_size, context), classes)


def build_as_published(spec: ModelSpec, vocab_size: int, context: int) -> PublishedModel:
    """The model of a source, exactly as published (`published: "000.mamba"`); it brings its own head."""
    return build_published(spec.published, vocab_size, context, spec.d_model, spec.n_layers, spec.mixer_options)
