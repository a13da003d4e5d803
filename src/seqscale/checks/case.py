"""A mixer with a width and options, and the inputs that the checks feed it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seqscale.mixers import Mixer, State, face, get

F64 = torch.float64


class CheckFailed(AssertionError):
    """A mixer does not hold what it owes; the message says what differs, and by how much."""


@dataclass(frozen=True)
class Case:
    """One mixer as it is tried: `mixer` names it, or is the class itself."""

    mixer: str | type[Mixer]
    d_model: int = 16
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, dtype: torch.dtype = F64, seed: int = 0) -> Mixer:
        """A fresh one, initialised from `seed`.

        Raises:
            ValueError: there is no such mixer, or it refuses this width or these options.
        """
        torch.manual_seed(seed)
        mixer = get(self.mixer) if isinstance(self.mixer, str) else self.mixer
        return face.make(mixer, self.d_model, self.options).to(dtype)

    def __str__(self) -> str:
        said = ", ".join(f"{key} = {value}" for key, value in self.options.items())
        return f"d_model = {self.d_model}" + (f", {said}" if said else "")


def tokens(mixer: Mixer, batch: int = 2, length: int = 11, dtype: torch.dtype = F64) -> Tensor:
    """Random activations (batch, length, d_model), the same every time."""
    return torch.randn(batch, length, mixer.d_model, generator=torch.Generator().manual_seed(1), dtype=dtype)


def start(mixer: Mixer, batch: int = 2, length_max: int = 11, dtype: torch.dtype = F64) -> State:
    """The state before the first token, on the CPU."""
    return mixer.init_state(batch, length_max, torch.device("cpu"), dtype)


def same(found: Tensor, expected: Tensor, what: str, tolerance: float = 1e-7) -> None:
    """Fail unless two tensors are equal to `tolerance`, relative and absolute.

    Raises:
        CheckFailed: with the largest difference and where it is.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise CheckFailed(
            f"{what}: got {tuple(found.shape)} {found.dtype}, expected {tuple(expected.shape)} {expected.dtype}"
        )
    if not bool(found.isfinite().all()):
        raise CheckFailed(f"{what}: {int((~found.isfinite()).sum())} of {found.numel()} numbers are not finite")
    off = (found - expected).abs()
    if bool((off > tolerance + tolerance * expected.abs()).any()):
        place = tuple(int(i) for i in torch.unravel_index(off.argmax(), off.shape))
        names = ("batch", "position", "channel")[: len(place)]
        where = ", ".join(f"{name} {i}" for name, i in zip(names, place, strict=False))
        raise CheckFailed(f"{what}: differs by up to {off.max():.3g} (at {where}; allowed: {tolerance:g})")
