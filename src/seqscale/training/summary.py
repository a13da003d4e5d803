"""What a finished run says of itself: summary.json."""

from typing import TYPE_CHECKING, Any

import torch

from seqscale.models import PublishedModel
from seqscale.models.published import published_flops
from seqscale.provenance import digest, provenance

if TYPE_CHECKING:
    from seqscale.training.loop import _Run


def summary_of(state: "_Run", status: str, reason: str) -> dict[str, Any]:
    run = state.run
    params, nonembedding = state.model.count_parameters()
    done = state.position.step
    state.note_peak()
    return {
        "config": run,
        "status": status,
        "reason": reason,
        "steps_done": done,
        "params": params,
        "params_nonembedding": nonembedding,
        "train_tokens": done * run["batch"] * run["context"],
        "train_flops": done * state.model.training_flops(run["batch"], run["context"]),
        "published_flops": _published_flops(state, done * run["batch"] * run["context"]),
        "forward_flops_per_token": state.model.flops(1, run["context"]) / run["context"],
        "train_seconds": round(state.position.seconds, 3),
        "peak_memory_bytes": state.peak,
        "valid_loss": state.best.loss if state.best and status == "ok" else None,
        "chosen_step": state.best.step if state.best and status == "ok" else done,
        "provenance": provenance(
            config_digest=digest(run),
            seed=run["seed"],
            device=str(state.device),
            device_name=torch.cuda.get_device_name() if state.device.type == "cuda" else None,
            precision=state.precision,
            threads=run["threads"],
            processes=state.team.size,
            cuda_graph=state.graph is not None,
            data_sha256=state.data.meta.get("sha256"),
        ),
    }


def _published_flops(state: "_Run", tokens: int) -> float | None:
    """Training FLOPs by the sources' own arithmetic (source 000's, for models that are none of theirs)."""
    if isinstance(state.model, PublishedModel):
        return state.model.published_flops(tokens)
    return published_flops(state.run["model"]["mixer"], state.model.count_parameters()[0], tokens)
