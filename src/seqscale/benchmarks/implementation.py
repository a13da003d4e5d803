"""Which kernel did the work: told by the operations that were seen to run, not by what was asked for."""

import contextlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from seqscale.kernels.choice import choose, noted

# The first that was seen names the implementation; attention and the LSTM come before what surrounds them. This
# package's own operations are told which of their implementations to run: None stands for that.
_SEEN: dict[str, str | None] = {
    "aten::_scaled_dot_product_flash_attention_for_cpu": "flash_cpu",
    "aten::_scaled_dot_product_flash_attention": "flash",
    "aten::_scaled_dot_product_efficient_attention": "efficient",
    "aten::_scaled_dot_product_cudnn_attention": "cudnn",
    "aten::mkldnn_rnn_layer": "onednn",
    "aten::_cudnn_rnn": "cudnn",
    "seqscale::selective_scan": None,
    "seqscale::selective_state_step_": None,
    "aten::_fft_r2c": "fft",
}
# Where none of them was seen: what the mixer does in plain operations.
_PLAIN = {"attention": "math", "lstm": "native"} | dict.fromkeys(("lti_ssm", "s4", "mamba", "mamba2"), "recurrence")

_GPU_ATTENTION = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)


class _Recorder(TorchDispatchMode):
    """Collects the operations that run, by name, with the implementation that they were told to use, if any."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: dict[str, str] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; True would import the compiler, a second per process

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ran.setdefault(func._schema.name, _told(func, args))
        return func(*args, **(kwargs or {}))


def _told(func: Any, args: tuple[Any, ...]) -> str:
    """The argument `implementation` of one of this package's operations, "auto" made concrete."""
    if func.namespace != "seqscale":
        return ""
    given = dict(zip((a.name for a in func._schema.arguments), args, strict=False))
    told = given.get("implementation", "")
    x = given.get("u", given.get("x"))
    return choose("auto", x, func._schema.name, "pytorch", ()) if told == "auto" and x is not None else told


def observed(call: Callable[[], object], mixer: str) -> str:
    """Run `call` twice and name the implementation that it used: "flash_cpu", "cudnn", "triton", "cpu", "fft", ...

    Once nobody looks on, for kernels that then take a shorter way and tell of it themselves; once operation by
    operation. Not in inference mode: there an operation made of others arrives here whole.
    """
    with noted() as shortcuts:
        call()
    if shortcuts:
        return next(iter(shortcuts.values()))
    with _Recorder() as recorder:
        call()
    for operation, name in _SEEN.items():
        if operation in recorder.ran:
            return recorder.ran[operation] if name is None else name
    return _PLAIN.get(mixer, "torch")


def best_attention(trial: Callable[[], object], device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """A context to run attention in: on a GPU the first of flash, memory-efficient and plain that takes `trial`.

    Naming one keeps PyTorch from choosing another at some length, so that a curve is one implementation's. On a CPU
    there is nothing to choose.
    """
    if device.type != "cuda":
        return contextlib.nullcontext
    for backend in _GPU_ATTENTION[:-1]:
        try:
            with sdpa_kernel(backend), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch warns of every reason why a kernel does not fit
                trial()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # "No available kernel": wrong dtype, head width or GPU
            continue
        return lambda backend=backend: sdpa_kernel(backend)  # type: ignore[misc]
    return lambda: sdpa_kernel(_GPU_ATTENTION[-1])
