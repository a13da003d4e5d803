"""The three ways through a sequence agree; nothing looks ahead; the rows of a batch do not meet.

In float64, so that a difference is a mistake and not rounding.
"""

import contextlib

import torch

from seqscale.checks.case import F64, Case, CheckFailed, same, start, tokens

CUTS = ((5,), (1, 10), (1, 2, 3), (4, 5))  # where a sequence of 11 is taken apart
PIECES = [(cuts, length_max) for cuts in CUTS for length_max in (0, 1, 11)]


def in_pieces(case: Case, cuts: tuple[int, ...], length_max: int = 11, gradients: bool = True) -> None:
    """forward(x, state) piece by piece gives what forward(x) gives at once."""
    mixer = case.make()
    x = tokens(mixer)
    with contextlib.nullcontext() if gradients else torch.no_grad():
        whole, state, pieces = mixer(x), start(mixer, length_max=length_max), []
        for begin, end in zip((0, *cuts), (*cuts, 11), strict=True):
            y, state = mixer(x[:, begin:end], state)
            pieces.append(y)
    same(torch.cat(pieces, dim=1), whole, f"forward in pieces cut at {cuts} against forward of the whole")


def step_by_step(case: Case, prompt: int, length_max: int = 11) -> None:
    """step() token by token, after a prompt through forward, gives what forward gives at once."""
    mixer = case.make()
    x = tokens(mixer)
    with torch.inference_mode():
        whole, state, outputs = mixer(x), start(mixer, length_max=length_max), []
        if prompt:
            y, state = mixer(x[:, :prompt], state)
            outputs.extend(y.unbind(1))
        for t in range(prompt, 11):
            y, state = mixer.step(x[:, t], state)
            if y.shape != (2, mixer.d_model):
                raise CheckFailed(f"step gives {tuple(y.shape)}; it owes (batch, d_model) = {(2, mixer.d_model)}")
            outputs.append(y)
    same(torch.stack(outputs, dim=1), whole, f"step by step after a prompt of {prompt} against forward")


def any_length(case: Case, length: int) -> None:
    """Any length, 1 included, gives finite numbers of the input's shape and dtype, and the same from a fresh state."""
    mixer = case.make()
    x = tokens(mixer, length=length)
    y = mixer(x)
    if y.shape != x.shape or y.dtype != F64:
        raise CheckFailed(f"length {length}: gives {tuple(y.shape)} {y.dtype}; it owes {tuple(x.shape)} {x.dtype}")
    same(mixer(x.clone(), start(mixer, length_max=length))[0], y, f"length {length}, from a fresh state")


def causal(case: Case, t: int) -> None:
    """A change at position t moves nothing before t, and does move t."""
    mixer = case.make()
    x = tokens(mixer)
    other = x.clone()
    other[:, t] += 1.0
    y, moved = mixer(x), mixer(other)
    same(moved[:, :t], y[:, :t], f"positions before {t} after a change at {t} (the mixer looks ahead)", 1e-10)
    if torch.allclose(moved[:, t], y[:, t]):
        raise CheckFailed(f"a change at position {t} does not move position {t}: the input is not used")


def looks_back(case: Case) -> bool:
    """Whether a token moves what comes after it. Not a duty: linear and MLP do not, and are there to show it."""
    mixer = case.make()
    x = tokens(mixer)
    other = x.clone()
    other[:, 3] += 1.0
    return bool((mixer(other) - mixer(x))[:, 4:].abs().max() > 1e-12)


def rows_apart(case: Case) -> None:
    """A row alone gives what it gives among others."""
    mixer = case.make()
    x = tokens(mixer, batch=3)
    whole = mixer(x)
    for row in range(3):
        same(mixer(x[row : row + 1]), whole[row : row + 1], f"row {row} alone against in a batch of 3")


def same_bits(case: Case) -> None:
    """Same seed and input, same bits: output and every gradient, in float32."""
    results = []
    for _ in range(2):
        mixer = case.make(torch.float32)
        x = tokens(mixer, dtype=torch.float32)
        y = mixer(x)
        if not torch.equal(mixer(x), y):
            raise CheckFailed("the same mixer gives other bits for the same input a second time")
        gradients = torch.autograd.grad(y.square().sum(), list(mixer.parameters()), allow_unused=True)
        results.append([y, *(g for g in gradients if g is not None)])
    if not all(torch.equal(a, b) for a, b in zip(*results, strict=True)):
        raise CheckFailed("two mixers of one seed give different bits")
    if case.d_model > 1 and list(mixer.parameters()):
        other = case.make(torch.float32, seed=1)
        if torch.equal(other(tokens(other, dtype=torch.float32)), y):
            raise CheckFailed("mixers of different seeds give the same bits: the seed is not used")
