"""One sequence over several processes: each holds a stretch of it, and states are passed along the chain.

A recurrent mixer needs of everything before a stretch only its state (for Mamba: the scan's h and the last d_conv - 1
inputs of the convolution, the halo). So the process of rank r runs its stretch with the state that rank r - 1 sends,
and sends its own last state to rank r + 1. In the backward pass the gradients of these states travel the other way. No
process ever holds activations of more than its own stretch: a sequence longer than one device's memory trains.

    rank 0   layer 1 | layer 2 | layer 3 |  ...   backward:          | layer 3 | layer 2 | layer 1
    rank 1           | layer 1 | layer 2 | ...            | layer 3  | layer 2 | layer 1

Why the chain is enough and no parallel prefix is needed: position t depends on nothing after it, so rank 0 runs ahead
through all layers while rank 1 follows one mixer behind, and in the backward pass the last rank runs ahead. A step of n
layers on P processes takes (n + P - 1) / n of the ideal time. (Compare LASP, Sun et al. 2024, arXiv 2404.02882, which
passes the states of linear attention in this manner.)

The results are those of one process up to the last bits of float32; a test compares every gradient.
"""

import contextlib
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from seqscale.mixers.base import State, linear
from seqscale.models import LanguageModel
from seqscale.models.blocks import Block


class Chain:
    """The processes of a sequence in their order; the default process group, or `group`.

    Sending never waits: what is under way is kept until `settle`, which the backward pass calls for itself.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self._under_way: list[tuple[Any, Tensor]] = []

    def send(self, tensor: Tensor, to: int) -> None:
        tensor = tensor.detach().contiguous()
        work = dist.isend(tensor, self._global(to), self.group)
        self._under_way.append((work, tensor))

    def receive(self, like: Tensor, source: int) -> Tensor:
        """A tensor like `like`, from a neighbour."""
        tensor = torch.empty_like(like, memory_format=torch.contiguous_format)
        dist.recv(tensor, self._global(source), self.group)
        return tensor

    def settle(self) -> None:
        """Wait for what was sent. Call it once a step, after the backward pass."""
        for work, _ in self._under_way:
            work.wait()
        self._under_way.clear()

    def stretch(self, length: int) -> slice:
        """This process's positions of a sequence: stretches that differ by one at most."""
        shorter, longer = divmod(length, self.size)
        start = self.rank * shorter + min(self.rank, longer)
        return slice(start, start + shorter + (self.rank < longer))

    def _global(self, rank: int) -> int:
        return rank if self.group is None else dist.get_global_rank(self.group, rank)


class _Receive(torch.autograd.Function):
    """The state that the previous process sends; the gradient goes back to it."""

    @staticmethod
    def forward(ctx: Any, chain: Chain, like: Tensor, anchor: Tensor) -> Tensor:
        """`anchor` is not used: that it wants a gradient is why the state does."""
        ctx.chain = chain
        return chain.receive(like, chain.rank - 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:  # type: ignore[override]
        ctx.chain.send(gradient, ctx.chain.rank - 1)
        return None, None, None


class _Send(torch.autograd.Function):
    """Send a state to the next process and pass `y` on; the state's gradient comes back from there."""

    @staticmethod
    def forward(ctx: Any, chain: Chain, y: Tensor, state: Tensor) -> Tensor:
        ctx.chain, ctx.like = chain, torch.empty_like(state, device="meta")
        ctx.device = state.device
        chain.send(state, chain.rank + 1)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor]:  # type: ignore[override]
        back = ctx.chain.receive(torch.empty_like(ctx.like, device=ctx.device), ctx.chain.rank + 1)
        return None, gradient, back


def _packed(state: State) -> Tensor:
    """A state as one vector, so that it travels as one message: float64 if any of it is, else float32."""
    parts = [torch.view_as_real(s) if s.is_complex() else s for _, s in sorted(state.items())]
    wide = torch.float64 if any(p.dtype == torch.float64 for p in parts) else torch.float32
    return torch.cat([p.to(wide).reshape(-1) for p in parts])


def _unpacked(vector: Tensor, like: State) -> State:
    """The state in a vector that `_packed` made, with the shapes and dtypes of `like`."""
    state, place = {}, 0
    for name, old in sorted(like.items()):
        plain = torch.view_as_real(old) if old.is_complex() else old
        part = vector[place : place + plain.numel()].view(plain.shape).to(plain.dtype)
        state[name] = torch.view_as_complex(part) if old.is_complex() else part
        place += plain.numel()
    return state


def block_forward(block: Block, x: Tensor, chain: Chain) -> Tensor:
    """`block` over this process's stretch, (batch, stretch, d_model) -> the same, as part of the whole sequence.

    Raises:
        ValueError: the mixer's state is not a fixed set of tensors (attention's cache grows with the sequence).
    """
    start = block.mixer.init_state(x.shape[0], 0, x.device, x.dtype)
    if not start:  # a mixer that looks at single tokens
        return block(x)
    if not all(isinstance(v, Tensor) and v.numel() for v in start.values()):
        raise ValueError(
            f"{type(block.mixer).__name__} keeps more than a state of fixed size, so a sequence cannot be split by "
            "passing states; allowed: mixers whose state is a fixed set of tensors (mamba, lti_ssm, lstm)"
        )
    like = _packed(start)
    if chain.rank > 0:
        start = _unpacked(_Receive.apply(chain, like, x), start)
    y, last = block(x, start)
    if chain.rank + 1 < chain.size:
        y = _Send.apply(chain, y, _packed(last).to(like.dtype))
    return y


def model_forward(model: LanguageModel, tokens: Tensor, start: int, chain: Chain) -> Tensor:
    """Logits for this process's stretch of a sequence, (batch, stretch) -> (batch, stretch, vocab_size).

    Args:
        start: position of the stretch's first token in the whole sequence (`Chain.stretch`).
    """
    x = model._embed(tokens, start)
    for block in model.blocks:
        assert isinstance(block, Block)
        x = block_forward(block, x, chain)
    return linear(model.norm(x), model.embedding.weight)


def loss_and_gradients(
    model: LanguageModel, inputs: Tensor, targets: Tensor, chain: Chain, autocast: Any = contextlib.nullcontext
) -> float:
    """Mean loss over a whole sequence and, in every process, its gradients.

    Args:
        inputs, targets: the whole sequence in every process, (batch, length); each takes its stretch.
        autocast: called for a context around the forward pass.
    """
    here = chain.stretch(inputs.shape[1])
    with autocast():
        logits = model_forward(model, inputs[:, here], here.start, chain)
    summed = F.cross_entropy(logits.float().flatten(0, 1), targets[:, here].flatten(), reduction="sum")
    loss = summed / targets.numel()
    loss.backward()
    chain.settle()
    total = loss.detach().clone()
    dist.all_reduce(total, group=chain.group)
    add_up_gradients(model, chain)
    return total.item()


def add_up_gradients(module: nn.Module, chain: Chain) -> None:
    """Each parameter's gradient, added up over the stretches."""
    for parameter in module.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad, group=chain.group)
