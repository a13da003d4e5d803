"""AdamW as language models use it, and the learning rate over time."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class OptimizerSettings:
    """The `optimizer` part of a run config."""

    learning_rate: float
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    warmup_fraction: float = 0.1
    final_fraction: float = 0.1
    clip: float | None = 1.0
    algorithm: str = "adamw"
    decay_all: bool = False

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "OptimizerSettings":
        return cls(**{**values, "betas": tuple(values["betas"])})

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of step `step` (from 0) of `steps`: linear warm-up, then half a cosine to final_fraction."""
        warmup = max(1, round(self.warmup_fraction * steps))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, steps - warmup - 1)
        floor = self.final_fraction
        return self.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def make_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """AdamW with decay on matrices only: not on biases, norms, or what a mixer marks `no_weight_decay`.

    The published protocol has PyTorch's own instead: `decay_all` decays every parameter alike, `algorithm: adam`
    is plain Adam, which decays none.
    """
    if settings.algorithm == "adam":
        return torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=settings.betas, fused=True)
    if settings.decay_all:
        return torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, betas=settings.betas,
            weight_decay=settings.weight_decay, fused=True,
        )  # fmt: skip
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for parameter in model.parameters():
        exempt = parameter.ndim < 2 or getattr(parameter, "no_weight_decay", False)
        (kept if exempt else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)
