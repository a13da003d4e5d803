"""The face of every mixer: three ways through a sequence that must agree, and an honest account of their cost."""

from abc import ABC, abstractmethod
from typing import Any, overload

import torch
from torch import Tensor, nn

# every model's linear layers: the library that is fast on this processor is fast for all of them, or for none
from seqscale.kernels.cpu.linear import Linear as Linear
from seqscale.kernels.cpu.linear import linear as linear

State = dict[str, Any]
"""What a mixer carries from token to token: tensors by name (and, for a cache, how much of it is filled)."""


class Mixer(nn.Module, ABC):
    """Maps (batch, length, d_model) to the same shape; position t never depends on positions after t.

    A subclass takes `d_model` and keyword-only options with type hints and defaults (they are what `mixer_options`
    in config/models.yaml may say), and defines `mix`, `init_state`, `flops` and `state_bytes`; `step` has a default.
    Parameters that weight decay must not touch carry the attribute ``no_weight_decay = True``; linear layers whose
    output goes into the residual stream carry ``residual_output = True`` and are scaled down at initialisation.

    `length_max` bounds what `init_state` reserves for mixers with a cache; it limits nothing else.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.d_model = d_model

    @overload
    def forward(self, x: Tensor, state: None = None, mask: Tensor | None = None) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]: ...
    def forward(
        self, x: Tensor, state: State | None = None, mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, State]:
        """Mix a whole sequence, (batch, length, d_model) -> the same.

        With a `state`, continue from it and return (y, next state). The state passed in may be used up (a cache is
        written in place when no gradient is asked for): go on with the one returned. `mask` (batch, length), 0 where a
        row is padded before its first token: only for mixers with a `mix_masked`. Padding after the last token needs
        no mask: nothing looks ahead.

        Raises:
            ValueError: a mask for a mixer that knows none.
        """
        y, following = self.mix(x, state) if mask is None else self.mix_masked(x, state, mask)
        if state is None:
            return y
        assert following is not None, "mix must return a state when it is given one"
        return y, following

    @abstractmethod
    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        """The work of `forward`: (y, next state); the next state may be None if `state` is."""

    def mix_masked(self, x: Tensor, state: State | None, mask: Tensor) -> tuple[Tensor, State | None]:
        """`mix` for rows with padding before their first token."""
        raise ValueError(
            f"{type(self).__name__} takes no padding mask: pad after the last token (which needs none), or run rows of "
            "different lengths one by one"
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One token, (batch, d_model) -> (batch, d_model), and the next state."""
        y, following = self.forward(x.unsqueeze(1), state)
        return y.squeeze(1), following

    @abstractmethod
    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        """The state before the first token. `dtype` is that of the activations."""

    @abstractmethod
    def flops(self, batch: int, length: int, context: int = 0) -> int:
        """Floating-point operations of a forward over `length` tokens after `context` earlier ones (closed form).

        A multiply-add is two. Counted: matrix products, convolutions, transforms, attention, the scan; not counted:
        norms, activations and other element-wise work (the convention of `torch.utils.flop_counter`).
        """

    @abstractmethod
    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        """Bytes that decoding must keep after `length` tokens."""


def linear_flops(tokens: int, d_in: int, d_out: int) -> int:
    """Floating-point operations of a linear layer over `tokens` tokens."""
    return 2 * tokens * d_in * d_out
