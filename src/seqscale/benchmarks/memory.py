"""How much memory a function needs at its peak, as the allocator saw it, and what a state really holds.

On a GPU: `torch.cuda.max_memory_allocated`, nothing subtracted. It holds parameters, inputs, activations, gradients
and the libraries' workspaces that go through PyTorch's allocator.

On a CPU PyTorch keeps no such count, so its profiler listens to the allocator: every allocation and release made while
the function runs, temporaries inside operations included, added up to the byte. What was alive before (parameters,
inputs) is added from the tensors that the caller names, so that the number means the same as on a GPU. Scratch memory
that oneDNN and MKL take behind PyTorch's back is in neither.
"""

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile


def peak_bytes(call: Callable[[], object], device: torch.device, held: Iterable[Tensor] = ()) -> int:
    """Bytes allocated at the worst moment of `call`, including what was there before.

    Args:
        call: run once; warm it up before.
        held: tensors alive before the call (used on a CPU; a GPU's allocator knows them itself).
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    return storage_bytes(held) + _cpu_growth(call)


def _cpu_growth(call: Callable[[], object]) -> int:
    """The highest sum of allocations minus releases during `call`."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler, _no_operations():
        call()
    results = profiler.profiler.kineto_results if profiler.profiler is not None else None
    assert results is not None, "the profiler ran"
    changes = [(event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda change: change[0])  # stable: at equal times the order in which they were recorded
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


@contextlib.contextmanager
def _no_operations() -> Iterator[None]:
    """Keep the profiler from recording operations, which nobody reads here and which cost 50 times the run."""
    torch.autograd._enable_record_function(False)
    try:
        yield
    finally:
        torch.autograd._enable_record_function(True)


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages behind `tensors`, each counted once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def tensors_of(*things: Any) -> Iterator[Tensor]:
    """All tensors in modules, lists, tuples, dicts and tensors; anything else is passed over."""
    for thing in things:
        if isinstance(thing, Tensor):
            yield thing
        elif isinstance(thing, nn.Module):
            yield from thing.parameters()
            yield from thing.buffers()
        elif isinstance(thing, dict):
            yield from tensors_of(*thing.values())
        elif isinstance(thing, list | tuple):
            yield from tensors_of(*thing)


def element_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the elements of `tensors`, whatever storage stands behind them."""
    return sum(t.numel() * t.element_size() for t in tensors)
