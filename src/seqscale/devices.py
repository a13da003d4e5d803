"""Which device and which precision, from the config's words; and whether a device's memory ran out."""

import os

import torch

from seqscale.gpus import take

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed", "bad_alloc")


def resolve_device(word: str) -> torch.device:
    """ "auto": a GPU if there is one, else the CPU; "cpu" and "cuda" insist.

    Raises:
        ValueError: "cuda" without a usable GPU, or another word.
    """
    if word != "cpu" and "WORLD_SIZE" not in os.environ:  # under torchrun the launcher has taken them for all
        take()
    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if word == "cuda" and not torch.cuda.is_available():
        raise ValueError("compute.device is 'cuda' but PyTorch sees no GPU here; say 'auto' or 'cpu'")
    if word not in ("cpu", "cuda"):
        raise ValueError(f"compute.device is {word!r}; allowed: auto, cpu, cuda")
    return torch.device(word)


def resolve_precision(word: str, device: torch.device) -> str:
    """ "auto": bfloat16 autocast on a GPU that has it, else float32; "float32" and "bfloat16" insist."""
    if word == "auto":
        return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    if word not in ("float32", "bfloat16"):
        raise ValueError(f"compute.precision is {word!r}; allowed: auto, float32, bfloat16")
    return word


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or (where PyTorch raises a plain RuntimeError) on a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(word in str(error).lower() for word in _MEMORY_WORDS)
