"""Which implementation runs. "auto" takes the fast one of the device and says so loudly where it cannot.

| tensors                            | "auto"                                                             |
|------------------------------------|--------------------------------------------------------------------|
| CUDA or ROCm                       | "triton"                                                           |
| CPU, float32, bfloat16, float16    | "cpu", compiled C                                                  |
| float64                            | PyTorch operations: no kernel computes in float64, tests alone ask |
| another device                     | PyTorch operations, with a warning                                 |

A named implementation that cannot run raises; nothing is exchanged for another one.
"""

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

_SLOW = (
    "{operation} runs as {plain!r}, plain PyTorch operations, many times slower than it could be: {reason}. "
    "{remedy} implementation={plain!r} asks for it without this warning."
)
_REMEDY = {
    "triton": "Install triton (`pip install triton`; Linux, NVIDIA or AMD GPU).",
    "cpu": "Install a C compiler (Debian and Ubuntu: `apt install gcc`; conda: `conda install c-compiler`).",
}


@functools.cache
def why_not(implementation: str) -> str:
    """Why "triton" or "cpu" cannot run on this machine; empty where it can. Found out once per process."""
    if implementation == "triton":
        try:
            import seqscale.kernels.gpu.scan  # noqa: F401
        except ImportError as error:
            return f"triton cannot be imported ({error})"
        return ""
    from seqscale.kernels.cpu import build

    return "" if build.available() else f"the native CPU library could not be built ({build.reason()})"


def interpreted() -> bool:
    """Whether Triton runs in its interpreter, on CPU tensors (TRITON_INTERPRET=1; for tests)."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def _warn_once(operation: str, plain: str, reason: str, remedy: str) -> None:
    words = _SLOW.format(operation=operation, plain=plain, reason=reason, remedy=remedy)
    warnings.warn(words, RuntimeWarning, stacklevel=4)


def choose(wanted: str, x: Tensor, operation: str, plain: str, allowed: tuple[str, ...]) -> str:
    """The implementation that runs for `x` when `wanted` is asked for.

    Args:
        wanted: "auto" or one of `allowed`.
        x: the main input; its device and dtype decide.
        operation: the caller's name, for messages.
        plain: what `allowed` calls its PyTorch operations ("chunked", "pytorch").
        allowed: names of implementations, without "auto".

    Raises:
        ValueError: an unknown name, or a named implementation that cannot run here or on these tensors.
    """
    device = x.device.type
    if wanted == "auto":
        if x.dtype == torch.float64 or device == "meta":
            return plain
        fast = {"cuda": "triton", "cpu": "cpu"}.get(device)
        reason = why_not(fast) if fast else f"there is no kernel for {device} tensors"
        if fast and not reason:
            return fast
        _warn_once(operation, plain, reason, _REMEDY.get(fast or "", ""))
        return plain
    if wanted not in allowed:
        raise ValueError(
            f"unknown implementation {wanted!r} of {operation}; choose from {', '.join(('auto', *allowed))}"
        )
    if wanted in ("triton", "cpu"):
        _insist(wanted, device, x.dtype, operation, plain)
    return wanted


def _insist(wanted: str, device: str, dtype: torch.dtype, operation: str, plain: str) -> None:
    home = "cuda" if wanted == "triton" else "cpu"
    if device not in (home, "meta") and not (wanted == "triton" and device == "cpu" and interpreted()):
        also = " (on the CPU only in its interpreter, TRITON_INTERPRET=1)" if wanted == "triton" else ""
        raise ValueError(
            f"{operation}: implementation {wanted!r} takes {home} tensors{also} and these are on {device}; "
            f"allowed there: auto, {plain}, reference"
        )
    if dtype == torch.float64:
        raise ValueError(
            f"{operation}: implementation {wanted!r} computes in float32 and takes no float64; "
            f"allowed for float64: auto, {plain}, reference"
        )
    if reason := why_not(wanted):
        raise ValueError(
            f"{operation}: implementation {wanted!r} cannot run here: {reason}. {_REMEDY[wanted]} "
            f"Allowed without it: {plain}, reference"
        )


# --- what ran ---------------------------------------------------------------------------------------------------------

_noted: dict[str, str] | None = None


def note(operation: str, implementation: str) -> None:
    """To be called by a kernel that no mode or profiler would see: past PyTorch's dispatcher, or of its operations."""
    if _noted is not None:
        _noted[operation] = implementation


@contextlib.contextmanager
def noted() -> Iterator[dict[str, str]]:
    """Collects what `note` is told: implementation by operation."""
    global _noted
    before, _noted = _noted, {}
    try:
        yield _noted
    finally:
        _noted = before
