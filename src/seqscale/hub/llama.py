"""LlamaForCausalLM: RoPE, SwiGLU, RMSNorm, no biases; this package's `transformer_pp`.

Here queries, keys and values are one matrix, and so are gate and up; there each is its own.
"""

from collections.abc import Mapping
from typing import Any

import torch

from seqscale.hub.family import Family, Shape, Weights, known, norm_eps, renamed
from seqscale.hub.files import CheckpointError
from seqscale.models import LanguageModel
from seqscale.models.blocks import SwiGLU
from seqscale.models.spec import ModelSpec

_JOINED = {  # one of ours, several of theirs, side by side
    "mixer.qkv.weight": ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"),
    "channel_mixer.gate_up.weight": ("mlp.gate_proj.weight", "mlp.up_proj.weight"),
}
_SINGLE = {
    "mixer_norm.weight": "input_layernorm.weight",
    "channel_norm.weight": "post_attention_layernorm.weight",
    "mixer.out.weight": "self_attn.o_proj.weight",
    "channel_mixer.down.weight": "mlp.down_proj.weight",
}
_OUTSIDE = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}
LONGEST = 1 << 20  # max_position_embeddings of an export: rotary positions have no end of their own


class Llama(Family):
    model_type, architecture, ours = "llama", "LlamaForCausalLM", "attention with rope, without biases, RMSNorm, swiglu"

    def shape(self, config: Mapping[str, Any]) -> Shape:
        known(config, "hidden_act", "silu")
        known(config, "attention_bias", False)
        known(config, "mlp_bias", False)
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        known(rope, "rope_type", "default")
        known({"rope_theta": float(rope.get("rope_theta", config.get("rope_theta", 10_000.0)))}, "rope_theta", 10_000.0)
        width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        known(config, "num_key_value_heads", heads)
        known(config, "head_dim", width // heads, None)
        hidden = SwiGLU(width).hidden
        if config["intermediate_size"] != hidden:
            raise CheckpointError(
                f"config.json says intermediate_size = {config['intermediate_size']}; this package's SwiGLU of width "
                f"{width} has {hidden}"
            )
        spec = ModelSpec("pretrained", "attention", width, int(config["num_hidden_layers"]),
                         mixer_options={"n_heads": heads, "rope": True, "bias": False},
                         channel_mixer="swiglu", norm="rmsnorm")  # fmt: skip
        tied = bool(config.get("tie_word_embeddings", False))
        return Shape(spec, int(config["vocab_size"]), 0, tied, float(config.get("rms_norm_eps", 1e-6)))

    def describes(self, spec: ModelSpec) -> bool:
        return (
            spec.norm == "rmsnorm"
            and spec.positions == "none"
            and all(
                layer.mixer == "attention"
                and layer.channel_mixer == "swiglu"
                and layer.options.get("rope", False)
                and not layer.options.get("bias", True)
                for layer in spec.layers()
            )
        )

    def config(self, model: LanguageModel, spec: ModelSpec) -> dict[str, Any]:
        block: Any = model._blocks()[0]
        return {
            "hidden_size": model.d_model,
            "intermediate_size": block.channel_mixer.hidden,
            "num_hidden_layers": len(model.blocks),
            "num_attention_heads": block.mixer.n_heads,
            "num_key_value_heads": block.mixer.n_heads,
            "hidden_act": "silu",
            "max_position_embeddings": LONGEST,
            "rms_norm_eps": norm_eps(model),
            "rope_theta": 10_000.0,
            "attention_bias": False,
            "mlp_bias": False,
        }

    def to_ours(self, theirs: Weights, n_layers: int) -> Weights:
        weights = {k: v for k, v in theirs.items() if not k.endswith("rotary_emb.inv_freq")}
        for i in range(n_layers):
            for ours, parts in _JOINED.items():
                found = [weights.pop(f"model.layers.{i}.{part}", None) for part in parts]
                if any(part is None for part in found):
                    raise CheckpointError(f"the weights of layer {i} lack one of {', '.join(parts)}")
                weights[f"blocks.{i}.{ours}"] = torch.cat([part for part in found if part is not None])
        names = {their: our for our, their in _names(n_layers).items() if their in weights or "lm_head" not in their}
        return renamed(weights, names | {name: name for name in weights if name.startswith("blocks.")}, "llama")

    def to_theirs(self, ours: Weights, n_layers: int) -> Weights:
        weights = dict(ours)
        for i in range(n_layers):
            for name, parts in _JOINED.items():
                pieces = weights.pop(f"blocks.{i}.{name}").chunk(len(parts))
                weights |= {f"model.layers.{i}.{part}": piece for part, piece in zip(parts, pieces, strict=True)}
        names = {k: v for k, v in _names(n_layers).items() if k in weights}
        return renamed(weights, names | {name: name for name in weights if name.startswith("model.")}, "llama")


def _names(n_layers: int) -> dict[str, str]:
    names = dict(_OUTSIDE)
    for i in range(n_layers):
        names |= {f"blocks.{i}.{ours}": f"model.layers.{i}.{theirs}" for ours, theirs in _SINGLE.items()}
    return names
