"""Gated linear attention with one gate per head and token (Yang et al. 2023, arXiv 2312.06635, with a scalar gate).

    S_t = a_t S_{t-1} + k_t v_t^T,    y_t = q_t S_t,    a_t = sigmoid(W_a x_t)

computed chunk by chunk: inside a chunk as attention with decaying weights, from chunk to chunk through S.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from seqscale.mixers.base import Linear, Mixer, State, linear_flops


class GatedLinearAttention(Mixer):
    """q, k, v projections and a gate; the recurrence above for each head; an output projection.

    Args:
        n_heads: must divide d_model.
        chunk: tokens that are handled as attention; changes the cost, not the result.
    """

    def __init__(self, d_model: int, *, n_heads: int = 4, chunk: int = 64) -> None:
        super().__init__(d_model)
        if d_model % n_heads:
            raise ValueError(f"n_heads = {n_heads} does not divide d_model = {d_model}")
        self.n_heads, self.chunk, self.d_head = n_heads, chunk, d_model // n_heads
        self.qkv = Linear(d_model, 3 * d_model, bias=False)
        self.gate = Linear(d_model, n_heads)
        self.out = Linear(d_model, d_model, bias=False)
        self.out.residual_output = True

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        S, outputs, pieces = None if state is None else state["S"], [], x.split(self.chunk, dim=1)
        for number, piece in enumerate(pieces, 1):  # nobody needs the last S of a sequence without a state
            y, S = self._chunk(piece, S, carry=state is not None or number < len(pieces))
            outputs.append(y)
        return self.out(torch.cat(outputs, dim=1)), None if state is None else {"S": S}

    def _chunk(self, x: Tensor, S: Tensor | None, carry: bool) -> tuple[Tensor, Tensor | None]:
        """x (batch, length, d_model), S (batch, heads, d_head, d_head) or nothing: the output and the next S."""
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.n_heads, self.d_head).permute(2, 0, 3, 1, 4)
        wide = torch.promote_types(x.dtype, torch.float32)
        total = F.logsigmoid(self.gate(x)).to(wide).transpose(1, 2).cumsum(-1)  # log of a_1 ... a_t: (b, h, length)
        since = total.unsqueeze(-1) - total.unsqueeze(-2)  # of a_{s+1} ... a_t
        ahead = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = (q @ k.transpose(-1, -2)) * since.masked_fill(ahead, -torch.inf).exp()
        y = weights @ v.to(weights.dtype)
        if S is not None:
            y = y + total.exp().unsqueeze(-1) * (q.to(wide) @ S)
            S = total[..., -1, None, None].exp() * S
        if carry:  # what remains of each token at the chunk's end
            added = (k * (total[..., -1:] - total).exp().unsqueeze(-1)).transpose(-1, -2) @ v.to(wide)
            S = added if S is None else S + added
        return y.transpose(1, 2).reshape(batch, length, self.d_model).to(x.dtype), S

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        wide = torch.promote_types(dtype, torch.float32)  # sums over a whole sequence are not kept in half precision
        return {"S": torch.zeros(batch, self.n_heads, self.d_head, self.d_head, device=device, dtype=wide)}

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        whole, rest = divmod(length, self.chunk)
        pairs = whole * self.chunk**2 + rest**2  # inside chunks: the full square is computed
        inside = 4 * batch * self.d_model * pairs
        first, last = min(length, self.chunk), rest or min(length, self.chunk)
        written, read = (length, length) if context else (length - last, length - first)  # into S, from S
        across = 2 * batch * (written + read) * self.d_model * self.d_head
        return linear_flops(batch * length, self.d_model, 4 * self.d_model + self.n_heads) + inside + across

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        return batch * self.d_model * self.d_head * max(4, dtype.itemsize)


MIXER = GatedLinearAttention
