"""Which kernel did the work: told by the operations that were seen to run, not by what was asked for."""

import contextlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

# The first that was seen names the implementation; attention and the LSTM come before what surrounds them.
_SEEN = {
    "aten::_scaled_dot_product_flash_attention_for_cpu": "flash_cpu",
    "aten::_scaled_dot_product_flash_attention": "flash",
    "aten::_scaled_dot_product_efficient_attention": "efficient",
    "aten::_scaled_dot_product_cudnn_attention": "cudnn",
    "aten::mkldnn_rnn_layer": "onednn",
    "aten::_cudnn_rnn": "cudnn",
    "seqscale::selective_scan": "chunked",
    "aten::_fft_r2c": "fft",
}
# Where none of them was seen: what the mixer does in plain operations.
_PLAIN = {"attention": "math", "lstm": "native", "lti_ssm": "recurrence", "mamba": "recurrence"}

_GPU_ATTENTION = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)


class _Recorder(TorchDispatchMode):
    """Collects the names of the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func._schema.name)
        return func(*args, **(kwargs or {}))


def observed(call: Callable[[], object], mixer: str) -> str:
    """Run `call` once and name the implementation that it used: "flash_cpu", "cudnn", "chunked", "fft", ...

    Not in inference mode: there an operation made of others arrives here whole.
    """
    with _Recorder() as recorder:
        call()
    for operation, name in _SEEN.items():
        if operation in recorder.names:
            return name
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
