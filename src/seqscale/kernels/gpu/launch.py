"""Launching kernels: on the device of their tensors, and without the price of Triton's choice every time."""

import contextlib
from collections.abc import Callable, Hashable
from typing import Any

import torch
import triton
from torch import Tensor

_RUNTIME = triton.knobs.runtime
_HERE = contextlib.nullcontext()


def on_device_of(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """A context in which kernels run on x's device; nothing to do (and nothing paid) where it is the current one.

    A CPU tensor is one of Triton's interpreter and needs no device.
    """
    if not x.is_cuda or x.get_device() == torch.cuda.current_device():
        return _HERE
    return torch.cuda.device(x.device)


class Launcher:
    """A Triton kernel with a short way in for launches like earlier ones.

    Triton looks at every argument of every launch to choose the specialisation to run: 50 to 100 us for the thirty
    arguments of the scan's kernels, more than many of them run. Here the caller names all that could make a difference
    in `key` (sizes, strides, dtypes, what is None, which pointers are multiples of 16 bytes, the device); the kernel
    that Triton chose for the first launch with a key is then started directly for the others. It is given addresses,
    not tensors: of a tensor Triton's launcher asks the driver where it lives, once for each argument.
    """

    LIMIT = 4096  # keys remembered; a program with more kinds of calls begins anew

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._known: dict[Hashable, Callable[..., None]] = {}

    def __call__(self, key: Hashable, programs: tuple[int, ...], arguments: tuple[Any, ...], **options: Any) -> None:
        """Launch. `arguments` are all of the kernel's, constants included, in its order."""
        launch = self._known.get(key)
        if launch is not None and not _RUNTIME.launch_enter_hook.calls:
            launch(*[x.data_ptr() if isinstance(x, Tensor) else x for x in arguments])
            return
        made = self.kernel[programs](*arguments, **options)
        if made is not None:  # the interpreter makes nothing
            if len(self._known) >= self.LIMIT:
                self._known.clear()
            self._known[key] = _start(made, (*programs, 1, 1)[:3])


def _start(made: Any, programs: tuple[int, ...]) -> Callable[..., None]:
    """What starts a compiled kernel on the stream of the moment, past the hooks (Triton's profiler uses them)."""
    run, function, metadata = made.run, made.function, made.packed_metadata
    device, stream = torch.cuda.current_device(), triton.runtime.driver.active.get_current_stream

    def start(*arguments: Any) -> None:
        run(*programs, stream(device), function, metadata, None, None, None, *arguments)

    return start
