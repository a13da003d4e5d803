"""Mamba2ForCausalLM: the same block as `mixers/mamba2.py`, by other names."""

import math
from collections.abc import Mapping
from typing import Any

from seqscale.hub.backbone import Backbone
from seqscale.hub.family import known


class Mamba2(Backbone):
    model_type, architecture, ours = "mamba2", "Mamba2ForCausalLM", "mamba2 without channel mixer, with RMSNorm"
    tied = False
    same = (
        *("A_log", "D", "dt_bias", "norm.weight"),
        *("in_proj.weight", "in_proj.bias", "out_proj.weight", "out_proj.bias"),
    )

    def options(self, config: Mapping[str, Any], width: int, expand: int) -> dict[str, Any]:
        low, high = (_number(value) for value in config.get("time_step_limit", (0.0, math.inf)))
        d_head = int(config.get("head_dim", 64))
        known(config, "num_heads", expand * width // d_head)
        return {
            "d_state": int(config.get("state_size", 128)),
            "d_head": d_head,
            "n_groups": int(config.get("n_groups", 8)),
            "chunk": int(config.get("chunk_size", 256)),
            "dt_low": low,
            "dt_high": high,
        }

    def own_config(self, mixer: Any) -> dict[str, Any]:
        return {
            "head_dim": mixer.d_head,
            "num_heads": mixer.heads,
            "n_groups": mixer.n_groups,
            "chunk_size": mixer.chunk,
            "time_step_limit": [_written(mixer.dt_low), _written(mixer.dt_high)],
        }


def _number(value: Any) -> float:
    """A number of config.json; infinity, which JSON lacks, is {"__float__": "Infinity"} there."""
    return float(value["__float__"] if isinstance(value, dict) else value)


def _written(value: float) -> Any:
    return value if math.isfinite(value) else {"__float__": "Infinity"}
