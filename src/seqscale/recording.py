"""CUDA graphs: what a function does on the GPU, recorded once and replayed, one launch instead of hundreds.

Gray 2019, "Getting started with CUDA graphs". A replay is the same kernels on the same memory, so a function that
decides by its numbers or talks to the host cannot be recorded.
"""

from collections.abc import Callable
from typing import TypeVar

import torch

WARM_UP = 3  # eager calls before the recording: kernels are compiled and libraries set up in them

Result = TypeVar("Result")


class NotRecorded(RuntimeError):
    """A function could not be recorded; the message is the first line of why. All is as before its first call."""


def record(
    call: Callable[[], Result], device: torch.device, before: Callable[[], object] | None = None
) -> tuple[torch.cuda.CUDAGraph, Result, Result]:
    """Call a function WARM_UP times on a stream of its own, then record it.

    Args:
        before: called ahead of each warm-up call, and not recorded.

    Returns:
        The graph, what the recorded call returned (memory that each replay fills anew), what the last eager one did.

    Raises:
        NotRecorded: also where memory does not suffice for the recording.
    """
    generator = torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    spare = generator.clone_state()
    try:
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                if before is not None:
                    before()
                eager = call()
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            recorded = call()
        return graph, recorded, eager
    except RuntimeError as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
    torch.cuda.synchronize(device)  # outside of the except block, which keeps the failed call's tensors alive
    torch.cuda.empty_cache()
    generator.graphsafe_set_state(spare)  # the old one waits for ever for the end of the recording
    raise NotRecorded(why)
