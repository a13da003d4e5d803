"""MambaForCausalLM: the same block as `mixers/mamba.py`, by other names."""

import math
from collections.abc import Mapping
from typing import Any

from seqscale.hub.backbone import Backbone
from seqscale.hub.family import known


class Mamba(Backbone):
    model_type, architecture, ours = "mamba", "MambaForCausalLM", "mamba without channel mixer, with RMSNorm"
    tied = True
    same = (
        *("A_log", "D", "x_proj.weight", "dt_proj.weight", "dt_proj.bias"),
        *("in_proj.weight", "in_proj.bias", "out_proj.weight", "out_proj.bias"),
    )

    def options(self, config: Mapping[str, Any], width: int, expand: int) -> dict[str, Any]:
        known(config, "intermediate_size", expand * width)
        rank = config.get("time_step_rank", "auto")
        return {
            "d_state": int(config.get("state_size", 16)),
            "dt_rank": math.ceil(width / 16) if rank == "auto" else int(rank),
        }

    def own_config(self, mixer: Any) -> dict[str, Any]:
        return {"intermediate_size": mixer.d_inner, "time_step_rank": mixer.dt_rank}
