"""The two models of source 001 (ssm-vs-transformer), as published, defects included.

Taken where the source is silent: a head of its own (not tied), delta of each state by a softplus, A = -exp(.) from a
normal start; PyTorch's default feed-forward width of 2,048 in the Transformer, and a causal mask, without which a
model of two layers would copy the next token and its loss would not stay at 5.5.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqscale.mixers.base import Linear, linear_flops
from seqscale.models.published.base import PublishedModel, layers_flops, token_and_position


class SSM(PublishedModel):
    """What the source calls Mamba: h_t = exp(delta_t A) h_{t-1} + delta_t B_t, logits from h_t.

    Odd: a diagonal state of `d_state` for the whole token, not for each channel; the input enters through B_t alone
    (there is no B_t x_t); no C, so the head reads the state itself; no D, gate, convolution, norm or residual
    connection; one layer, n_layers is not used; and the recurrence is a loop over tokens in Python.
    """

    def __init__(self, vocab_size: int, context: int, d_model: int, n_layers: int, *, d_state: int = 128) -> None:
        super().__init__()
        self.d_state = d_state
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.delta = Linear(d_model, d_state)
        self.B = Linear(d_model, d_state)
        self.A_log = nn.Parameter(torch.randn(d_state))
        self.head = Linear(d_state, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        delta = F.softplus(self.delta(x))
        decay, entering = torch.exp(-delta * self.A_log.exp()), delta * self.B(x)  # (batch, length, d_state)
        state = torch.zeros_like(entering[:, 0])
        states = []
        for t in range(tokens.shape[1]):
            state = decay[:, t] * state + entering[:, t]
            states.append(state)
        return self.head(torch.stack(states, dim=1))

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        """The linear layers; the recurrence is element-wise work, which is counted nowhere here."""
        return layers_flops(batch * length, self.delta, self.B, self.head)


class Transformer(PublishedModel):
    """PyTorch's encoder layers with a causal mask, learned positions and an untied head.

    Odd: twice the SSM's width and many times its parameters in the layers; norm after each sum (PyTorch's default);
    timed in training mode, so with dropout at work.
    """

    def __init__(
        self,
        vocab_size: int,
        context: int,
        d_model: int,
        n_layers: int,
        *,
        n_heads: int = 4,
        feed_forward: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.d_model, self.feed_forward = d_model, feed_forward
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Embedding(context, d_model)
        layer = nn.TransformerEncoderLayer(d_model, n_heads, feed_forward, dropout, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
        self.head = Linear(d_model, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        x = token_and_position(tokens, self.embedding, self.positions)
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], device=x.device, dtype=x.dtype)
        return self.head(self.layers(x, mask=mask, is_causal=True))

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        tokens, width = batch * length, self.d_model
        layer = linear_flops(tokens, width, 4 * width) + 2 * linear_flops(tokens, width, self.feed_forward)
        products = 4 * batch * width * (length * (length + 1) // 2)  # over the pairs that causality allows
        return self.layers.num_layers * (layer + products) + self.head_flops(tokens)


ARCHITECTURES = {"ssm": SSM, "transformer": Transformer}
