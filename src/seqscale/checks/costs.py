"""A mixer's account of itself: bytes of state against the state, the FLOP formula against PyTorch's counter."""

import torch
from torch import Tensor

from seqscale.benchmarks.flops import count_flops
from seqscale.checks.case import F64, Case, CheckFailed, start, tokens
from seqscale.mixers import State

FLOPS_WITHIN = 0.01


def bytes_in_use(state: State) -> int:
    """Bytes of a state; of a cache (a state with a "length"), those of the filled part, dimension 2."""
    filled = state.get("length")
    tensors = [v if filled is None else v[:, :, :filled] for v in state.values() if isinstance(v, Tensor)]
    return sum(t.numel() * t.element_size() for t in tensors)


def state_bytes(case: Case, length: int, dtype: torch.dtype = F64, steps: bool = False) -> None:
    """state_bytes(...) is what the state holds after `length` tokens."""
    mixer = case.make(dtype)
    x = tokens(mixer, batch=3, length=length, dtype=dtype)
    state = start(mixer, batch=3, length_max=16, dtype=dtype)
    with torch.no_grad():
        if steps:
            for t in range(length):
                _, state = mixer.step(x[:, t], state)
        else:
            _, state = mixer(x, state)
    said, held = mixer.state_bytes(3, length, dtype), bytes_in_use(state)
    if said != held:
        way = "steps" if steps else "a forward"
        raise CheckFailed(
            f"state_bytes says {said} for batch 3 after {way} of {length} in {dtype}; the state has {held}"
        )


def state_bytes_bfloat16(case: Case) -> None:
    """In bfloat16 too: caches follow the activations; what a recurrence adds up in may stay wider."""
    mixer = case.make(torch.float32)
    state = start(mixer, dtype=torch.bfloat16)
    if "length" in state:
        state["length"] = 11
    said, held = mixer.state_bytes(2, 11, torch.bfloat16), bytes_in_use(state)
    if said != held:
        raise CheckFailed(f"state_bytes says {said} for batch 2 in bfloat16; init_state makes {held}")


def flops(case: Case, batch: int, length: int) -> None:
    """flops(...) is what PyTorch's counter sees, to 1 %; a backward counts twice its forward, as in every benchmark.

    The counter is `seqscale.benchmarks.flops.count_flops`. Operations of one's own need a formula registered with
    `torch.utils.flop_counter.register_flop_formula`. Products with a first state of zeros, or for a last state that
    nobody asked for, have no gradient and would make the backward count less: without a state, leave them out.
    """
    mixer = case.make(torch.float32)
    x = tokens(mixer, batch, length, torch.float32)
    said = mixer.flops(batch, length)
    with torch.no_grad():
        counted = count_flops(lambda: mixer(x))
    both = count_flops(lambda: mixer(x.clone().requires_grad_() * 1.0).sum().backward())  # no leaf, as in a model
    for what, expected, found in (("forward", said, counted), ("forward and backward", 3 * said, both)):
        if abs(found - expected) > FLOPS_WITHIN * max(found, expected):
            percent = 100 * (expected / found - 1) if found else float("inf")
            raise CheckFailed(
                f"{what} of {batch} x {length}: the formula says {expected:,} FLOPs, the counter {found:,}"
                f" ({percent:+.1f} %)"
            )
