"""MambaForCausalLM: the same block as `mixers/mamba.py`, by other names."""

import math
from collections.abc import Mapping
from typing import Any

from seqscale.hub.family import Family, Shape, Weights, known, norm_eps, renamed
from seqscale.models import LanguageModel
from seqscale.models.spec import ModelSpec

_OUTSIDE = {"embedding.weight": "backbone.embeddings.weight", "norm.weight": "backbone.norm_f.weight"}
_LAYER = {
    "mixer_norm.weight": "norm.weight",
    "mixer.conv.weight": "mixer.conv1d.weight",
    "mixer.conv.bias": "mixer.conv1d.bias",
    **{f"mixer.{name}": f"mixer.{name}" for name in ("A_log", "D", "x_proj.weight", "dt_proj.weight", "dt_proj.bias")},
    **{
        f"mixer.{name}": f"mixer.{name}"
        for name in ("in_proj.weight", "in_proj.bias", "out_proj.weight", "out_proj.bias")
    },
}


class Mamba(Family):
    model_type, architecture, ours = "mamba", "MambaForCausalLM", "mamba without channel mixer, with RMSNorm"

    def shape(self, config: Mapping[str, Any]) -> Shape:
        known(config, "hidden_act", "silu", "swish")
        width, rank = int(config["hidden_size"]), config.get("time_step_rank", "auto")
        options = {
            "d_state": int(config.get("state_size", 16)),
            "d_conv": int(config.get("conv_kernel", 4)),
            "expand": int(config.get("expand", 2)),
            "dt_rank": math.ceil(width / 16) if rank == "auto" else int(rank),
            "bias": bool(config.get("use_bias", False)),
            "conv_bias": bool(config.get("use_conv_bias", True)),
        }
        known(config, "intermediate_size", options["expand"] * width)
        spec = ModelSpec("pretrained", "mamba", width, int(config["num_hidden_layers"]), mixer_options=options,
                         norm="rmsnorm")  # fmt: skip
        tied = bool(config.get("tie_word_embeddings", True))
        return Shape(spec, int(config["vocab_size"]), 0, tied, float(config.get("layer_norm_epsilon", 1e-5)))

    def describes(self, spec: ModelSpec) -> bool:
        plain = spec.mixers() == ["mamba"] and spec.norm == "rmsnorm" and spec.positions == "none"
        return plain and all(layer.channel_mixer == "none" for layer in spec.layers())

    def config(self, model: LanguageModel, spec: ModelSpec) -> dict[str, Any]:
        mixer: Any = model._blocks()[0].mixer
        return {
            "hidden_size": model.d_model,
            "intermediate_size": mixer.d_inner,
            "expand": mixer.d_inner // model.d_model,
            "state_size": mixer.d_state,
            "conv_kernel": mixer.d_conv,
            "time_step_rank": mixer.dt_rank,
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
        names = {theirs_name: ours for ours, theirs_name in _names(n_layers).items() if theirs_name in theirs}
        return renamed(theirs, names, "mamba")

    def to_theirs(self, ours: Weights, n_layers: int) -> Weights:
        return renamed(ours, {k: v for k, v in _names(n_layers).items() if k in ours}, "mamba")


def _names(n_layers: int) -> dict[str, str]:
    """This package's names to theirs; biases and an untied head may be absent from both."""
    names = {**_OUTSIDE, "head.weight": "lm_head.weight"}
    for i in range(n_layers):
        names |= {f"blocks.{i}.{ours}": f"backbone.layers.{i}.{theirs}" for ours, theirs in _LAYER.items()}
    return names
