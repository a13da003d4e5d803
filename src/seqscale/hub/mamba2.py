"""Mamba2ForCausalLM: the same block as `mixers/mamba2.py`, by other names."""

import math
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
_SAME = ("A_log", "D", "dt_bias", "norm.weight", "in_proj.weight", "in_proj.bias", "out_proj.weight", "out_proj.bias")
_LAYER = {
    "mixer_norm.weight": "norm.weight",
    "mixer.conv.weight": "mixer.conv1d.weight",
    "mixer.conv.bias": "mixer.conv1d.bias",
    **{f"mixer.{name}": f"mixer.{name}" for name in _SAME},
}


class Mamba2(Family):
    model_type, architecture, ours = "mamba2", "Mamba2ForCausalLM", "mamba2 without channel mixer, with RMSNorm"

    def shape(self, config: Mapping[str, Any]) -> Shape:
        known(config, "hidden_act", "silu", "swish")
        width, expand = int(config["hidden_size"]), int(config.get("expand", 2))
        low, high = (_number(value) for value in config.get("time_step_limit", (0.0, math.inf)))
        options = {
            "d_state": int(config.get("state_size", 128)),
            "d_conv": int(config.get("conv_kernel", 4)),
            "expand": expand,
            "d_head": int(config.get("head_dim", 64)),
            "n_groups": int(config.get("n_groups", 8)),
            "chunk": int(config.get("chunk_size", 256)),
            "dt_low": low,
            "dt_high": high,
            "bias": bool(config.get("use_bias", False)),
            "conv_bias": bool(config.get("use_conv_bias", True)),
        }
        known(config, "num_heads", expand * width // options["d_head"])
        spec = ModelSpec("pretrained", "mamba2", width, int(config["num_hidden_layers"]), mixer_options=options,
                         norm="rmsnorm")  # fmt: skip
        tied = bool(config.get("tie_word_embeddings", False))
        return Shape(spec, int(config["vocab_size"]), 0, tied, float(config.get("layer_norm_epsilon", 1e-5)))

    def describes(self, spec: ModelSpec) -> bool:
        plain = spec.mixers() == ["mamba2"] and spec.norm == "rmsnorm" and spec.positions == "none"
        return plain and all(layer.channel_mixer == "none" for layer in spec.layers())

    def config(self, model: LanguageModel, spec: ModelSpec) -> dict[str, Any]:
        mixer: Any = model._blocks()[0].mixer
        return {
            "hidden_size": model.d_model,
            "expand": mixer.d_inner // model.d_model,
            "state_size": mixer.d_state,
            "conv_kernel": mixer.d_conv,
            "head_dim": mixer.d_head,
            "num_heads": mixer.heads,
            "n_groups": mixer.n_groups,
            "chunk_size": mixer.chunk,
            "time_step_limit": [_written(mixer.dt_low), _written(mixer.dt_high)],
            "num_hidden_layers": len(model.blocks),
            "use_bias": mixer.in_proj.bias is not None,
            "use_conv_bias": mixer.conv.bias is not None,
            "hidden_act": "silu",
            "layer_norm_epsilon": norm_eps(model),
            "residual_in_fp32": True,
            "use_cache": True,
        }

    def to_ours(self, theirs: Weights, n_layers: int) -> Weights:
        old = {"backbone.embedding.weight": "backbone.embeddings.weight"}  # of the first conversions
        theirs = {old.get(name, name): tensor for name, tensor in theirs.items()}
        names = {their: ours for ours, their in _names(n_layers).items() if their in theirs}
        return renamed(theirs, names, "mamba2")

    def to_theirs(self, ours: Weights, n_layers: int) -> Weights:
        return renamed(ours, {k: v for k, v in _names(n_layers).items() if k in ours}, "mamba2")


def _number(value: Any) -> float:
    """A number of config.json; infinity, which JSON lacks, is {"__float__": "Infinity"} there."""
    return float(value["__float__"] if isinstance(value, dict) else value)


def _written(value: float) -> Any:
    return value if math.isfinite(value) else {"__float__": "Infinity"}


def _names(n_layers: int) -> dict[str, str]:
    names = dict(_OUTSIDE)
    for i in range(n_layers):
        names |= {f"blocks.{i}.{ours}": f"backbone.layers.{i}.{theirs}" for ours, theirs in _LAYER.items()}
    return names
