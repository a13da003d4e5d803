"""A classifier around any mixer: the language model's stack, a mean over the real tokens, one linear layer."""

import torch
from torch import Tensor, nn

from seqscale.mixers.base import Linear, linear_flops
from seqscale.models.language_model import LanguageModel


class Classifier(nn.Module):
    """Tokens (batch, length) and how many of each row are real, (batch,) -> logits (batch, classes).

    Rows are padded on the right. Every mixer is causal, so no real position sees the padding, and the mean is taken
    over real positions alone: what and how much padding there is never changes an answer (to the last bit, but for
    mixers that convolve by FFT, whose rounding knows no direction: there to 1e-6). The same reading for all models,
    rather than the last position's, which suits recurrent ones, or a first token's, which suits attention that looks
    both ways.
    """

    def __init__(self, stack: LanguageModel, classes: int) -> None:
        super().__init__()
        self.stack, self.classes = stack, classes
        self.head = Linear(stack.d_model, classes)
        with torch.no_grad():
            self.head.bias.zero_()

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits, (batch, classes), float32 under autocast too; every length is at least 1."""
        x = self.stack.features(tokens)
        real = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        # where, not a product: what stands at the padding must not matter, not even if it is no number
        total = torch.where(real[..., None], x.float(), 0.0).sum(1)
        with torch.autocast(x.device.type, enabled=False):
            return self.head((total / lengths[:, None]).to(self.head.weight.dtype))

    def flops(self, batch: int, length: int) -> int:
        """Forward operations over rows of `length` tokens, padding included, closed form (see `Mixer.flops`)."""
        output_layer = linear_flops(batch * length, self.stack.d_model, self.stack.vocab_size)  # which is not used here
        head = linear_flops(batch, self.stack.d_model, self.classes)
        return self.stack.flops(batch, length) - output_layer + head

    def training_flops(self, batch: int, length: int) -> int:
        """Forward and backward; the backward counts twice the forward, as for language models."""
        return 3 * self.flops(batch, length)

    def count_parameters(self) -> tuple[int, int]:
        """(all parameters, those that are not token or position embeddings)."""
        total, rest = self.stack.count_parameters()
        head = sum(p.numel() for p in self.head.parameters())
        return total + head, rest + head
