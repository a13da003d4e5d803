"""A language model around any mixer: embedding, blocks, norm, output (tied to the embedding unless told otherwise)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor, nn

from seqscale.mixers.base import Mixer, State, linear, linear_flops
from seqscale.models.blocks import NORMS, Block


@dataclass
class ModelState:
    """What a model carries from token to token: how many it has seen, and each layer's state."""

    position: int
    layers: list[State]


class LanguageModel(nn.Module):
    """Tokens (batch, length) -> logits (batch, length, vocab_size); logits at t depend on tokens up to t.

    Initialisation, the same for every model: PyTorch's own for linear layers, biases zero, embeddings N(0, 0.02), and
    layers that write into the residual stream scaled by 1/sqrt(number of such writes) (GPT-2, section 2.3). A mixer's
    own parameters keep what the mixer gave them.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        mixers: Sequence[Mixer],
        channel_mixer: str | Sequence[str] = "none",
        norm: str = "layernorm",
        context: int | None = None,
        dropout: float = 0.0,
        tied: bool = True,
    ) -> None:
        super().__init__()
        channels = [channel_mixer] * len(mixers) if isinstance(channel_mixer, str) else channel_mixer
        self.vocab_size, self.d_model = vocab_size, d_model
        self.spec: Any = None  # the ModelSpec it was built from, where it was
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = None if context is None else nn.Embedding(context, d_model)
        self.blocks = nn.ModuleList(
            Block(mixer, channel, norm, dropout) for mixer, channel in zip(mixers, channels, strict=True)
        )
        self.norm = NORMS[norm](d_model)
        self.dropout = nn.Dropout(dropout)
        self.head = None if tied else nn.Linear(d_model, vocab_size, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        outputs = [m for m in self.modules() if isinstance(m, nn.Linear) and getattr(m, "residual_output", False)]
        for table in (self.embedding, self.positions):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear) and module.bias is not None and not _kept(module.bias):
                    module.bias.zero_()
            for module in outputs:
                module.weight.mul_(len(outputs) ** -0.5)

    def features(self, tokens: Tensor) -> Tensor:
        """What the output layer sees of a whole sequence, (batch, length) -> (batch, length, d_model)."""
        x = self._embed(tokens, 0)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    @overload
    def forward(self, tokens: Tensor, state: None = None, mask: Tensor | None = None) -> Tensor: ...
    @overload
    def forward(self, tokens: Tensor, state: ModelState, mask: Tensor | None = None) -> tuple[Tensor, ModelState]: ...
    def forward(
        self, tokens: Tensor, state: ModelState | None = None, mask: Tensor | None = None
    ) -> Tensor | tuple[Tensor, ModelState]:
        """Logits for a whole sequence; with a state, continue from it and return (logits, next state).

        `mask` (batch, length): 0 where a row is padded before its first token (see `Mixer.forward`).
        """
        start = 0 if state is None else state.position
        x = self._embed(tokens, start)
        layers: list[State] = []
        for index, block in enumerate(self.blocks):
            if state is None:
                x = block(x, None, mask)
            else:
                x, following = block(x, state.layers[index], mask)
                layers.append(following)
        logits = self._logits(x)
        return logits if state is None else (logits, ModelState(start + tokens.shape[1], layers))

    def step(self, tokens: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """One token per sequence, (batch,) -> logits (batch, vocab_size), and the next state."""
        x = self._embed(tokens.unsqueeze(1), state.position).squeeze(1)
        layers: list[State] = []
        for block, old in zip(self.blocks, state.layers, strict=True):
            x, following = block.step(x, old)  # type: ignore[operator]
            layers.append(following)
        return self._logits(x), ModelState(state.position + 1, layers)

    def _logits(self, x: Tensor) -> Tensor:
        """The norm after the last block, and the output layer: the embedding again, unless it has its own weights."""
        return linear(self.norm(x), self.embedding.weight if self.head is None else self.head.weight)

    def _embed(self, tokens: Tensor, start: int) -> Tensor:
        x = self.embedding(tokens)
        if self.positions is not None:
            end = start + tokens.shape[1]
            if end > self.positions.num_embeddings:
                raise ValueError(
                    f"position {end - 1} is beyond the {self.positions.num_embeddings} learned positions of this model"
                )
            x = x + self.positions.weight[start:end]
        return self.dropout(x)

    def init_state(self, batch: int, length_max: int) -> ModelState:
        """The state before the first token; caches reserve room for `length_max` tokens."""
        device, dtype = self.embedding.weight.device, self.embedding.weight.dtype
        return ModelState(0, [block.mixer.init_state(batch, length_max, device, dtype) for block in self._blocks()])

    @property
    def length_max(self) -> int | None:
        """The longest sequence this model can take; None if there is no limit."""
        return None if self.positions is None else self.positions.num_embeddings

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        """Forward operations over `length` tokens after `context` earlier ones, closed form (see `Mixer.flops`)."""
        head = linear_flops(batch * length, self.d_model, self.vocab_size)
        return head + sum(block.flops(batch, length, context) for block in self._blocks())

    def training_flops(self, batch: int, length: int) -> int:
        """Forward and backward; the backward counts twice the forward, for every operation of every model."""
        return 3 * self.flops(batch, length)

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype = torch.float32) -> int:
        """Bytes that decoding keeps after `length` tokens."""
        return sum(block.mixer.state_bytes(batch, length, dtype) for block in self._blocks())

    def count_parameters(self) -> tuple[int, int]:
        """(all parameters, those that are not token, position or output embeddings)."""
        total = sum(p.numel() for p in self.parameters())
        tables = [table for table in (self.embedding, self.positions, self.head) if table is not None]
        return total, total - sum(table.weight.numel() for table in tables)


def _kept(parameter: Tensor) -> bool:
    """Whether a parameter's own initialisation must stay (mixers mark such parameters)."""
    return getattr(parameter, "no_weight_decay", False)
