"""The five models of source 000 (scalable-sequence-modeling), as published, defects included.

Two parameter counts follow from the published FLOPs (factor x parameters x 8,192,000 tokens) and fix what the text
leaves open: 6.00e13 / 6 gives 1.22 million for the Transformer of six layers, 1.58e13 / 4 gives 0.48 million for
Mamba of four. The Transformer here has 1,220,673, Mamba 483,649. They leave no room for positions or a last norm in
Mamba, or for biases in the Transformer's queries, keys and values.

What the counts leave open was tried, one seed each, 1,000 steps on Tiny Shakespeare (test loss, published in brackets):
PyTorch's own start and no dropout give the Transformer of two layers 1.940 (1.9419) and Mamba 1.825 (1.8006); one block
of self-attention gives 2.251 without and 2.225 with a norm (2.2619), so it has none; linear 2.508 (2.5040), MLP 2.508
(2.5055). Mamba with PyTorch's start for delta's projection (`plain_delta`, as in mamba-minimal) learns as fast: a
training loss of 1.51 against 1.50 after 200 steps. Mamba's run ends at 1.277 in training and 1.558 on the validation
split: it overfits, and the last tenth of the text is hard, which is why a loss near 1.8 is no sign of a weak model.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from seqscale.mixers.base import Linear
from seqscale.mixers.mamba import Mamba as MambaMixer
from seqscale.models.published.base import PublishedModel, WidthScaledAttention, layers_flops, token_and_position


class LinearModel(PublishedModel):
    """Embedding, then one linear map to the logits: a bigram table of low rank.

    Odd: it sees one token, so the "context" that the source sweeps (32 to 256) is only the number of tokens in a
    batch; n_layers is not used.
    """

    flop_factor = 2.0

    def __init__(self, vocab_size: int, context: int, d_model: int, n_layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.head = Linear(d_model, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embedding(tokens))

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        return self.head_flops(batch * length)


class MLP(PublishedModel):
    """Embedding, one hidden layer with ReLU, logits.

    Odd: it, too, sees one token and can learn nothing but bigrams, whatever its width; n_layers is not used.
    """

    flop_factor = 2.0

    def __init__(self, vocab_size: int, context: int, d_model: int, n_layers: int, *, hidden: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.up = Linear(d_model, hidden)
        self.head = Linear(hidden, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(F.relu(self.up(self.embedding(tokens))))

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        return layers_flops(batch * length, self.up, self.head)


class SelfAttention(PublishedModel):
    """Token and position embeddings, attention, logits; no feed-forward layer.

    Odd: no residual connection around the one attention block, so a token reaches the logits only through the average
    that attention takes; scores scaled by the model's width (`WidthScaledAttention`).
    """

    flop_factor = 6.0

    def __init__(
        self,
        vocab_size: int,
        context: int,
        d_model: int,
        n_layers: int,
        *,
        n_heads: int = 4,
        norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Embedding(context, d_model)
        self.attention = nn.ModuleList(WidthScaledAttention(d_model, n_heads, dropout) for _ in range(n_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(d_model) if norm else nn.Identity() for _ in range(n_layers))
        self.head = Linear(d_model, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        x = token_and_position(tokens, self.embedding, self.positions)
        for attention, norm in zip(self.attention, self.norms, strict=True):
            x = norm(attention(x))
        return self.head(x)

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        return self.head_flops(batch * length) + sum(
            a.flops(batch, length) for a in self.attention if isinstance(a, WidthScaledAttention)
        )


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + W_2 relu(W_1 norm(x)), hidden width 4 d_model."""

    def __init__(self, d_model: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = WidthScaledAttention(d_model, n_heads, dropout)
        self.channel_norm = nn.LayerNorm(d_model)
        self.up, self.down = Linear(d_model, 4 * d_model), Linear(4 * d_model, d_model)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        y = self.down(F.relu(self.up(self.channel_norm(x))))
        return x + F.dropout(y, self.dropout, self.training)

    def flops(self, batch: int, length: int) -> int:
        return self.attention.flops(batch, length) + layers_flops(batch * length, self.up, self.down)


class Transformer(PublishedModel):
    """Pre-norm decoder with learned positions, ReLU, a last norm and an untied head.

    Odd: attention scaled by the model's width (`WidthScaledAttention`). It alone has residual connections, and with
    six layers 2.5 times Mamba's parameters.
    """

    flop_factor = 6.0

    def __init__(
        self,
        vocab_size: int,
        context: int,
        d_model: int,
        n_layers: int,
        *,
        n_heads: int = 4,
        dropout: float = 0.0,
        init_std: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Embedding(context, d_model)
        self.blocks = nn.ModuleList(TransformerBlock(d_model, n_heads, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)
        self.head = Linear(d_model, vocab_size)
        if init_std:
            for module in self.modules():
                if isinstance(module, nn.Linear | nn.Embedding):
                    nn.init.normal_(module.weight, std=init_std)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        x = token_and_position(tokens, self.embedding, self.positions)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        return self.head_flops(batch * length) + sum(
            b.flops(batch, length) for b in self.blocks if isinstance(b, TransformerBlock)
        )


class Mamba(PublishedModel):
    """Embedding, n_layers times (Mamba block, then LayerNorm), logits.

    Odd: no residual connection, so each layer replaces its input, and the norm comes after the block; no last norm.
    The source counts 4 FLOPs for each parameter and token where it counts 6 for attention, and leaves out the scan.
    """

    flop_factor = 4.0

    def __init__(
        self,
        vocab_size: int,
        context: int,
        d_model: int,
        n_layers: int,
        *,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        plain_delta: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.mixers = nn.ModuleList(
            MambaMixer(d_model, d_state=d_state, d_conv=d_conv, expand=expand) for _ in range(n_layers)
        )
        if plain_delta:
            for mixer in self.mixers:
                if isinstance(mixer, MambaMixer) and mixer.dt_proj is not None:
                    mixer.dt_proj.reset_parameters()
        self.norms = nn.ModuleList(nn.LayerNorm(d_model) for _ in range(n_layers))
        self.head = Linear(d_model, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for mixer, norm in zip(self.mixers, self.norms, strict=True):
            x = norm(mixer(x))
        return self.head(x)

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        return self.head_flops(batch * length) + sum(
            m.flops(batch, length, context) for m in self.mixers if isinstance(m, MambaMixer)
        )


ARCHITECTURES = {
    "linear": LinearModel,
    "mlp": MLP,
    "attention": SelfAttention,
    "transformer": Transformer,
    "mamba": Mamba,
}
