"""Attention against softmax written by hand, and rotary positions that are relative."""

import math

import pytest
import torch
from torch import Tensor

from seqscale.mixers.attention import Attention, attention_pairs, rotate

F64 = torch.float64


def by_hand(m: Attention, x: Tensor) -> Tensor:
    """One head, one query at a time: softmax over the keys up to it."""
    q, k, v = (x @ w.t() + b for w, b in zip(m.qkv.weight.chunk(3), _bias(m.qkv, 3), strict=True))
    out = torch.zeros_like(x)
    d = m.d_head
    for row in range(x.shape[0]):
        for head in range(m.n_heads):
            part = slice(head * d, (head + 1) * d)
            for t in range(x.shape[1]):
                query, keys = q[row, t, part], k[row, : t + 1, part]
                if m.rope:
                    query = turn(query, t)
                    keys = torch.stack([turn(key, s) for s, key in enumerate(keys)])
                weight = torch.exp(keys @ query / math.sqrt(d))
                out[row, t, part] = (weight / weight.sum()) @ v[row, : t + 1, part]
    return out @ m.out.weight.t() + _bias(m.out, 1)[0]


def _bias(layer: torch.nn.Linear, parts: int) -> list[Tensor]:
    bias = torch.zeros(layer.out_features, dtype=F64) if layer.bias is None else layer.bias
    return list(bias.chunk(parts))


def turn(x: Tensor, position: int) -> Tensor:
    """Each pair (x_i, x_{i + d/2}) as a complex number, turned by position * 10000^(-2i/d)."""
    half = len(x) // 2
    angle = position * 10_000.0 ** (-torch.arange(half, dtype=F64) / half)
    turned = torch.complex(x[:half], x[half:]) * torch.polar(torch.ones(half, dtype=F64), angle)
    return torch.cat([turned.real, turned.imag])


@pytest.mark.parametrize("rope", [False, True], ids=["plain", "rope"])
@pytest.mark.parametrize("bias", [False, True], ids=["no-bias", "bias"])
@pytest.mark.parametrize("n_heads", [1, 2])
def test_equals_softmax_by_hand(rope: bool, bias: bool, n_heads: int) -> None:
    torch.manual_seed(0)
    m = Attention(8, n_heads=n_heads, rope=rope, bias=bias).double()
    x = torch.randn(2, 7, 8, dtype=F64)
    # angles are computed in float32: good to 1e-7
    torch.testing.assert_close(m(x), by_hand(m, x), rtol=1e-6 if rope else 1e-10, atol=1e-6 if rope else 1e-12)


def test_rotary_positions_are_relative() -> None:
    """<rotate(q, m), rotate(k, n)> depends on m - n only; lengths are kept; position 0 changes nothing."""
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=F64)
    for distance in (0, 1, 5):
        products = [(rotate(q, n + distance) * rotate(k, n)).sum() for n in (0, 1, 17, 200)]
        for product in products[1:]:
            torch.testing.assert_close(product, products[0], rtol=0, atol=1e-4)
    assert not torch.allclose((rotate(q, 1) * k).sum(), (q * k).sum())
    torch.testing.assert_close(rotate(q, 123).norm(), q.norm(), rtol=1e-6, atol=0)
    torch.testing.assert_close(rotate(q, 0), q)


def test_rotary_attention_does_not_care_where_a_text_begins() -> None:
    """Without a past to see, the same tokens at positions 5 ... give what they give at 0 ...; so with a bare offset."""
    torch.manual_seed(0)
    x = torch.randn(1, 1, 6, 8, dtype=F64)
    torch.testing.assert_close(rotate(x, 5)[:, :, 1:], rotate(x[:, :, 1:], 6))


def test_absolute_order_is_invisible_without_positions() -> None:
    """The last output of plain attention is the same for any order of the tokens before; RoPE breaks that."""
    torch.manual_seed(0)
    x = torch.randn(1, 6, 8, dtype=F64)
    shuffled = x[:, [3, 0, 4, 1, 2, 5]]
    for rope in (False, True):
        m = Attention(8, n_heads=2, rope=rope).double()
        assert torch.allclose(m(x)[:, -1], m(shuffled)[:, -1]) == (not rope)


def test_cache_is_written_in_place_and_grows_when_full() -> None:
    torch.manual_seed(0)
    m = Attention(8, n_heads=2).double()
    x = torch.randn(1, 20, 8, dtype=F64)
    with torch.inference_mode():
        state = m.init_state(1, 8, x.device, x.dtype)
        storage = state["k"].data_ptr()
        _, state = m(x[:, :8], state)
        assert state["k"].data_ptr() == storage, "room was reserved: nothing needs to be copied"
        y, state = m.step(x[:, 8], state)
        assert state["k"].shape[2] == 16, "a full cache doubles"
        assert state["length"] == 9
        torch.testing.assert_close(y, m(x[:, :9])[:, -1])


def test_pairs() -> None:
    for length, context in ((1, 0), (5, 0), (3, 4)):
        assert attention_pairs(length, context) == sum(context + i + 1 for i in range(length))


@pytest.mark.parametrize(
    ("d_model", "options", "words"),
    [
        (64, {"n_heads": 5}, "n_heads = 5 does not divide d_model = 64"),
        (12, {"n_heads": 4, "rope": True}, "rope needs an even head width; d_model / n_heads = 3"),
    ],
    ids=["heads", "rope"],
)
def test_impossible_sizes_are_refused(d_model: int, options: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Attention(d_model, **options)
