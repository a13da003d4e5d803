"""Which mixer stands in which layer: the block list of a hybrid model, unrolled.

A model of config/models.yaml has one mixer in every layer, or a list `blocks` that is gone through again and again
until `n_layers` are there. What an entry leaves out is as the model says:

    mixer: mamba
    n_layers: 6
    blocks:
      - {count: 2}                                           # two layers of Mamba,
      - {mixer: attention, mixer_options: {n_heads: 4}}      # one of attention, and again
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Layer:
    """One layer: the mixer's name, its options, and the channel mixer after it."""

    mixer: str
    options: Mapping[str, Any]
    channel_mixer: str


def layers(model: Mapping[str, Any]) -> list[Layer]:
    """The layers of a model's description, first to last."""
    own = Layer(model["mixer"], model.get("mixer_options") or {}, model.get("channel_mixer", "none"))
    pattern = [layer for entry in model.get("blocks") or [{}] for layer in [_layer(entry, own)] * entry.get("count", 1)]
    return [pattern[i % len(pattern)] for i in range(model["n_layers"])]


def _layer(entry: Mapping[str, Any], own: Layer) -> Layer:
    mixer = entry.get("mixer", own.mixer)
    options = entry.get("mixer_options", own.options if mixer == own.mixer else {})
    return Layer(mixer, options, entry.get("channel_mixer", own.channel_mixer))


def layer_mixers(model: Mapping[str, Any]) -> list[str]:
    """The names of a model's mixers, each once, in the order of their first layer."""
    return list(dict.fromkeys(layer.mixer for layer in layers(model)))
