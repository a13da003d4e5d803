"""The face of a model kept as its source published it: logits, and what training and tables ask of it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqscale.mixers.base import Linear, linear_flops


class PublishedModel(nn.Module, ABC):
    """Tokens (batch, length) -> logits; initialised by PyTorch's defaults unless a subclass says otherwise.

    A published model is trained and evaluated like any other. It has no recurrent face (`step`), because no source
    gave it one, and its defects stay as they are.

    Attributes:
        flop_factor: the source's own arithmetic, training FLOPs = factor x all parameters x tokens; None if it gave
            none.
        head: the output layer, where there is one.
    """

    flop_factor: float | None = None
    head: nn.Linear

    @abstractmethod
    def flops(self, batch: int, length: int, context: int = 0) -> int:
        """Forward operations counted as everywhere here (see `Mixer.flops`), not by the source's factor."""

    def head_flops(self, rows: int) -> int:
        """Forward operations of the output layer: `rows` is tokens, of a classifier sequences."""
        return layers_flops(rows, self.head)

    def embedding_tables(self) -> list[nn.Embedding]:
        """Tables of tokens and positions, which `params_nonembedding` leaves out."""
        return [module for module in self.modules() if isinstance(module, nn.Embedding)]

    def training_flops(self, batch: int, length: int) -> int:
        """Forward and backward; the backward counts twice the forward, as for every model."""
        return 3 * self.flops(batch, length)

    def published_flops(self, tokens: int) -> float | None:
        """Training FLOPs by the source's own arithmetic, for `tokens` training tokens."""
        return None if self.flop_factor is None else self.flop_factor * self.count_parameters()[0] * tokens

    def count_parameters(self) -> tuple[int, int]:
        """(all parameters, those that are not token or position embeddings)."""
        total = sum(p.numel() for p in self.parameters())
        return total, total - sum(table.weight.numel() for table in self.embedding_tables())


def layers_flops(tokens: int, *layers: nn.Linear) -> int:
    """Forward operations of linear layers, each over `tokens` tokens."""
    return sum(linear_flops(tokens, layer.in_features, layer.out_features) for layer in layers)


class WidthScaledAttention(nn.Module):
    """Causal multi-head attention, softmax(Q K^T / sqrt(d_model)) V.

    Odd: the scores are divided by the root of the model's width where the root of the head's width belongs, so that
    the softmax is flatter by sqrt(n_heads). Queries, keys and values have no bias, the output projection has one.

    Args:
        d_model: width; n_heads must divide it.
        dropout: on the attention weights and on the output.
    """

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"n_heads = {n_heads} does not divide d_model = {d_model}")
        self.d_model, self.n_heads, self.dropout = d_model, n_heads, dropout
        self.qkv = Linear(d_model, 3 * d_model, bias=False)
        self.out = Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> the same."""
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.dropout if self.training else 0.0
        scale = self.d_model**-0.5
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scale)
        return F.dropout(self.out(y.transpose(1, 2).reshape(x.shape)), self.dropout, self.training)

    def flops(self, batch: int, length: int) -> int:
        pairs = length * (length + 1) // 2  # those that causality allows
        products = 4 * batch * self.d_model * pairs
        return linear_flops(batch * length, self.d_model, 4 * self.d_model) + products


def token_and_position(tokens: Tensor, embedding: nn.Embedding, positions: nn.Embedding) -> Tensor:
    """Sum of the two embeddings, (batch, length) -> (batch, length, d_model).

    Raises:
        ValueError: the sequence is longer than the table of positions.
    """
    length = tokens.shape[1]
    if length > positions.num_embeddings:
        raise ValueError(
            f"{length} tokens are more than the {positions.num_embeddings} learned positions of this model"
        )
    return embedding(tokens) + positions(torch.arange(length, device=tokens.device))
