"""Decoding: a stack of Mamba blocks, or one mixer, for one token per row in a single native call (`native/decode.c`).

Called operation by operation, a step of a small mixer spends its time on the way from Python to the arithmetic and
back: some twenty operations of a few microseconds each, around a few microseconds of work. The same goes for what is
written here, so it looks at as little as is safe.
"""

import struct
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seqscale.kernels.cpu import build

_TOKEN = struct.Struct("10q")  # struct token of native/decode.c
_LAYER = struct.Struct("qd14q")  # struct layer
_STATES = struct.Struct("4q")  # struct states
_NORMS: dict[type | None, int] = {None: 0, nn.LayerNorm: 1, nn.RMSNorm: 2}
MOST_ROWS = 16  # beyond, the ordinary path's matrix products are faster


def applies(x: Tensor) -> bool:
    """Whether a step of x (batch, d_model) may go past PyTorch: nobody wants gradients and nobody looks on."""
    return (
        not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and type(x) is Tensor
        and x.dtype is torch.float32
        and x.is_cpu
        and x.shape[0] <= MOST_ROWS
        and torch._C._len_torch_dispatch_stack() == 0  # FlopCounterMode and its like
        and not torch._C._are_functorch_transforms_active()
        and not torch.is_autocast_enabled("cpu")
        and build.available()
    )


class Layer:
    """A mixer, and maybe a norm before it, as the native code takes them: addresses of all parameters.

    The addresses are looked up for every token, and so is whether a module was exchanged or has got a hook. What is
    packed is therefore never out of date, wherever the parameters have gone meanwhile.
    """

    def __init__(self, sizes: tuple[int, int, int, int, int], linear: tuple[type[nn.Linear], ...]) -> None:
        """`sizes`: d_model, d_inner, d_state, d_conv, dt_rank. `linear`: classes that compute what nn.Linear does."""
        self.sizes = sizes
        self._linear = linear
        self._norm: nn.Module | None = None
        self._modules: list[nn.Module | None] = []
        self._hooks: list[dict[int, object]] = []
        self._present: list[tuple[dict[str, Tensor | None], str]] = []
        self._absent: list[dict[str, Tensor | None]] = []
        self._pointers: list[int] = []
        self._packed: bytes | None = None

    def packed(self, mixer: nn.Module, norm: nn.Module | None = None) -> bytes | None:
        """For `mamba_step`: y = mixer(x), or with a norm y = x + mixer(norm(x)).

        None when this is not what the native code computes: a module of another class, a hook, or a parameter that is
        not float32, contiguous, on the CPU.

        Args:
            mixer: in_proj, conv, x_proj, dt_proj, out_proj, A_log and D are its modules and parameters.
            norm: a LayerNorm or RMSNorm over d_model.
        """
        if norm is not self._norm or [*mixer._modules.values()] != self._modules:
            self._look(mixer, norm)
        for parameters in self._absent:
            if parameters["bias"] is not None:
                self._look(mixer, norm)
                break
        if any(self._hooks):
            return None
        try:
            pointers = [parameters[name].data_ptr() for parameters, name in self._present]  # type: ignore[union-attr]
        except AttributeError:  # one of them is None now
            self._look(mixer, norm)
            return self.packed(mixer, norm)
        if pointers != self._pointers:
            self._packed = self._pack(mixer, norm)
            self._pointers = pointers
        return self._packed

    def _look(self, mixer: nn.Module, norm: nn.Module | None) -> None:
        """Remember where everything is to be found."""
        self._norm, self._modules, self._pointers = norm, [*mixer._modules.values()], []
        modules = [module for module in (*self._modules, norm) if module is not None]
        self._hooks = [hooks for m in modules for hooks in (m._forward_hooks, m._forward_pre_hooks)]  # type: ignore[misc]
        places: list[tuple[Any, str]] = [(m._parameters, name) for m in modules for name in m._parameters]
        places += [(mixer._parameters, name) for name in ("A_log", "D")]
        self._present = [(parameters, name) for parameters, name in places if parameters[name] is not None]
        self._absent = [parameters for parameters, name in places if parameters[name] is None and name == "bias"]

    def _pack(self, mixer: nn.Module, norm: nn.Module | None) -> bytes | None:
        parts = dict(mixer._modules)
        linear = [parts.get(name) for name in ("in_proj", "x_proj", "dt_proj", "out_proj")]
        conv = parts.get("conv")
        if any(type(module) not in self._linear for module in linear) or type(conv) is not nn.Conv1d:
            return None
        epsilon = 0.0
        if norm is not None:
            if type(norm) not in _NORMS or norm.normalized_shape != (self.sizes[0],):
                return None
            assert isinstance(norm, nn.LayerNorm | nn.RMSNorm)
            epsilon = torch.finfo(torch.float32).eps if norm.eps is None else norm.eps
        tensors: list[Tensor | None] = []
        for module in (norm, linear[0], conv, linear[1], linear[2], linear[3]):
            own = {} if module is None else module._parameters
            tensors += (own.get("weight"), own.get("bias"))
        tensors += (mixer._parameters["A_log"], mixer._parameters["D"])
        if not all(x is None or _plain(x) for x in tensors):
            return None
        pointers = [0 if x is None else x.data_ptr() for x in tensors]
        return _LAYER.pack(_NORMS[None if norm is None else type(norm)], epsilon, *pointers)


def _plain(x: Tensor) -> bool:
    return x.dtype is torch.float32 and x.is_cpu and x.is_contiguous()


def mamba_step(
    x: Tensor, states: Sequence[tuple[Tensor, Tensor]], layers: Sequence[bytes], sizes: tuple[int, int, int, int, int]
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """One token through one mixer or a stack of blocks.

    Args:
        x: (batch, d_model), for which `applies` holds.
        states: of each layer, conv (batch, d_conv - 1, d_inner), the last inputs of the convolution, and ssm (batch,
            d_inner, d_state).
        layers: from `Layer.packed`, all of the same `sizes`.

    Returns:
        y (batch, d_model) and the next states, in float32; all new tensors.
    """
    if not all(_plain(conv) and _plain(ssm) for conv, ssm in states):
        states = [(conv.float().contiguous(), ssm.float().contiguous()) for conv, ssm in states]
    x, empty, pack = x.contiguous(), torch.empty_like, _STATES.pack
    y, following = empty(x), [(empty(conv), empty(ssm)) for conv, ssm in states]
    token = _TOKEN.pack(torch.get_num_threads(), len(layers), x.shape[0], *sizes, x.data_ptr(), y.data_ptr())
    addresses = [
        pack(a.data_ptr(), b.data_ptr(), c.data_ptr(), d.data_ptr())
        for (a, b), (c, d) in zip(states, following, strict=True)
    ]
    if build.load().seqscale_mamba_step(token, b"".join(layers), b"".join(addresses)):
        raise MemoryError("not enough memory for a decoding step")
    return y, following
