"""Causal multi-head self-attention (Vaswani et al. 2017), with rotary positions on request (Su et al. 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seqscale.mixers.base import Linear, Mixer, State, linear_flops


class Attention(Mixer):
    """softmax(Q K^T / sqrt(d_head)) V through PyTorch's fused kernels, with a key-value cache for decoding.

    Args:
        n_heads: must divide d_model.
        rope: rotary position embedding on queries and keys, base 10,000.
        bias: biases in the four projections.
    """

    def __init__(self, d_model: int, *, n_heads: int = 4, rope: bool = False, bias: bool = True) -> None:
        super().__init__(d_model)
        if d_model % n_heads:
            raise ValueError(f"n_heads = {n_heads} does not divide d_model = {d_model}")
        self.n_heads, self.d_head, self.rope = n_heads, d_model // n_heads, rope
        if rope and self.d_head % 2:
            raise ValueError(f"rope needs an even head width; d_model / n_heads = {self.d_head}")
        self.qkv = Linear(d_model, 3 * d_model, bias=bias)
        self.out = Linear(d_model, d_model, bias=bias)
        self.out.residual_output = True  # type: ignore[assignment]

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        batch, length, _ = x.shape
        past = 0 if state is None else int(state["length"])
        heads = self.qkv(x).view(batch, length, 3, self.n_heads, self.d_head).permute(2, 0, 3, 1, 4)
        q, k, v = heads.unbind(0)  # each (batch, heads, length, d_head)
        if self.rope:
            q, k = rotate(q, past), rotate(k, past)
        following = None if state is None else _append(state, k, v)
        if following is not None:
            k, v = (following[name][:, :, : past + length] for name in ("k", "v"))
        if past == 0:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif length == 1:
            y = F.scaled_dot_product_attention(q, k, v)
        else:  # queries past ... past + length - 1 see keys up to their own position
            mask = torch.ones(length, past + length, dtype=torch.bool, device=x.device).tril(past)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(y.transpose(1, 2).reshape(batch, length, self.d_model)), following

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        cache = (batch, self.n_heads, length_max, self.d_head)
        return {
            "k": torch.zeros(cache, device=device, dtype=dtype),
            "v": torch.zeros(cache, device=device, dtype=dtype),
            "length": 0,
        }

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        """Attention's products are counted over the pairs that causality allows, not over the full square."""
        pairs = attention_pairs(length, context)
        products = 4 * batch * self.d_model * pairs
        return linear_flops(batch * length, self.d_model, 4 * self.d_model) + products

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        return 2 * batch * length * self.d_model * dtype.itemsize


def attention_pairs(length: int, context: int = 0) -> int:
    """Query-key pairs that causality allows, for `length` queries after `context` earlier tokens."""
    return length * context + length * (length + 1) // 2


def rotate(x: Tensor, offset: int = 0, base: float = 10_000.0) -> Tensor:
    """Rotary position embedding: each pair (x_i, x_{i + d/2}) turned by position * base^(-2i/d).

    Args:
        x: (batch, heads, length, d_head), d_head even. offset: the position of the first token.
    """
    half = x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = torch.arange(offset, offset + x.shape[-2], device=x.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def _append(state: State, k: Tensor, v: Tensor) -> State:
    """The cache with new keys and values: written in place without gradients, copied where autograd needs it."""
    past, length = int(state["length"]), k.shape[2]
    if torch.is_grad_enabled() and (k.requires_grad or state["k"].requires_grad):
        joined = {name: torch.cat([state[name][:, :, :past], new], dim=2) for name, new in (("k", k), ("v", v))}
        return {**joined, "length": past + length}
    cache = {"k": state["k"], "v": state["v"]}
    if past + length > cache["k"].shape[2]:  # double it, so that a long generation copies each entry O(1) times
        extra = max(past + length, 2 * cache["k"].shape[2]) - cache["k"].shape[2]
        cache = {name: F.pad(tensor, (0, 0, 0, extra)) for name, tensor in cache.items()}
    cache["k"][:, :, past : past + length] = k
    cache["v"][:, :, past : past + length] = v
    return {**cache, "length": past + length}


MIXER = Attention
