"""The LSTM (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000), PyTorch's own implementation."""

import torch
from torch import Tensor, nn

from seqscale.mixers.base import Mixer, State


class LSTM(Mixer):
    def __init__(self, d_model: int) -> None:
        super().__init__(d_model)
        self.lstm = nn.LSTM(d_model, d_model, batch_first=True)
        with torch.no_grad():  # forget gate open at the start (Jozefowicz et al. 2015); gates are ordered i, f, g, o
            for name, value in (("bias_ih_l0", 1.0), ("bias_hh_l0", 0.0)):
                bias = self.lstm.get_parameter(name)
                bias.zero_()
                bias[d_model : 2 * d_model] = value

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and state; activations may have another."""
        return self.lstm.get_parameter("weight_ih_l0").dtype

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        start = None if state is None else (state["h"].unsqueeze(0), state["c"].unsqueeze(0))
        # Under bfloat16 autocast PyTorch would run cuDNN's LSTM in float16, which needs loss scaling: float32 instead.
        with torch.autocast(x.device.type, enabled=False):
            y, (h, c) = self.lstm(x.to(self.dtype), start)
        return y.to(x.dtype), {"h": h[0], "c": c[0]}

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        return {name: torch.zeros(batch, self.d_model, device=device, dtype=self.dtype) for name in ("h", "c")}

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        return lstm_flops(batch, length, self.d_model, self.d_model)

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        return 2 * batch * self.d_model * self.dtype.itemsize


def lstm_flops(batch: int, length: int, d_in: int, d_hidden: int) -> int:
    """Four gates, each a product with the input and one with the last output."""
    return 2 * batch * length * 4 * d_hidden * (d_in + d_hidden)


MIXER = LSTM
