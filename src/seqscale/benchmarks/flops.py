"""Floating-point operations, counted operation by operation while a model runs (`torch.utils.flop_counter`).

The convention, the same for every model ("model FLOPs"): a multiply-add is two; norms, activations and other
element-wise work are not counted; the backward of an operation counts twice its forward, whatever a kernel recomputes;
causal attention counts the query-key pairs that causality allows. PyTorch's own formulas count attention's full square
and its recomputation, know neither transforms nor LSTMs, and miscount the backward of a depthwise convolution; those
are replaced here. `seqscale::selective_scan` brings its own (kernels/scan.py).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from seqscale.mixers.attention import attention_pairs
from seqscale.mixers.lti_ssm import real_fft_flops

aten = torch.ops.aten


def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of one call of `call`, forward and (where it runs one) backward, by the convention above.

    An attention mask counts as a full rectangle; only `is_causal` leaves pairs out.
    """
    counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    with counter, _Corrections(counter) as corrections:
        call()
    return counter.get_total_flops() + corrections.total


# --- formulas --------------------------------------------------------------------------------------------------------

Formula = Callable[..., int]


def _by_name(operation: Any, formula: Callable[[dict[str, Any]], int]) -> Formula:
    """A formula for `custom_mapping` that is given an operation's arguments by their names in its schema."""
    arguments = operation.default._schema.arguments
    defaults = {a.name: a.default_value for a in arguments if a.has_default_value()}

    def counted(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
        names = (a.name for a in arguments)
        return formula({**defaults, **dict(zip(names, args, strict=False)), **kwargs})

    counted._get_raw = True  # type: ignore[attr-defined]  # tensors, not shapes
    return counted


def _attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int], causal: bool) -> int:
    """Scores and their product with the values: 2 (d_qk + d_v) per allowed pair, head and sequence."""
    *batch_heads, queries, d_qk = query
    keys, d_v = key[-2], value[-1]
    pairs = queries * keys
    if causal:  # query i sees keys 0 ... i
        pairs = attention_pairs(min(queries, keys)) + max(0, queries - keys) * keys
    return 2 * (d_qk + d_v) * pairs * math.prod(batch_heads)


def _attention(scale: int) -> Callable[[dict[str, Any]], int]:
    return lambda a: scale * _attention_flops(a["query"].shape, a["key"].shape, a["value"].shape, a["is_causal"])


def _rnn(scale: int, *names: str) -> Callable[[dict[str, Any]], int]:
    """Every weight matrix meets every token once.

    Args:
        names: the arguments that are weight matrices; none for cuDNN, whose weights are one list, in groups of
            `weight_stride0`: two matrices, then biases (which may have two dimensions as well).
    """

    def formula(a: dict[str, Any]) -> int:
        weights = [a[name] for name in names] or [w for i, w in enumerate(a["weight"]) if i % a["weight_stride0"] < 2]
        tokens = math.prod(a["input"].shape[:2])
        return scale * 2 * tokens * sum(w.numel() for w in weights)

    return formula


def _convolution_backward(a: dict[str, Any]) -> int:
    """Twice the forward: each output position meets the filter once."""
    positions = math.prod((a["input"] if a["transposed"] else a["grad_output"]).shape[2:])
    return 2 * 2 * a["input"].shape[0] * positions * a["weight"].numel()


def _in_backward() -> bool:
    return bool(torch._C._current_graph_task_id() != -1)


def _transform(a: dict[str, Any], size: int, *, full: bool) -> int:
    """Transforms of `size` points over the last dimension. `full`: complex to complex, twice a real one.

    The gradient of a real transform is computed by a complex one and that of its inverse by a real one; by the
    convention both count twice the forward.
    """
    if len(a["dim"]) != 1:
        raise NotImplementedError("only one-dimensional transforms have a FLOP formula")
    signals = a["self"].numel() // a["self"].shape[a["dim"][0]]
    return (2 if full or _in_backward() else 1) * signals * real_fft_flops(size)


def _points(a: dict[str, Any]) -> int:
    return int(a["self"].shape[a["dim"][0]])


_FUSED_ATTENTION = [
    name
    for name in (
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_fused_attention_overrideable",
    )
    if hasattr(aten, name) and hasattr(aten, f"{name}_backward")
]

_RULES: dict[str, Callable[[dict[str, Any]], int]] = {
    **{name: _attention(1) for name in _FUSED_ATTENTION},
    **{f"{name}_backward": _attention(2) for name in _FUSED_ATTENTION},
    "mkldnn_rnn_layer": _rnn(1, "weight0", "weight1"),
    "mkldnn_rnn_layer_backward": _rnn(2, "weight1", "weight2"),
    "_cudnn_rnn": _rnn(1),
    "_cudnn_rnn_backward": _rnn(2),
    "convolution_backward": _convolution_backward,
    "_fft_r2c": lambda a: _transform(a, _points(a), full=False),
    "_fft_c2r": lambda a: _transform(a, int(a["last_dim_size"]), full=False),
    "_fft_c2c": lambda a: _transform(a, _points(a), full=True),
}

FORMULAS: dict[Any, Formula] = {getattr(aten, n): _by_name(getattr(aten, n), rule) for n, rule in _RULES.items()}
"""For `FlopCounterMode(custom_mapping=...)`."""


# --- what cannot be seen from single operations ----------------------------------------------------------------------


class _Corrections(TorchFunctionMode):
    """Two functions fall apart into plain matrix products where no fused kernel takes them.

    Attention: the products are over the full square, and a mask tells nothing; what was counted is replaced. The
    LSTM: the first step's product with the zero state has no gradient with respect to that state, so its backward
    would count once instead of twice; under the counter the state is given one.
    """

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self.counter, self.total = counter, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attention(func, args, kwargs)
        if getattr(func, "__name__", "") == "lstm" and torch.is_grad_enabled() and isinstance(args[1], tuple | list):
            x, state, *rest = args
            if isinstance(x, torch.Tensor) and x.requires_grad:
                args = (x, tuple(h if h.requires_grad else h.detach().requires_grad_() for h in state), *rest)
        return func(*args, **kwargs)

    def _attention(self, func: Any, args: Any, kwargs: Any) -> Any:
        before = dict(self.counter.get_flop_counts().get("Global", {}))
        out = func(*args, **kwargs)
        after = self.counter.get_flop_counts().get("Global", {})
        counted = {op: n - before.get(op, 0) for op, n in after.items() if n != before.get(op, 0)}
        if not any(op in FORMULAS for op in counted):  # the math path: no fused operation was seen
            names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            query, key, value = (given[name].shape for name in ("query", "key", "value"))
            allowed = _attention_flops(query, key, value, bool(given.get("is_causal", False)))
            correction = allowed - sum(counted.values())
            self.total += correction
            if out.requires_grad:
                out.register_hook(lambda gradient: self._add(2 * correction))
        return out

    def _add(self, flops: int) -> None:
        self.total += flops
