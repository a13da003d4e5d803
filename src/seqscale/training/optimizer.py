"""AdamW as language models use it, and the learning rate over time."""

import inspect
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


def _without_compiler(kind: type[torch.optim.Adam]) -> type[torch.optim.Adam]:
    """`kind` with its methods not wrapped for torch.compile: the wrappers' first call imports all of the compiler.

    That is more than a second of every process that trains, and nothing here is compiled. The steps are the same.
    """
    wrapped = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    return type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(inspect.unwrap(kind.step))})


_Adam, _AdamW = _without_compiler(torch.optim.Adam), _without_compiler(torch.optim.AdamW)


def make_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """AdamW with decay on matrices only: not on biases, norms, or what a mixer marks `no_weight_decay`.

    The published protocol has PyTorch's own instead: `decay_all` decays every parameter alike, `algorithm: adam`
    is plain Adam, which decays none.
    """
    if settings.algorithm == "adam":
        return _Adam(model.parameters(), lr=settings.learning_rate, betas=settings.betas, fused=True)
    if settings.decay_all:
        return _AdamW(
            model.parameters(), lr=settings.learning_rate, betas=settings.betas,
            weight_decay=settings.weight_decay, fused=True,
        )  # fmt: skip
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for parameter in model.parameters():
        exempt = parameter.ndim < 2 or getattr(parameter, "no_weight_decay", False)
        (kept if exempt else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return _AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)
