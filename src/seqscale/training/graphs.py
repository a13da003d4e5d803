"""A step's forward, backward and clipping as one CUDA graph: one launch instead of hundreds.

Small models keep a GPU waiting: a layer's kernels take tens of microseconds and launching them takes longer. A graph
holds the very kernels of the eager step, so losses agree but for what atomics leave open; dropout draws from the same
generator.

A model that decides by its numbers (`if x.max() > 0`) or talks to the host in its forward cannot be recorded: that is
told in the log, and its steps stay eager. `compute: {cuda_graphs: false}` keeps all steps eager.
"""

import dataclasses
import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqscale.data.batches import Batch, LabelledBatch
from seqscale.recording import NotRecorded, record

log = logging.getLogger(__name__)

AGREE = 1e-2  # relative difference of the eager and the replayed loss of one batch; they are equal but for atomics

Compute = Callable[[Any, Any], Tensor]  # (batch, number of targets) -> (loss, norm of the gradient) on the device


class StepGraph:
    """`compute` recorded for batches shaped like the first.

    Args:
        compute: takes a batch whose fields are tensors on the device and the number of targets, a float32 tensor ();
            leaves gradients in the parameters and returns the loss and the gradient's norm, (2,). Called some times,
            then recorded; random numbers are as before the first call when all is done.
        batch: the first batch, arrays on the host. targets: how many targets it has.

    Raises:
        NotRecorded: something in `compute` cannot be recorded, or the replay disagrees with the eager call.
    """

    def __init__(self, compute: Compute, batch: Batch | LabelledBatch, targets: int, device: torch.device) -> None:
        self._fields = [field.name for field in dataclasses.fields(batch)]
        self._inputs = {name: _tensor(getattr(batch, name)).to(device) for name in self._fields}
        self._targets = torch.tensor(float(targets), device=device)
        static = dataclasses.replace(batch, **self._inputs)  # type: ignore[arg-type]
        random = torch.cuda.get_rng_state(device)
        self._graph, self._found, eager = record(
            lambda: compute(static, self._targets), device, lambda: torch.cuda.set_rng_state(random, device)
        )
        torch.cuda.set_rng_state(random, device)
        expected, replayed = eager[0].item(), self(batch, targets)[0].item()
        torch.cuda.set_rng_state(random, device)
        if not math.isclose(expected, replayed, rel_tol=AGREE, abs_tol=1e-6):
            raise NotRecorded(f"the loss of one batch is {expected:.6g} step by step and {replayed:.6g} replayed")

    def fits(self, batch: Batch | LabelledBatch) -> bool:
        """Whether a batch has the shape of the first."""
        return all(tuple(getattr(batch, name).shape) == tuple(self._inputs[name].shape) for name in self._fields)

    def __call__(self, batch: Batch | LabelledBatch, targets: int) -> Tensor:
        """The loss and the gradient's norm, (2,), valid until the next call; gradients are in the parameters."""
        for name in self._fields:
            self._inputs[name].copy_(_tensor(getattr(batch, name)), non_blocking=True)
        self._targets.fill_(float(targets))
        self._graph.replay()
        return self._found


def step_graph(compute: Compute, batch: Batch | LabelledBatch, targets: int, device: torch.device) -> StepGraph | None:
    """The graph of a run's step, or None, told in the log, where it cannot be had."""
    try:
        return StepGraph(compute, batch, targets, device)
    except NotRecorded as error:
        log.warning("no CUDA graph of the step, each is launched kernel by kernel: %s", error)
        return None


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
