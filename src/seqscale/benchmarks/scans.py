"""The kinds of scan that can be had on a device, each as a call on the same tensors.

Ours, by name of implementation, and other people's where import finds them: the CUDA kernel of mamba_ssm, and on a CPU
mamba.py's parallel scan and the loop that `peers` describes. Everybody computes the whole of it: delta bias and
softplus, D, the gate. A layout that a peer wants is made before the clock starts.
"""

import contextlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqscale.kernels import selective_scan, selective_scan_reference
from seqscale.kernels.choice import why_not


@dataclass(frozen=True)
class Problem:
    """One size, and its tensors: shapes as in `seqscale.kernels.selective_scan`, B and C shared by all channels."""

    batch: int
    d_inner: int
    length: int
    d_state: int
    dtype: torch.dtype
    device: torch.device

    def tensors(self) -> dict[str, Tensor]:
        """u, delta, z, B, C in `dtype`, A, D, delta_bias in float32, all wanting gradients; seeded."""
        generator = torch.Generator(self.device).manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, device=self.device, generator=generator)

        rows, vectors = (self.batch, self.length, self.d_inner), (self.batch, self.length, self.d_state)
        made = {
            "u": normal(*rows).to(self.dtype),
            "delta": (0.5 * normal(*rows) - 3).to(self.dtype),
            "A": -torch.arange(1.0, self.d_state + 1, device=self.device).repeat(self.d_inner, 1),
            "B": normal(*vectors).to(self.dtype),
            "C": normal(*vectors).to(self.dtype),
            "D": torch.ones(self.d_inner, device=self.device),
            "z": normal(*rows).to(self.dtype),
            "delta_bias": 0.1 * normal(self.d_inner),
        }
        return {name: tensor.requires_grad_() for name, tensor in made.items()}


Scan = Callable[..., Tensor]


def _ours(implementation: str) -> Scan:
    def call(**tensors: Any) -> Tensor:
        y = selective_scan(**tensors, delta_softplus=True, implementation=implementation)
        assert isinstance(y, Tensor)
        return y

    return call


def _reference(**tensors: Any) -> Tensor:
    return selective_scan_reference(**tensors, delta_softplus=True)[0]


def _around(scan: Scan) -> Scan:
    """A bare recurrence with what belongs around it, in PyTorch operations."""

    def call(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor
    ) -> Tensor:
        step = F.softplus(delta.float() + delta_bias)
        return ((scan(u.float(), step, A, B.float(), C.float()) + D * u) * F.silu(z)).to(u.dtype)

    return call


def _mamba_ssm(module: Any) -> Scan:
    """mamba_ssm's CUDA kernel through its own function, on (batch, channels, length)."""

    def call(**t: Tensor) -> Tensor:
        return module.selective_scan_fn(
            t["u"], t["delta"], t["A"], t["B"], t["C"], t["D"], t["z"], t["delta_bias"], delta_softplus=True
        )

    call.channels_first = True  # type: ignore[attr-defined]
    return call


def available(device: torch.device) -> dict[str, Scan]:
    """Every scan that runs on `device`, by name, the slowest last."""
    found: dict[str, Scan] = {name: _ours(name) for name in ("triton", "cpu") if _runs(name, device)}
    if device.type == "cuda":
        with contextlib.suppress(ImportError):
            module = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
            if getattr(module, "selective_scan_cuda", None) is not None:
                found["mamba_ssm"] = _mamba_ssm(module)
    found["chunked"] = _ours("chunked")
    if device.type == "cpu":
        # by name: peers knows mixers, and an edit of one must not make all benchmarks look out of date
        peers = importlib.import_module("seqscale.benchmarks.peers")
        found |= {name: _around(scan) for name, scan in peers.scans().items()}
    found["reference"] = _reference
    return found


def _runs(implementation: str, device: torch.device) -> bool:
    fits = {"triton": "cuda", "cpu": "cpu"}[implementation] == device.type
    return fits and not why_not(implementation)


def bind(scan: Scan, tensors: dict[str, Tensor]) -> tuple[Callable[[], Tensor], list[Tensor]]:
    """A call of `scan`, and the tensors that it differentiates by: its own copies where it wants another layout."""
    if getattr(scan, "channels_first", False):
        turned = {
            name: t.detach().transpose(1, 2).contiguous().requires_grad_() if t.ndim == 3 else t
            for name, t in tensors.items()
        }
        tensors = turned
    return (lambda: scan(**tensors)), list(tensors.values())
