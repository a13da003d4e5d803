"""What a family of checkpoints is: how its config.json and its weights' names translate to this package and back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqscale.hub.files import CheckpointError
from seqscale.models import LanguageModel
from seqscale.models.spec import ModelSpec

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Shape:
    """A model as a config.json describes it: the spec, and what a spec leaves open."""

    spec: ModelSpec
    vocab_size: int
    context: int
    tied: bool
    norm_eps: float


class Family(ABC):
    """One `model_type` of transformers."""

    model_type: str
    architecture: str
    ours: str  # which of this package's models it holds, in words

    @abstractmethod
    def shape(self, config: Mapping[str, Any]) -> Shape:
        """The model that a config.json describes; CheckpointError for what this package does not compute."""

    @abstractmethod
    def describes(self, spec: ModelSpec) -> bool:
        """Whether models of this spec can be written as this family."""

    @abstractmethod
    def config(self, model: LanguageModel, spec: ModelSpec) -> dict[str, Any]:
        """The family's own keys of config.json for a model."""

    @abstractmethod
    def to_ours(self, theirs: Weights, n_layers: int) -> Weights:
        """Their names and layouts to this package's state dict."""

    @abstractmethod
    def to_theirs(self, ours: Weights, n_layers: int) -> Weights:
        """The way back."""


def known(config: Mapping[str, Any], key: str, *allowed: Any) -> None:
    """Refuse a checkpoint whose `key`, where it is given, has none of the allowed values."""
    value = config.get(key, allowed[0])
    if value not in allowed:
        choices = ", ".join(str(v) for v in allowed)
        raise CheckpointError(f"config.json says {key} = {value!r}; this package computes {choices} only")


def norm_eps(model: LanguageModel) -> float:
    """The epsilon of a model's norms."""
    eps = model.norm.eps
    return float(torch.finfo(torch.float32).eps if eps is None else eps)


def set_norm_eps(model: nn.Module, eps: float) -> None:
    """Give every norm of a model that epsilon."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | nn.RMSNorm):
            module.eps = eps


def renamed(weights: Weights, names: Mapping[str, str], source: str) -> Weights:
    """`weights` by their new names.

    Raises:
        CheckpointError: a tensor that `names` asks for is missing, or one is there that it does not know.
    """
    missing, unknown = names.keys() - weights.keys(), weights.keys() - names.keys()
    if missing or unknown:
        words = [f"{', '.join(sorted(missing)[:3])} missing"] if missing else []
        words += [f"{', '.join(sorted(unknown)[:3])} not known"] if unknown else []
        raise CheckpointError(
            f"the weights of this {source} checkpoint are not as its config.json says: {'; '.join(words)}"
        )
    return {names[name]: tensor for name, tensor in weights.items()}
