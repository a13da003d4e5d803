"""A two-layer perceptron per token: nonlinear, but still blind to every other token."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seqscale.mixers.base import Linear, Mixer, State, linear_flops


class MLP(Mixer):
    """y = W_2 gelu(W_1 x).

    Args:
        expand: hidden width as a multiple of d_model.
    """

    def __init__(self, d_model: int, *, expand: int = 4) -> None:
        super().__init__(d_model)
        self.hidden = expand * d_model
        self.up = Linear(d_model, self.hidden)
        self.down = Linear(self.hidden, d_model)
        self.down.residual_output = True  # type: ignore[assignment]

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        return self.down(F.gelu(self.up(x))), state

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        return {}

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        return 2 * linear_flops(batch * length, self.d_model, self.hidden)

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        return 0


MIXER = MLP
