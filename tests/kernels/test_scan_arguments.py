"""What the scan takes: any mixture of dtypes; and what it refuses, in words."""

from typing import Any

import pytest
import torch
from kernel_places import Place
from scan_cases import GRADIENTS, Case, cotangents, errors, make, results

from seqscale.kernels import selective_scan, selective_scan_reference

ALL = {"step": "both", "D": True, "z": True, "initial_state": True, "last_state": True}


# --- dtypes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("low", ["u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state", "all"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_any_mixture_of_dtypes(low: str, dtype: torch.dtype, place: Place) -> None:
    """The result has u's dtype, the state float32, each gradient its tensor's; values as from the rounded inputs."""
    case = Case("float32", 2, 3 if place.interpreted else 9, rows=2, **ALL)
    values = make(case, place.device)
    for name in GRADIENTS if low == "all" else (low,):
        values[name] = values[name].detach().to(dtype).requires_grad_()
    found = results(case, values, place.implementation)
    assert found["y"].dtype == values["u"].dtype
    assert found["last"].dtype == (torch.float64 if place.implementation == "reference" else torch.float32)
    exact = {k: v.detach().double().requires_grad_() if k in GRADIENTS else v for k, v in values.items()}
    y, last = selective_scan_reference(**exact)
    dy, dlast = cotangents(case, values["u"], found["last"].float())
    names = [name for name in GRADIENTS if name in values]
    gradients = torch.autograd.grad([y, last], [exact[n] for n in names], [dy.double(), dlast.double()])
    right = {"y": y.detach(), "last": last.detach()} | {f"d{k}": g for k, g in zip(names, gradients, strict=True)}
    for name, gradient in found.items():
        assert name in ("y", "last") or gradient.dtype == values[name[1:]].dtype, name
    off = errors(found, right)
    assert max(off.pop("last")) < 2e-6, "the state must not be rounded"
    assert max(max(error) for error in off.values()) < (2e-2 if dtype == torch.bfloat16 else 3e-3), off


# --- refusals ---------------------------------------------------------------------------------------------------------


def refused(**change: Any) -> None:
    case = Case("float64", 4, 13, step="bias", D=True, z=True, initial_state=True, rows=2)
    selective_scan(**{**make(case), **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"delta": torch.zeros(2, 12, 4)}, r"u and delta must both be .*\(2, 13, 4\) and \(2, 12, 4\)"),
        ({"u": torch.zeros(13, 4)}, r"u and delta must both be"),
        ({"A": torch.zeros(5, 4)}, r"A must be \(d_inner, d_state\) with d_inner = 4; got \(5, 4\)"),
        ({"A": torch.zeros(4)}, r"A must be"),
        ({"A": torch.zeros(4, 4, dtype=torch.complex64)}, r"A is torch.complex64; allowed: float32, .*real"),
        ({"B": torch.zeros(2, 13, 5)}, r"B must be .* = \(2, 13, 4\).* multiple of groups; got \(2, 13, 5\)"),
        ({"C": torch.zeros(1, 13, 4)}, r"C must be"),
        ({"C": torch.zeros(2, 13, 3, 4)}, r"C must be .* got \(2, 13, 3, 4\)"),
        ({"C": torch.zeros(2, 13, 2, 4)}, r"B and C must have the same groups; got \(2, 13, 4\) and \(2, 13, 2, 4\)"),
        ({"D": torch.zeros(3)}, r"D must be \(d_inner,\) = \(4,\); got \(3,\)"),
        ({"z": torch.zeros(2, 13, 1)}, r"z must be shaped like u, \(2, 13, 4\); got \(2, 13, 1\)"),
        ({"delta_bias": torch.zeros(4, 1)}, r"delta_bias must be"),
        ({"initial_state": torch.zeros(4, 4)}, r"initial_state must be .* = \(2, 4, 4\); got \(4, 4\)"),
        ({"D": torch.zeros(4, dtype=torch.int64)}, r"D is torch.int64"),
        ({"D": torch.zeros(4, device="meta")}, r"one device; u is on cpu and D on meta"),
        ({"cu_seqlens": torch.tensor([0, 13])}, "batch must be 1; got 2"),
        (
            {"implementation": "triton2"},
            r"unknown implementation 'triton2' of selective_scan; choose from auto, triton",
        ),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_wrong_arguments_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refused(**change)


def test_wrong_packing_is_refused() -> None:
    values = make(Case("float64", 5, 37, packed=True, initial_state=True))
    for implementation in ("chunked", "reference"):
        wrong = values | {"cu_seqlens": torch.tensor([0, 0, 1, 13, 36, 36]), "implementation": implementation}
        with pytest.raises(ValueError, match="must end with the length of the packed row, 37; got 36"):
            selective_scan(**wrong)
    with pytest.raises(ValueError, match=r"initial_state must be \(sequences, d_inner, d_state\) = \(2, 4, 5\)"):
        selective_scan(**(values | {"cu_seqlens": torch.tensor([0, 1, 37])}))
