"""GPT2LMHeadModel: pre-norm, learned positions, GELU; this package's `transformer`.

Its linear layers are kept transposed (as one-by-one convolutions), and its exact GELU goes by the name "gelu".
"""

from collections.abc import Mapping
from typing import Any

from seqscale.hub.family import Family, Shape, Weights, known, norm_eps, renamed
from seqscale.models import LanguageModel
from seqscale.models.spec import ModelSpec

_LINEAR = {
    "mixer.qkv": "attn.c_attn",
    "mixer.out": "attn.c_proj",
    "channel_mixer.up": "mlp.c_fc",
    "channel_mixer.down": "mlp.c_proj",
}
_NORM = {"mixer_norm": "ln_1", "channel_norm": "ln_2"}
_OUTSIDE = {
    "embedding.weight": "transformer.wte.weight",
    "positions.weight": "transformer.wpe.weight",
    "norm.weight": "transformer.ln_f.weight",
    "norm.bias": "transformer.ln_f.bias",
    "head.weight": "lm_head.weight",
}


class GPT2(Family):
    model_type, architecture, ours = (
        "gpt2",
        "GPT2LMHeadModel",
        "attention with biases, LayerNorm, mlp, learned positions",
    )

    def shape(self, config: Mapping[str, Any]) -> Shape:
        known(config, "activation_function", "gelu")
        known(config, "scale_attn_weights", True)
        known(config, "scale_attn_by_inverse_layer_idx", False)
        width = int(config["n_embd"])
        known(config, "n_inner", None, 4 * width)
        spec = ModelSpec("pretrained", "attention", width, int(config["n_layer"]),
                         mixer_options={"n_heads": int(config["n_head"]), "bias": True},
                         channel_mixer="mlp", norm="layernorm", positions="learned")  # fmt: skip
        tied = bool(config.get("tie_word_embeddings", True))
        context, eps = int(config["n_positions"]), float(config.get("layer_norm_epsilon", 1e-5))
        return Shape(spec, int(config["vocab_size"]), context, tied, eps)

    def describes(self, spec: ModelSpec) -> bool:
        return (
            spec.norm == "layernorm"
            and spec.positions == "learned"
            and all(
                layer.mixer == "attention"
                and layer.channel_mixer == "mlp"
                and layer.options.get("bias", True)
                and not layer.options.get("rope", False)
                for layer in spec.layers()
            )
        )

    def config(self, model: LanguageModel, spec: ModelSpec) -> dict[str, Any]:
        mixer: Any = model._blocks()[0].mixer
        return {
            "n_embd": model.d_model,
            "n_layer": len(model.blocks),
            "n_head": mixer.n_heads,
            "n_inner": 4 * model.d_model,
            "n_positions": model.length_max,
            "activation_function": "gelu",
            "layer_norm_epsilon": norm_eps(model),
            "attn_pdrop": 0.0,
            "embd_pdrop": spec.dropout,
            "resid_pdrop": spec.dropout,
        }

    def to_ours(self, theirs: Weights, n_layers: int) -> Weights:
        masks = (".attn.bias", ".attn.masked_bias")  # buffers of old versions, not weights
        theirs = {k: v for k, v in theirs.items() if not k.endswith(masks)}
        theirs = {k if k.startswith(("transformer.", "lm_head.")) else f"transformer.{k}": v for k, v in theirs.items()}
        names = {their: our for our, their in _names(n_layers).items() if their in theirs or "lm_head" not in their}
        return _transposed(renamed(theirs, names, "gpt2"))

    def to_theirs(self, ours: Weights, n_layers: int) -> Weights:
        return renamed(_transposed(ours), {k: v for k, v in _names(n_layers).items() if k in ours}, "gpt2")


def _transposed(weights: Weights) -> Weights:
    linear = tuple(f"{name}.weight" for name in _LINEAR)
    return {k: v.t().contiguous() if k.endswith(linear) else v for k, v in weights.items()}


def _names(n_layers: int) -> dict[str, str]:
    names = dict(_OUTSIDE)
    for i in range(n_layers):
        for ours, theirs in {**_LINEAR, **_NORM}.items():
            for part in ("weight", "bias"):
                names[f"blocks.{i}.{ours}.{part}"] = f"transformer.h.{i}.{theirs}.{part}"
    return names
