"""All blocks of a Mamba language model for one token in one native call, where that can be had.

What a block is to do stands in `blocks.Block.step`; this is the same, faster: a token through four small layers takes
a twentieth of what it takes operation by operation.
"""

from collections.abc import Iterable, Sequence

from torch import Tensor

from seqscale.kernels.cpu import decode
from seqscale.mixers import State
from seqscale.mixers.mamba import Mamba
from seqscale.models.blocks import Block


def step_together(blocks: Iterable[object], x: Tensor, states: Sequence[State]) -> tuple[Tensor, list[State]] | None:
    """One token, (batch, d_model) -> the same, and the next states.

    None when this is not for the native code: gradients are wanted, something looks on (FlopCounterMode, hooks), other
    devices, dtypes or mixers, or blocks with a channel mixer.
    """
    if not decode.applies(x):
        return None
    layers, sizes = [], None
    for block in blocks:
        if type(block) is not Block or block.channel_mixer is not None:
            return None
        mixer = block._modules["mixer"]
        if type(mixer) is not Mamba:
            return None
        layer = mixer.native.packed(mixer, block._modules["mixer_norm"])
        if layer is None or (sizes is not None and mixer.native.sizes != sizes):
            return None
        sizes = mixer.native.sizes
        layers.append(layer)
    if sizes is None:
        return None
    y, following = decode.mamba_step(x, [(state["conv"], state["ssm"]) for state in states], layers, sizes)
    return y, [{"conv": conv, "ssm": ssm} for conv, ssm in following]
