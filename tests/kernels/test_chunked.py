"""The scan in PyTorch operations, cut in every way, in float64 against the definition."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from scan_cases import OPTIONS, Case, boundaries, check, errors, make, results
from torch import Tensor

from seqscale.kernels import chunked, selective_scan
from seqscale.kernels.chunked import Plan

CUTS = {
    "own": None,  # what `plan` chooses
    "one-token": Plan(1, 1),
    "segments": Plan(4, 1),
    "two-lanes": Plan(4, 2),
    "lanes-of-one-step": Plan(1, 5),
    "many-lanes": Plan(3, 4),
    "longer-than-all": Plan(8, 16),
}


@pytest.fixture(params=CUTS.values(), ids=CUTS.keys())
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut sequences as a GPU or a small cache would, whatever the device."""
    if request.param is not None:
        monkeypatch.setattr("seqscale.kernels.chunked.plan", lambda *_: request.param)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("length", [1, 2, 7, 12, 13, 24, 25, 40])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_the_definition(length: int, options: dict[str, Any]) -> None:
    case = replace(Case("float64", 3, length), **(options | {"mixed": False, "width": "narrow"}))
    check(case, make(case), "chunked")


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
def test_equals_the_definition_on_its_device(packed: bool, device: torch.device) -> None:
    case = replace(Case("float64", 3, 29), **(OPTIONS["all"] | {"mixed": False, "packed": packed}))
    check(case, make(case, device), "chunked")


@pytest.mark.parametrize(("length", "d_state", "packed"), [(997, 4, False), (997, 4, True), (4096, 1, False)])
def test_long_sequences_in_float64(length: int, d_state: int, packed: bool) -> None:
    """What the other implementations are held to where the definition would take too long."""
    case = replace(Case("float64", d_state, length, packed=packed), **(OPTIONS["mamba"] | {"width": "narrow"}))
    values = make(case)
    found, right = results(case, values, "chunked"), results(case, values, "reference")
    assert max(max(e) for e in errors(found, right).values()) < 1e-12


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("length", [1, 5, 11])
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
def test_gradients_against_finite_differences(length: int, packed: bool) -> None:
    """Of y and of the last state, for all nine inputs at once."""
    case = Case("float64", 2, length, step="both", D=True, z=True, initial_state=True, packed=packed, groups=2, rows=2)
    values = make(case)
    free = {k: v for k, v in values.items() if isinstance(v, Tensor) and v.requires_grad}
    assert len(free) == 9

    def both(*v: Tensor) -> Any:
        return selective_scan(**(values | dict(zip(free, v, strict=True))), return_last_state=True)

    assert torch.autograd.gradcheck(both, list(free.values()), fast_mode=length > 1)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("which", ["y", "last", "both"])
def test_a_gradient_may_come_in_through_either_result(which: str) -> None:
    values = make(Case("float64", 3, 29, initial_state=True))
    free = [v for v in values.values() if isinstance(v, Tensor)]
    gradients = []
    for implementation in ("chunked", "reference"):
        y, last = selective_scan(**values, return_last_state=True, implementation=implementation)
        loss = sum(t.sin().sum() for t in {"y": [y], "last": [last], "both": [y, last]}[which])
        found = torch.autograd.grad(loss, free, allow_unused=True)
        gradients.append([torch.zeros_like(t) if g is None else g for t, g in zip(free, found, strict=True)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


@pytest.mark.usefixtures("cut")
def test_strong_and_absent_decay(device: torch.device) -> None:
    """delta A of -2000 forgets all (exp underflows to 0), of 0 keeps all; neither makes a NaN, forward or backward."""
    case = Case("float64", 4, 40, initial_state=True, last_state=True)
    values = make(case, device)
    with torch.no_grad():
        values["delta"][:, ::3] = 2000.0
        values["delta"][:, 1::3] = 0.0
    found, right = results(case, values, "chunked"), results(case, values, "reference")
    assert max(max(e) for e in errors(found, right).values()) < 1e-12


def test_plan_covers_and_respects_the_budget() -> None:
    for device, (batch, length, d_inner, d_state) in [
        ("cpu", (16, 128, 128, 16)),
        ("cpu", (64, 10, 2048, 64)),
        ("cuda", (16, 128, 128, 16)),
        ("cuda", (1, 5, 2, 2)),
        ("cuda", (1, 100_000, 256, 16)),
    ]:
        cut = chunked.plan(batch, length, d_inner, d_state, device)
        assert 1 <= cut.segment <= length
        assert cut.segment == 1 or cut.segment * batch * d_inner * d_state <= chunked._SEGMENT_ELEMENTS[device]
        assert device == "cuda" or cut.lanes == 1


def test_only_segment_starts_are_kept_for_the_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory grows by one state per segment, not per token; without a backward nothing is kept."""
    monkeypatch.setattr("seqscale.kernels.chunked.plan", lambda *_: Plan(25, 1))
    values = {k: v for k, v in make(Case("float32", 4, 100)).items() if isinstance(v, Tensor)}
    arguments = (*(values[k].detach() for k in ("u", "delta", "A", "B", "C")), None, None, None, None, None, False)
    _, _, saved = torch.ops.seqscale.selective_scan(*arguments, True, "chunked")
    assert saved.shape == (4, 3, 4, 4)
    _, _, saved = torch.ops.seqscale.selective_scan(*arguments, False, "chunked")
    assert saved.shape == (0,)


def test_packed_segments_fit_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqscale.kernels.chunked.plan", lambda *_: Plan(4, 1))
    slots, *state = chunked.saved_shape(1, 21, 3, 2, 5, True, "cpu")
    assert (slots, state) == (21 // 4 + 5, [1, 3, 2])
    assert max(piece.slot for piece in chunked._segments(Plan(4, 1), 1, 21, boundaries(21))) < slots
