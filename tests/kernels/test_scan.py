"""Identities that every implementation of the scan keeps, each on its device."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from kernel_places import PLACES, Place, places
from scan_cases import GRADIENTS, OPTIONS, Case, check, cotangents, errors, make, results
from torch import Tensor

from seqscale.kernels import selective_scan, selective_state_step
from seqscale.kernels.chunked import Plan

ALL = {"step": "both", "D": True, "z": True, "initial_state": True, "last_state": True}
NO_REFERENCE = places(*(name for name in PLACES if name != "reference"))
PER_TOKEN = ("u", "delta", "B", "C", "z")


def inputs(place: Place, length: int = 37, **options: Any) -> tuple[Case, dict[str, Any]]:
    """A case of the implementation's best dtype, with every option unless told otherwise; chunks are 32 and more."""
    dtype = "float32" if place.implementation in ("triton", "cpu") else "float64"
    d_state = 2 if place.interpreted else 5
    case = Case(dtype, d_state, length, **{"rows": 2, **ALL, **options})
    return case, make(case, place.device)


def assert_close(found: dict[str, Tensor], right: dict[str, Tensor], tolerance: float) -> None:
    off = {name: error for name, error in errors(found, right).items() if max(error) > tolerance}
    assert not off, off


def tolerance(case: Case) -> float:
    return 2e-6 if case.dtype == "float32" else 1e-12


def slices(values: dict[str, Any], begin: int, end: int) -> dict[str, Any]:
    return values | {name: values[name][:, begin:end] for name in PER_TOKEN if name in values}


# --- the same scan in another shape -----------------------------------------------------------------------------------


def test_packed_is_each_sequence_alone(place: Place) -> None:
    """y, last states and every gradient; an empty sequence hands its state through."""
    case, values = inputs(place, 20 if place.interpreted else 137, packed=True)
    ends = values["cu_seqlens"].tolist()
    assert 0 in [b - a for a, b in pairwise(ends)]
    y, last = selective_scan(**values, return_last_state=True, implementation=place.implementation)
    dy, dlast = cotangents(case, values["u"], last)
    names = [name for name in GRADIENTS if name in values]
    packed = dict(zip(names, torch.autograd.grad([y, last], [values[n] for n in names], [dy, dlast]), strict=True))

    alone: dict[str, list[Tensor]] = {name: [] for name in ("y", "last", *names)}
    for s, (begin, end) in enumerate(pairwise(ends)):
        one = slices(values, begin, end) | {"initial_state": values["initial_state"][s : s + 1], "cu_seqlens": None}
        one = {k: v.detach().requires_grad_() if k in names else v for k, v in one.items()}
        y_s, last_s = selective_scan(**one, return_last_state=True, implementation=place.implementation)
        gradients = torch.autograd.grad(
            [y_s, last_s], [one[n] for n in names], [dy[:, begin:end], dlast[s : s + 1]], materialize_grads=True
        )
        for name, value in zip(("y", "last", *names), (y_s, last_s, *gradients), strict=True):
            alone[name].append(value)

    def joined(name: str) -> Tensor:
        parts = alone[name]
        if name in ("last", "initial_state"):
            return torch.cat(parts)
        return torch.cat(parts, dim=1) if name in ("y", *PER_TOKEN) else torch.stack(parts).sum(0)

    found = {"y": y, "last": last} | {f"d{name}": gradient for name, gradient in packed.items()}
    right = {"y": joined("y"), "last": joined("last")} | {f"d{name}": joined(name) for name in names}
    assert_close(
        {k: v.detach() for k, v in found.items()}, {k: v.detach().double() for k, v in right.items()}, tolerance(case)
    )
    assert torch.equal(last[0], values["initial_state"][0]), "the first sequence is empty"


def test_continuing_in_pieces_is_the_whole(place: Place) -> None:
    """y, last state and, through all pieces, every gradient."""
    case, values = inputs(place, rows=1)
    whole = results(case, values, place.implementation)
    state, pieces = values["initial_state"], []
    for begin, end in pairwise((0, 1, 34, case.length)):
        piece = slices(values, begin, end) | {"initial_state": state}
        y, state = selective_scan(**piece, return_last_state=True, implementation=place.implementation)
        pieces.append(y)
    y = torch.cat(pieces, dim=1)
    dy, dlast = cotangents(case, values["u"], state)
    names = [name for name in GRADIENTS if name in values]
    gradients = torch.autograd.grad([y, state], [values[name] for name in names], [dy, dlast])
    found = {"y": y, "last": state} | {f"d{name}": g for name, g in zip(names, gradients, strict=True)}
    assert_close(found, {name: value.double() for name, value in whole.items()}, tolerance(case))


def test_groups_are_repeated_vectors(place: Place) -> None:
    """Grouped B and C are the same as one vector per channel; a single group is the same as none."""
    case, values = inputs(place, length=9, groups=2, rows=1)
    grouped = results(case, values, place.implementation)
    repeated = values | {k: values[k].detach().repeat_interleave(2, dim=2).requires_grad_() for k in ("B", "C")}
    found = results(case, repeated, place.implementation)
    for name in ("dB", "dC"):
        found[name] = found[name].unflatten(2, (2, 2)).sum(3)
    assert_close(found, {name: value.double() for name, value in grouped.items()}, tolerance(case))

    case, values = inputs(place, length=9)
    single = values | {k: values[k].detach().unsqueeze(2).requires_grad_() for k in ("B", "C")}
    one, other = results(case, values, place.implementation), results(case, single, place.implementation)
    assert torch.equal(one["dB"], other["dB"].squeeze(2))
    assert torch.equal(one["y"], other["y"])


@pytest.mark.parametrize("layout", ["transposed", "sliced", "expanded"])
def test_strides_do_not_matter(layout: str, place: Place) -> None:
    case, values = inputs(place, length=9)
    scattered = dict(values)
    for name in (*PER_TOKEN, "A", "D", "delta_bias", "initial_state"):
        value = values[name].detach()
        if layout == "expanded":  # stride 0: one token for all
            if name not in PER_TOKEN:
                continue
            value = value[:, :1].expand(value.shape)
        elif layout == "transposed":
            value = value.transpose(0, -1).contiguous().transpose(0, -1)
        else:
            value = torch.stack([value, torch.full_like(value, math.nan)], dim=-1)[..., 0]
        scattered[name] = value.requires_grad_()
    plain = {
        k: v.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
        if k in scattered and isinstance(v, Tensor)
        else v
        for k, v in scattered.items()
    }
    found, right = (results(case, v, place.implementation) for v in (scattered, plain))
    assert_close(found, {name: value.double() for name, value in right.items()}, tolerance(case))


def test_step_is_the_scan_of_one_token(place: Place) -> None:
    case, values = inputs(place, length=9)
    y, last = selective_scan(**values, return_last_state=True, implementation=place.implementation)
    state = values["initial_state"]
    shared = {k: values[k] for k in ("A", "D", "delta_bias", "delta_softplus")}
    for t in range(case.length):
        y_t, state = selective_state_step(state, **shared, **{name: values[name][:, t] for name in PER_TOKEN})
        torch.testing.assert_close(y_t, y[:, t], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-5)


def test_position_t_does_not_see_what_follows(place: Place) -> None:
    """To the last bit: what comes before a change does not move; what comes at it does."""
    _, values = inputs(place, rows=1)
    with torch.no_grad():
        y = selective_scan(**values, implementation=place.implementation)
        for name, at in zip(PER_TOKEN, (0, 5, 31, 32, 36), strict=True):
            changed = values | {name: values[name].clone()}
            changed[name][:, at] += 1.0
            other = selective_scan(**changed, implementation=place.implementation)
            assert torch.equal(other[:, :at], y[:, :at]), name
            assert not torch.allclose(other[:, at], y[:, at]), name


def test_batch_rows_do_not_see_each_other(place: Place) -> None:
    _, values = inputs(place, length=9)
    with torch.no_grad():
        y = selective_scan(**values, implementation=place.implementation)
        for name in (*PER_TOKEN, "initial_state"):
            changed = values | {name: values[name].clone()}
            changed[name][1] += 1.0
            other = selective_scan(**changed, implementation=place.implementation)
            assert torch.equal(other[0], y[0]), name
            assert not torch.allclose(other[1], y[1]), name


# --- the same bits, and nothing but the results -----------------------------------------------------------------------


@pytest.mark.parametrize("place", NO_REFERENCE, indirect=True)
@pytest.mark.parametrize("options", ["all", "all-packed"])
def test_same_bits_twice(options: str, place: Place) -> None:
    case = replace(Case(length=1500, width="wide"), **OPTIONS[options])
    if place.interpreted:
        case = replace(case, d_state=2, length=37, width="narrow", groups=0, rows=1)
    values = make(case, place.device)
    one, other = (results(case, values, place.implementation) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_arguments_are_left_as_they_were(place: Place) -> None:
    case, values = inputs(place, packed=True)
    before = {k: v.detach().clone() for k, v in values.items() if isinstance(v, Tensor)}
    results(case, values, place.implementation)
    assert all(torch.equal(values[k].detach(), v) for k, v in before.items())


def test_results_do_not_depend_on_gradients_being_recorded(place: Place) -> None:
    _, values = inputs(place, length=9)
    y, last = selective_scan(**values, return_last_state=True, implementation=place.implementation)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            silent = selective_scan(**values, return_last_state=True, implementation=place.implementation)
        assert not silent[0].requires_grad
        torch.testing.assert_close(silent[0].clone(), y.detach(), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(silent[1].clone(), last.detach(), rtol=1e-6, atol=1e-6)


def test_nothing_to_scan(place: Place) -> None:
    """No tokens: the state passes through, and so does its gradient. No batch, no channels: no error."""
    _, values = inputs(place, length=0)
    y, last = selective_scan(**values, return_last_state=True, implementation=place.implementation)
    assert y.shape == values["u"].shape
    assert torch.equal(last, values["initial_state"])
    last.square().sum().backward()
    torch.testing.assert_close(values["initial_state"].grad, 2 * last.detach())
    assert values["A"].grad is None or not values["A"].grad.any()

    _, values = inputs(place, length=3, initial_state=False)
    nobody = values | {name: values[name][:0] for name in PER_TOKEN}
    y, last = selective_scan(**nobody, return_last_state=True, implementation=place.implementation)
    assert y.shape[0] == last.shape[0] == 0


# --- extreme values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [0.0, 50.0, "both"])
@pytest.mark.parametrize("A", [-1e-30, -1e-6, -1e4])
def test_extreme_steps_and_decays(delta: float | str, A: float, place: Place) -> None:
    """delta 0 keeps the state, delta 50 with A -1e4 forgets it, A near 0 adds up: finite and right."""
    case, values = inputs(place, 5 if place.interpreted else 37, step="plain", rows=1)
    with torch.no_grad():
        values["A"].fill_(A)
        values["A"][:, 1] = -1.0
        values["delta"].fill_(50.0 if delta == "both" else delta)
        if delta == "both":
            values["delta"][:, ::3] = 0.0
    check(case, values, place.implementation)


def test_extreme_steps_before_softplus(place: Place) -> None:
    """Steps of -100 and 100 before softplus, gates of -100 and 100: no overflow on the way."""
    case, values = inputs(place, 5 if place.interpreted else 37)
    with torch.no_grad():
        for name in ("delta", "z"):
            values[name][:, ::3] = -100.0
            values[name][:, 1::3] = 100.0
    check(case, values, place.implementation)


@pytest.mark.parametrize("place", places("cpu", "triton", "chunked-cuda"), indirect=True)
def test_a_million_tokens(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow and fast channels over 2^20 tokens against float64."""
    length = 2**20
    torch.manual_seed(0)
    tokens = {name: torch.randn(1, length, 2, device=place.device) for name in ("u", "B", "C")}
    tokens["delta"] = torch.rand(1, length, 2, device=place.device)
    A = torch.tensor([[-1e-4, -0.1], [-1.0, -50.0]], device=place.device)
    values = {k: v.requires_grad_() for k, v in (tokens | {"A": A}).items()}
    case = Case(d_state=2, length=length)
    found = results(case, values, place.implementation)
    exact = {k: v.detach().double().requires_grad_() for k, v in values.items()}
    monkeypatch.setattr("seqscale.kernels.chunked.plan", lambda *_: Plan(512, 512))  # quick in this shape
    y, last = selective_scan(**exact, return_last_state=True, implementation="chunked")
    gradients = torch.autograd.grad(y, list(exact.values()), cotangents(case, values["u"], last)[0].double())
    right = {"y": y.detach(), "last": last.detach()} | {f"d{k}": g for k, g in zip(exact, gradients, strict=True)}
    assert_close(found, right, 1e-4)  # a memory of 20,000 tokens: rounding adds up, in any order


def test_not_a_number_is_not_hidden(place: Place) -> None:
    """A NaN at token t reaches y from t on, in its row and channel; infinity in delta forgets."""
    _, values = inputs(place, length=9, step="plain", initial_state=False, last_state=False)
    with torch.no_grad():
        u = values["u"].clone()
        u[0, 4, 1] = math.nan
        y = selective_scan(**(values | {"u": u}), implementation=place.implementation)
    assert y[0, :4].isfinite().all()
    assert y[0, 4:, 1].isnan().all()
    assert y[0, :, 0].isfinite().all()
    assert y[1].isfinite().all()
