"""What MambaForCausalLM and Mamba2ForCausalLM share: the backbone's names, and a stack of one mixer with RMSNorm."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from seqscale.hub.family import Family, Shape, Weights, known, norm_eps, renamed
from seqscale.models import LanguageModel
from seqscale.models.spec import ModelSpec

_OUTSIDE = {
    "embedding.weight": "backbone.embeddings.weight",
    "norm.weight": "backbone.norm_f.weight",
    "head.weight": "lm_head.weight",
}
_OLD = {"backbone.embedding.weight": "backbone.embeddings.weight"}  # of the first conversions
_LAYER = {
    "mixer_norm.weight": "norm.weight",
    "mixer.conv.weight": "mixer.conv1d.weight",
    "mixer.conv.bias": "mixer.conv1d.bias",
}


class Backbone(Family):
    """A family whose model is `backbone.layers`, each a norm and a mixer of the name `model_type`.

    Attributes:
        same: the mixer's parameters that have one name here and there.
        tied: whether output and embedding are one where config.json does not say.
    """

    same: tuple[str, ...]
    tied: bool

    def shape(self, config: Mapping[str, Any]) -> Shape:
        known(config, "hidden_act", "silu", "swish")
        width = int(config["hidden_size"])
        options = {
            **self.options(config, width, expand=int(config.get("expand", 2))),
            "d_conv": int(config.get("conv_kernel", 4)),
            "expand": int(config.get("expand", 2)),
            "bias": bool(config.get("use_bias", False)),
            "conv_bias": bool(config.get("use_conv_bias", True)),
        }
        layers = int(config["num_hidden_layers"])
        spec = ModelSpec("pretrained", self.model_type, width, layers, mixer_options=options, norm="rmsnorm")
        tied = bool(config.get("tie_word_embeddings", self.tied))
        return Shape(spec, int(config["vocab_size"]), 0, tied, float(config.get("layer_norm_epsilon", 1e-5)))

    def describes(self, spec: ModelSpec) -> bool:
        plain = spec.mixers() == [self.model_type] and spec.norm == "rmsnorm" and spec.positions == "none"
        return plain and all(layer.channel_mixer == "none" for layer in spec.layers())

    def config(self, model: LanguageModel, spec: ModelSpec) -> dict[str, Any]:
        mixer: Any = model._blocks()[0].mixer
        return {
            "hidden_size": model.d_model,
            "expand": mixer.d_inner // model.d_model,
            "state_size": mixer.d_state,
            "conv_kernel": mixer.d_conv,
            **self.own_config(mixer),
            "num_hidden_layers": len(model.blocks),
            "use_bias": mixer.in_proj.bias is not None,
            "use_conv_bias": mixer.conv.bias is not None,
            "hidden_act": "silu",
            "layer_norm_epsilon": norm_eps(model),
            "residual_in_fp32": True,
            "use_cache": True,
        }

    @abstractmethod
    def options(self, config: Mapping[str, Any], width: int, expand: int) -> dict[str, Any]:
        """The mixer's options that only this family has; CheckpointError for what the mixer does not compute."""

    @abstractmethod
    def own_config(self, mixer: Any) -> dict[str, Any]:
        """The way back: keys of config.json for a mixer."""

    def to_ours(self, theirs: Weights, n_layers: int) -> Weights:
        theirs = {_OLD.get(name, name): tensor for name, tensor in theirs.items()}
        names = {their: ours for ours, their in self._names(n_layers).items() if their in theirs}
        return renamed(theirs, names, self.model_type)

    def to_theirs(self, ours: Weights, n_layers: int) -> Weights:
        names = {our: theirs for our, theirs in self._names(n_layers).items() if our in ours}
        return renamed(ours, names, self.model_type)

    def _names(self, n_layers: int) -> dict[str, str]:
        """This package's names to theirs; biases and an untied head may be absent from both."""
        layer = {**_LAYER, **{f"mixer.{name}": f"mixer.{name}" for name in self.same}}
        names = dict(_OUTSIDE)
        for i in range(n_layers):
            names |= {f"blocks.{i}.{ours}": f"backbone.layers.{i}.{theirs}" for ours, theirs in layer.items()}
        return names
