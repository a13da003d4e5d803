"""The residual block around a mixer, and the channel mixers (feed-forward layers) that may follow it."""

from typing import overload

import torch.nn.functional as F
from torch import Tensor, nn

from seqscale.mixers.base import Linear, Mixer, State, linear_flops

NORMS = {"layernorm": nn.LayerNorm, "rmsnorm": nn.RMSNorm}


class GELUMLP(nn.Module):
    """The Transformer's feed-forward layer, W_2 gelu(W_1 x), hidden width 4 d_model (GPT-2)."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.d_model, self.hidden = d_model, 4 * d_model
        self.up = Linear(d_model, self.hidden)
        self.down = Linear(self.hidden, d_model)
        self.down.residual_output = True  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))

    def flops(self, tokens: int) -> int:
        return 2 * linear_flops(tokens, self.d_model, self.hidden)


class SwiGLU(nn.Module):
    """W_2 (silu(W_g x) * W_1 x), hidden width 8/3 d_model: as many parameters as the MLP (Shazeer 2020)."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.d_model, self.hidden = d_model, 2 * round(4 * d_model / 3)
        self.gate_up = Linear(d_model, 2 * self.hidden, bias=False)
        self.down = Linear(self.hidden, d_model, bias=False)
        self.down.residual_output = True  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)

    def flops(self, tokens: int) -> int:
        return 3 * linear_flops(tokens, self.d_model, self.hidden)


CHANNEL_MIXERS: dict[str, type[GELUMLP] | type[SwiGLU]] = {"mlp": GELUMLP, "swiglu": SwiGLU}


class Block(nn.Module):
    """x + mixer(norm(x)), then, where there is a channel mixer, x + channel_mixer(norm(x)). Pre-norm."""

    def __init__(self, mixer: Mixer, channel_mixer: str, norm: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.mixer_norm = NORMS[norm](mixer.d_model)
        self.mixer = mixer
        self.channel_mixer: GELUMLP | SwiGLU | None = None
        if channel_mixer != "none":
            self.channel_norm = NORMS[norm](mixer.d_model)
            self.channel_mixer = CHANNEL_MIXERS[channel_mixer](mixer.d_model)
        self.dropout = nn.Dropout(dropout)

    @overload
    def forward(self, x: Tensor, state: None = None, mask: Tensor | None = None) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, state: State, mask: Tensor | None = None) -> tuple[Tensor, State]: ...
    def forward(
        self, x: Tensor, state: State | None = None, mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, State]:
        """(batch, length, d_model) -> the same; with a state, also the next state. `mask`: see `Mixer.forward`."""
        if state is None:
            return self._channels(x + self.dropout(self.mixer(self.mixer_norm(x), None, mask)))
        y, following = self.mixer(self.mixer_norm(x), state, mask)
        return self._channels(x + self.dropout(y)), following

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One token, (batch, d_model) -> the same, and the next state."""
        y, following = self.mixer.step(self.mixer_norm(x), state)
        return self._channels(x + y), following

    def _channels(self, x: Tensor) -> Tensor:
        if self.channel_mixer is None:
            return x
        return x + self.dropout(self.channel_mixer(self.channel_norm(x)))

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        """Forward operations over `length` tokens after `context` earlier ones."""
        channels = 0 if self.channel_mixer is None else self.channel_mixer.flops(batch * length)
        return self.mixer.flops(batch, length, context) + channels
