"""One linear map per token: no mixing at all. In a one-layer model this is a bigram table of low rank."""

import torch
from torch import Tensor

from seqscale.mixers import base
from seqscale.mixers.base import Mixer, State, linear_flops


class Linear(Mixer):
    def __init__(self, d_model: int) -> None:
        super().__init__(d_model)
        self.map = base.Linear(d_model, d_model)
        self.map.residual_output = True  # type: ignore[assignment]

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        return self.map(x), state

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        return {}

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        return linear_flops(batch * length, self.d_model, self.d_model)

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        return 0


MIXER = Linear
