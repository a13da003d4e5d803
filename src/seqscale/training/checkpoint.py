"""Checkpoints: one safetensors file with everything that the next step depends on. Nothing is unpickled.

Tensors: ``model.*`` weights, ``best.*`` weights of the lowest validation loss so far, ``optimizer.{index}.*`` moments,
``rng.*`` random states. The header holds the step, the seconds spent, the digest of config and code, and a SHA-256 over
all of it, so that a damaged file is noticed before a number is computed from it. The data position needs no storing:
batches are a function of the step.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from seqscale.files import atomic_write
from seqscale.records.ledger import note_read

log = logging.getLogger(__name__)

try:
    import fcntl
except ImportError:  # Windows: no protection against a second process, everything else works
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Best:
    """The weights of the lowest validation loss so far, on the CPU, the steps that made them and that loss in nats."""

    step: int
    loss: float
    weights: dict[str, Tensor]

    @classmethod
    def of(cls, model: nn.Module, step: int, loss: float) -> "Best":
        """A copy of what `model` is now."""
        weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
        return cls(step, loss, weights)


@dataclass(frozen=True)
class Position:
    """Where a run stands: the steps done, the seconds they took, the best weights where validation chooses them."""

    step: int
    seconds: float
    best: Best | None = None


def _checksum(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    total = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors with a checksum in the header, atomically.

    Raises:
        OSError: the disk is full, or may not be written to. What was there before stays.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={**metadata, "sha256": _checksum(tensors, metadata)})
        except SafetensorError as error:  # safetensors' own exception, also for what the system says
            raise OSError(
                f"{path} cannot be written ({error}). Put that right and run again: training goes on from its last "
                "checkpoint."
            ) from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_tensors` wrote.

    Raises:
        ValueError: the file is truncated or its tensors do not have the checksum in the header.
    """
    note_read(path)
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = dict(handle.metadata() or {})
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}); it is damaged or incomplete") from error
    if metadata.pop("sha256", None) != _checksum(tensors, metadata):
        raise ValueError(f"{path} is damaged: its tensors do not have the checksum written with them")
    return tensors, metadata


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, position: Position, identity: str
) -> None:
    """Write a checkpoint; the previous one stays as `path`.previous until the next."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    best = position.best
    if best is not None:
        tensors.update({f"best.{name}": tensor for name, tensor in best.weights.items()})
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer.{index}.{key}": value for key, value in state.items()})
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    if path.exists():
        os.replace(path, path.with_suffix(".previous.safetensors"))
    note = {"step": position.step, "seconds": position.seconds, "identity": identity}
    if best is not None:
        note |= {"best_step": best.step, "best_loss": best.loss}
    save_tensors(path, tensors, {"seqscale": json.dumps(note)})


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: str) -> Position | None:
    """Bring model, optimizer and random state to the newest sound checkpoint of this very run.

    A damaged file, or one of another config or code, is passed over with a word in the log.

    Returns:
        The position to go on from, or None to start from the beginning.
    """
    for candidate in (path, path.with_suffix(".previous.safetensors")):
        if not candidate.exists():
            continue
        try:
            tensors, metadata = load_tensors(candidate)
            note = json.loads(metadata["seqscale"])
        except (ValueError, KeyError) as error:
            log.warning("checkpoint passed over: %s", error)
            continue
        if note["identity"] != identity:
            log.warning("checkpoint passed over: %s belongs to another config or version of the code", candidate)
            continue
        _restore(model, optimizer, tensors)
        weights = {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
        best = Best(note["best_step"], note["best_loss"], weights) if weights else None
        return Position(note["step"], note["seconds"], best)
    return None


def _restore(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two processes never train the same run at once.

    After a ``kill -9`` of Snakemake a training process may live on; the one started next waits for it here, then
    finds its last checkpoint and goes on from there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+") as handle:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                log.warning("waiting: process %s is still training this run in %s", handle.read().strip(), folder)
                fcntl.flock(handle, fcntl.LOCK_EX)
            handle.seek(0)
            handle.truncate()
            handle.write(f"{os.getpid()}\n")
            handle.flush()
        yield
