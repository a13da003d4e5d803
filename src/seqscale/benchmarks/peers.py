"""Other people's CPU implementations behind one face, found by import: nothing here is a dependency.

    mamba.py       (package mambapy)        the parallel scan in PyTorch operations
    transformers   (package transformers)   Hugging Face's Mamba without CUDA kernels
    unbind loop    (written here)           one time step after another, the best that a plain loop can do

The usual loop indexes its tensors, ``x[:, t]``; the backward of that is quadratic in the length, which would flatter
whatever stands beside it. `unbind` cuts them once.
"""

import contextlib
import importlib
import math
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn

from seqscale.mixers.mamba import Mamba

Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""(u, delta, A, B, C) -> y; shapes as in `seqscale.kernels.selective_scan`, without groups."""


def _module(name: str) -> ModuleType | None:
    with contextlib.suppress(ImportError):
        return importlib.import_module(name)
    return None


def unbind_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The recurrence as a Python loop over slices that `unbind` made."""
    decay = torch.exp(delta.unsqueeze(-1) * A)
    drive = (delta * u).unsqueeze(-1) * B.unsqueeze(2)
    h = torch.zeros_like(drive[:, 0])
    states = []
    for a, b in zip(decay.unbind(1), drive.unbind(1), strict=True):
        h = a * h + b
        states.append(h)
    return (torch.stack(states, dim=1) @ C.unsqueeze(-1)).squeeze(-1)


def scans() -> dict[str, Scan]:
    """Every scan that can be had here, by name."""
    found: dict[str, Scan] = {"unbind loop": unbind_scan}
    module = _module("mambapy.pscan")
    if module is not None:
        pscan = module.pscan

        def mambapy(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
            """As mambapy.mamba.MambaBlock.selective_scan has it, without the skip."""
            decay = torch.exp(delta.unsqueeze(-1) * A)
            drive = (delta.unsqueeze(-1) * B.unsqueeze(2)) * u.unsqueeze(-1)
            return (pscan(decay, drive) @ C.unsqueeze(-1)).squeeze(3)

        found["mamba.py"] = mambapy
    return found


def _weights(mixer: Mamba) -> dict[str, Tensor]:
    """A mixer's parameters by the names that the original and its descendants use."""
    return {name.replace("conv.", "conv1d."): tensor for name, tensor in mixer.state_dict().items()}


def mixers(mixer: Mamba) -> dict[str, nn.Module]:
    """Every peer's mixer with the weights of `mixer`, by name: (batch, length, d_model) -> the same."""
    found: dict[str, nn.Module] = {}
    module = _module("mambapy.mamba")
    if module is not None:
        config = module.MambaConfig(
            d_model=mixer.d_model,
            n_layers=1,
            d_state=mixer.d_state,
            d_conv=mixer.d_conv,
            expand_factor=mixer.d_inner // mixer.d_model,
            dt_rank=mixer.dt_rank,
        )
        found["mamba.py"] = module.MambaBlock(config)
    module = _module("transformers.models.mamba.modeling_mamba")
    if module is not None:
        settings = module.MambaConfig(
            hidden_size=mixer.d_model,
            num_hidden_layers=1,
            state_size=mixer.d_state,
            conv_kernel=mixer.d_conv,
            expand=mixer.d_inner // mixer.d_model,
            time_step_rank=mixer.dt_rank,
        )
        found["transformers"] = module.MambaMixer(settings, 0)
    for peer in found.values():
        peer.load_state_dict(_weights(mixer))
    return found


def decoders(layers: list[Mamba]) -> dict[str, Callable[[], object]]:
    """A step of one token through a stack of every peer's layers, with norms and residuals as they have them."""
    found: dict[str, Callable[[], object]] = {}
    module = _module("mambapy.mamba")
    if module is not None:
        first = layers[0]
        config = module.MambaConfig(
            d_model=first.d_model,
            n_layers=len(layers),
            d_state=first.d_state,
            d_conv=first.d_conv,
            expand_factor=first.d_inner // first.d_model,
            dt_rank=math.ceil(first.d_model / 16),
        )
        model, x = module.Mamba(config).eval(), torch.randn(1, first.d_model)
        start = (torch.zeros(1, first.d_inner, first.d_state), torch.zeros(1, first.d_inner, first.d_conv - 1))
        found["mamba.py"] = lambda: model.step(x, [start] * len(layers))
        blocks = [layer.mixer for layer in model.layers]

        def mixers_alone() -> None:
            y = x
            for block in blocks:
                y, _ = block.step(y, start)

        found["mamba.py, mixers alone"] = mixers_alone
    return found
