"""The four classifiers of source 003 (a poster on Sentiment140), as far as it describes them.

The poster says: two layers each, like width and dropout, BERT's uncased pieces, 64 tokens at most. It prints no code,
so the rest is taken: residual blocks after a norm for the Mamba and the SSM, PyTorch's encoder layers looking both
ways for the Transformer, the mean over the real tokens, one linear layer.

Its LSTM stays at chance (49.98 %) and it does not say why. `LastPositionLSTM` is one hypothesis, not a finding: an
LSTM read at the last of the 64 positions, which for a tweet of 15 tokens is 49 paddings after its end. It would explain
the figure: after one pass over the sample of 27,689 tweets (one seed) it gives one answer to all, 53.8 % of the test.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqscale.mixers.base import Linear, Mixer, linear_flops
from seqscale.mixers.lti_ssm import LTISSM
from seqscale.mixers.mamba import Mamba as MambaMixer
from seqscale.models.published.base import PublishedModel

CLASSES = 2  # negative, positive


class TweetClassifier(PublishedModel):
    """Tokens (batch, length) and how many of each row are real, (batch,) -> logits (batch, 2). Padded on the right."""

    def __init__(self, vocab_size: int, d_model: int, dropout: float) -> None:
        super().__init__()
        self.d_model, self.dropout = d_model, dropout
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.head = Linear(d_model, CLASSES)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Without `lengths` every row is full (as in timing)."""
        if lengths is None:
            lengths = torch.full_like(tokens[:, 0], tokens.shape[1])
        x = F.dropout(self.embedding(tokens), self.dropout, self.training)
        real = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        return self.head(self.read(self.features(x, real), real))

    def features(self, x: Tensor, real: Tensor) -> Tensor:
        """Embeddings to features, both (batch, length, d_model); `real` (batch, length) is false at paddings."""
        raise NotImplementedError

    def read(self, x: Tensor, real: Tensor) -> Tensor:
        """Features to one vector a row, (batch, d_model): the mean over real tokens."""
        return torch.where(real[..., None], x, 0.0).sum(1) / real.sum(1, keepdim=True)


class _Residual(TweetClassifier):
    """x + dropout(mixer(norm(x))), n_layers times."""

    def _stack(self, mixers: list[Mixer]) -> None:
        self.mixers = nn.ModuleList(mixers)
        self.norms = nn.ModuleList(nn.LayerNorm(self.d_model) for _ in mixers)

    def features(self, x: Tensor, real: Tensor) -> Tensor:
        for mixer, norm in zip(self.mixers, self.norms, strict=True):
            x = x + F.dropout(mixer(norm(x)), self.dropout, self.training)
        return x

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        layers = sum(mixer.flops(batch, length) for mixer in self.mixers if isinstance(mixer, Mixer))
        return layers + self.head_flops(batch)


class MambaClassifier(_Residual):
    """Mamba blocks; the poster's own re-implementation is replaced by this repository's mixer."""

    def __init__(
        self, vocab_size: int, context: int, d_model: int, n_layers: int, *, d_state: int = 16, dropout: float = 0.1
    ) -> None:
        super().__init__(vocab_size, d_model, dropout)
        self._stack([MambaMixer(d_model, d_state=d_state) for _ in range(n_layers)])


class SSMClassifier(_Residual):
    """The poster's "SSM": time-invariant, so the same blocks with fixed parameters."""

    def __init__(
        self, vocab_size: int, context: int, d_model: int, n_layers: int, *, d_state: int = 16, dropout: float = 0.1
    ) -> None:
        super().__init__(vocab_size, d_model, dropout)
        self._stack([LTISSM(d_model, d_state=d_state) for _ in range(n_layers)])


class TransformerClassifier(TweetClassifier):
    """PyTorch's encoder layers: learned positions, both directions, paddings masked."""

    def __init__(
        self,
        vocab_size: int,
        context: int,
        d_model: int,
        n_layers: int,
        *,
        n_heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(vocab_size, d_model, dropout)
        self.positions = nn.Embedding(context, d_model)
        layer = nn.TransformerEncoderLayer(d_model, n_heads, 4 * d_model, dropout, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)

    def features(self, x: Tensor, real: Tensor) -> Tensor:
        x = x + self.positions.weight[: x.shape[1]]
        return self.layers(x, src_key_padding_mask=~real)

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        tokens, width = batch * length, self.d_model
        layer = linear_flops(tokens, width, 12 * width) + 4 * batch * width * length**2
        return self.layers.num_layers * layer + self.head_flops(batch)


class LastPositionLSTM(TweetClassifier):
    """An LSTM of two layers, read at the last position of the padded row.

    Odd, and a hypothesis: by then the state has read dozens of paddings, and what the tweet said must survive them.
    """

    def __init__(self, vocab_size: int, context: int, d_model: int, n_layers: int, *, dropout: float = 0.1) -> None:
        super().__init__(vocab_size, d_model, dropout)
        between = dropout if n_layers > 1 else 0.0
        self.lstm = nn.LSTM(d_model, d_model, n_layers, batch_first=True, dropout=between)

    def features(self, x: Tensor, real: Tensor) -> Tensor:
        return self.lstm(x)[0]

    def read(self, x: Tensor, real: Tensor) -> Tensor:
        return x[:, -1]

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        layer = 2 * linear_flops(batch * length, self.d_model, 4 * self.d_model)
        return self.lstm.num_layers * layer + self.head_flops(batch)


ARCHITECTURES = {
    "mamba": MambaClassifier,
    "ssm": SSMClassifier,
    "transformer": TransformerClassifier,
    "lstm_last_position": LastPositionLSTM,
}
