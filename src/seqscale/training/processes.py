"""Several processes training one run: who they are, how a batch is shared out, what is added up between them.

Started by ``torchrun --nproc-per-node N src/train.py ...`` (or by ``train.py`` itself where the config says
``processes: N``). Gradients are added up by DistributedDataParallel (Li et al. 2020, arXiv 2006.15704). Each process
takes its rows of every batch; the loss is divided by the number of targets in the whole batch, so N processes, or
several micro-batches one after the other, compute the gradient that one process computes from the whole batch. Sums
are taken in another order, so the last bits differ: tests allow 1e-5 relative over a run in float32.
"""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from seqscale.data.batches import Batch, LabelledBatch
from seqscale.devices import resolve_device

AnyBatch = TypeVar("AnyBatch", bound=Batch | LabelledBatch)
WAIT = datetime.timedelta(days=1)  # one may wait for the lock or for a long evaluation; torchrun ends all if one dies


@dataclass(frozen=True)
class Team:
    """The processes of a run: `rank` of `size`; `local` is the rank on this machine, which picks the GPU."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def device(self, word: str) -> torch.device:
        """The device of this process, from the config's word."""
        device = resolve_device(word)
        if device.type != "cuda" or self.size == 1:
            return device
        if self.local >= torch.cuda.device_count():
            raise ValueError(
                f"{self.size} processes want a GPU each and PyTorch sees {torch.cuda.device_count()}: lower "
                "`compute: processes:`, or give the job more GPUs"
            )
        torch.cuda.set_device(self.local)
        return torch.device("cuda", self.local)

    def parallel(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model with gradients that are averaged over all processes; the model itself where there is one."""
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel  # here: a run of one process need not wait for it

        places = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=places, broadcast_buffers=False, gradient_as_bucket_view=True)

    def parts(self, batch: AnyBatch, pieces: int) -> list[AnyBatch]:
        """This process's rows of a batch, in `pieces` micro-batches.

        Raises:
            ValueError: fewer rows than there are processes and pieces.
        """
        rows = len(batch.inputs)
        if rows < self.size * pieces:
            raise ValueError(
                f"a batch of {rows} cannot be shared by {self.size} processes in {pieces} pieces each; raise `batch` "
                "or lower `compute: processes:` or `accumulate:`"
            )
        share = np.array_split(np.arange(rows), self.size * pieces)[self.rank * pieces : (self.rank + 1) * pieces]
        places = [slice(i[0], i[-1] + 1) for i in share]  # not by index, which a CUDA graph could not record
        names = [field.name for field in dataclasses.fields(batch)]
        return [dataclasses.replace(batch, **{name: getattr(batch, name)[i] for name in names}) for i in places]

    def sum(self, *values: float) -> list[float]:
        """Each value added up over all processes, in float64."""
        if self.size == 1:
            return list(values)
        device = torch.device("cuda", self.local) if dist.get_backend() == "nccl" else torch.device("cpu")
        return self.add_up(torch.tensor(values, dtype=torch.float64, device=device)).tolist()

    def add_up(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor added up over all processes, in place and without waiting for the GPU."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def seed(self, seed: int, step: int) -> None:
        """Give each process random numbers of its own (dropout), the same whenever the step is done again."""
        if self.size > 1:
            torch.manual_seed(int(np.random.SeedSequence([seed, step, self.rank]).generate_state(1)[0]))


ALONE = Team()


@contextlib.contextmanager
def team(device: str) -> Iterator[Team]:
    """Join the processes that torchrun started, as its environment variables say; alone where there are none.

    Args:
        device: the config's word; GPUs talk through NCCL, CPUs through gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    mine = Team(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    place = mine.device(device)
    on_gpu = place.type == "cuda"
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=WAIT, device_id=place if on_gpu else None)
    try:
        yield mine
    finally:
        dist.destroy_process_group()
