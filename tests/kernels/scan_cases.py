"""Inputs for the scan's tests, how results are compared, and which combinations of options are tried."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from seqscale.kernels import selective_scan, selective_scan_reference

F64 = torch.float64
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": F64}

# Relative error of a whole tensor, |found - right| / |right| in the Euclidean norm, against float64 from the same
# (rounded) inputs. Rounding of the result alone is worth about 2e-8, 2e-3, 2e-4 and 5e-17.
TOLERANCE = {"float32": 2e-6, "bfloat16": 1e-2, "float16": 2e-3, "float64": 1e-13}
# The worst element's error, relative to the largest element, is held to the same number.

GRADIENTS = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")


@dataclass(frozen=True)
class Case:
    """One combination. The first value of each list in `FACTORS` is the plain one."""

    dtype: str = "float32"
    d_state: int = 16
    length: int = 64
    width: str = "narrow"  # of d_inner: 4, or 72 channels, which no power of two divides beyond 8
    groups: int = 0  # of B and C; 0: (batch, length, d_state)
    step: str = "plain"  # what is done to delta: plain, bias, softplus, both
    D: bool = False
    z: bool = False
    initial_state: bool = False
    last_state: bool = False  # a gradient comes in through it
    packed: bool = False
    layout: str = "plain"  # plain; transposed: (batch, d_inner, length) in memory; sliced: parts of one wide tensor
    mixed: bool = False  # u alone has `dtype`; delta, z in float32; B, C in bfloat16
    rows: int = 3  # batch, where it is not packed or very large

    @property
    def batch(self) -> int:
        return 1 if self.packed or self.length * self.d_state > 2**17 else self.rows

    @property
    def d_inner(self) -> int:
        return 72 if self.width == "wide" and self.length * self.d_state <= 2**16 else 4

    def __str__(self) -> str:
        plain = Case()
        other = {f.name: getattr(self, f.name) for f in fields(self)}
        told = [f"{self.dtype}-N{self.d_state}-L{self.length}"]
        for name, value in other.items():
            if value != getattr(plain, name) and name not in ("dtype", "d_state", "length"):
                told.append(name if value is True else str(value) if isinstance(value, str) else f"{name}{value}")
        return "-".join(told)


FACTORS: dict[str, Sequence[Any]] = {
    "dtype": ("float32", "bfloat16", "float16"),
    "d_state": (1, 4, 16, 17, 64, 256),
    "length": (1, 2, 63, 64, 65, 997, 4096),
    "width": ("narrow", "wide"),
    "groups": (0, 1, 2, 4),
    "step": ("plain", "bias", "softplus", "both"),
    "D": (False, True),
    "z": (False, True),
    "initial_state": (False, True),
    "last_state": (False, True),
    "packed": (False, True),
    "layout": ("plain", "transposed", "sliced"),
    "mixed": (False, True),
}

OPTIONS: dict[str, dict[str, Any]] = {
    "bare": {},
    "D": {"D": True},
    "z": {"z": True},
    "bias": {"step": "bias"},
    "softplus": {"step": "softplus"},
    "states": {"initial_state": True, "last_state": True},
    "groups": {"groups": 2, "width": "wide"},
    "packed": {"packed": True},
    "transposed": {"layout": "transposed"},
    "mamba": {"step": "both", "D": True, "z": True, "width": "wide", "layout": "sliced"},
    "all": {
        "step": "both",
        "D": True,
        "z": True,
        "initial_state": True,
        "last_state": True,
        "groups": 4,
        "mixed": True,
    },
    "all-packed": {"step": "both", "D": True, "z": True, "initial_state": True, "last_state": True, "packed": True},
}


def covering(factors: dict[str, Sequence[Any]], seed: int = 0) -> list[Case]:
    """Cases that hold every pair of values of every two factors (greedy; the same list every time)."""
    names = list(factors)
    missing = {(a, x, b, y) for a, b in itertools.combinations(names, 2) for x in factors[a] for y in factors[b]}
    rng, cases = random.Random(seed), []
    while missing:
        best, gain = None, -1
        a, x, b, y = min(missing, key=str)
        for _ in range(40):
            trial = {name: rng.choice(values) for name, values in factors.items()} | {a: x, b: y}
            found = sum((p, trial[p], q, trial[q]) in missing for p, q in itertools.combinations(names, 2))
            if found > gain:
                best, gain = trial, found
        assert best is not None
        missing -= {(p, best[p], q, best[q]) for p, q in itertools.combinations(names, 2)}
        cases.append(Case(**best))
    return cases


def product() -> list[Case]:
    """Every dtype, d_state, length and set of options."""
    sizes = itertools.product(FACTORS["dtype"], FACTORS["d_state"], FACTORS["length"], OPTIONS.values())
    return [replace(Case(dtype=dtype, d_state=n, length=length), **options) for dtype, n, length, options in sizes]


def boundaries(length: int, device: Any = "cpu") -> Tensor:
    """cu_seqlens that packs `length` tokens: an empty sequence, one of one token, a short and a long one."""
    ends = sorted({0, min(1, length), min(1 + length // 3, length), length})
    return torch.tensor([0, *ends, length], device=device, dtype=torch.int32)


def _laid_out(x: Tensor, layout: str) -> Tensor:
    """The same values, (batch, length, ...), otherwise in memory."""
    if layout == "transposed":
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "sliced":
        return torch.cat([torch.zeros_like(x), x, torch.zeros_like(x)], dim=-1)[..., x.shape[-1] : 2 * x.shape[-1]]
    return x


def make(case: Case, device: Any = "cpu", seed: int = 0) -> dict[str, Any]:
    """Arguments of `selective_scan` for a case, tensors requiring gradients."""
    g = torch.Generator().manual_seed(seed)
    dtype = DTYPES[case.dtype]
    wide = F64 if dtype == F64 else torch.float32
    batch, length, d_inner, d_state = case.batch, case.length, case.d_inner, case.d_state
    cu_seqlens = boundaries(length, device) if case.packed else None
    rows = batch if cu_seqlens is None else cu_seqlens.shape[0] - 1

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=F64)

    # around 1, not 0: a gradient that sums over few tokens or channels then seldom cancels, and a relative error
    # tells how well it was computed
    softplus = case.step in ("softplus", "both")
    delta = normal(batch, length, d_inner)
    vectors = (batch, length, d_state) if case.groups == 0 else (batch, length, case.groups, d_state)
    values = {
        "u": 1 + normal(batch, length, d_inner),
        # about as Mamba has them: a step between 0.01 and 1, a decay of 1 and more per unit
        "delta": delta - 1 if softplus else 0.3 * delta.sigmoid() + 0.01,
        "A": -torch.exp(0.5 * normal(d_inner, d_state)) * torch.linspace(1, 4, d_state, dtype=F64),
        "B": 1 + normal(*vectors),
        "C": 1 + normal(*vectors),
        "D": normal(d_inner) if case.D else None,
        "z": 1 + normal(batch, length, d_inner) if case.z else None,
        "delta_bias": 0.1 * normal(d_inner).abs() if case.step in ("bias", "both") else None,
        "initial_state": normal(rows, d_inner, d_state) if case.initial_state else None,
    }
    kinds = {"A": wide, "D": wide, "delta_bias": wide, "initial_state": wide}
    if case.mixed:
        kinds |= {"delta": wide, "z": wide, "B": torch.bfloat16, "C": torch.bfloat16}
    found: dict[str, Any] = {}
    for name, value in values.items():
        if value is not None:
            value = value.to(kinds.get(name, dtype)).to(device)
            value = _laid_out(value, case.layout) if name in ("u", "delta", "B", "C", "z") else value
            found[name] = value.requires_grad_()
    return found | {"delta_softplus": softplus, "cu_seqlens": cu_seqlens}


def cotangents(case: Case, u: Tensor, last: Tensor, seed: int = 1) -> tuple[Tensor, Tensor | None]:
    """Gradients that come in through y and, where the case says so, the last state."""
    g = torch.Generator().manual_seed(seed)
    dy = (1 + torch.randn(u.shape, generator=g, dtype=F64)).to(u.device, u.dtype)
    if not case.last_state:
        return dy, None
    return dy, (1 + torch.randn(last.shape, generator=g, dtype=F64)).to(last.device, last.dtype)


def results(case: Case, values: dict[str, Any], implementation: str) -> dict[str, Tensor]:
    """y, last and the gradient of every input, by name."""
    y, last = selective_scan(**values, return_last_state=True, implementation=implementation)
    return {"y": y.detach(), "last": last.detach()} | _gradients(case, values, y, last)


def truth(case: Case, values: dict[str, Any]) -> dict[str, Tensor]:
    """The same in float64 from the same inputs: by the definition, or for long sequences by "chunked" in float64.

    tests/kernels/test_chunked.py holds the second to the first.
    """
    exact = {k: v.detach().double().requires_grad_() if k in GRADIENTS else v for k, v in values.items()}
    if case.length <= 65:
        y, last = selective_scan_reference(**exact)
    else:
        y, last = selective_scan(**exact, return_last_state=True, implementation="chunked")
    u = values["u"]
    dy, dlast = cotangents(case, u, last.to(torch.promote_types(u.dtype, torch.float32)))
    return {"y": y.detach(), "last": last.detach()} | _gradients(case, exact, y, last, dy.double(), dlast)


def _gradients(
    case: Case, values: dict[str, Any], y: Tensor, last: Tensor, dy: Tensor | None = None, dlast: Tensor | None = None
) -> dict[str, Tensor]:
    if dy is None:
        dy, dlast = cotangents(case, values["u"], last)
    names = [name for name in GRADIENTS if name in values]
    outputs, into = ([y], [dy]) if dlast is None else ([y, last], [dy, dlast.to(last.dtype)])
    gradients = torch.autograd.grad(outputs, [values[name] for name in names], into)
    return {f"d{name}": gradient for name, gradient in zip(names, gradients, strict=True)}


def errors(found: dict[str, Tensor], right: dict[str, Tensor]) -> dict[str, tuple[float, float]]:
    """By name, the relative error of the whole and that of the worst element (see `TOLERANCE`).

    ddelta_bias, the sum of ddelta over all tokens, is measured by the size of its terms: they may cancel.
    """
    told = {}
    for name, expected in right.items():
        difference = found[name].double() - expected
        measure = right["ddelta"].abs().sum((0, 1)) if name == "ddelta_bias" else expected
        size, largest = measure.norm().clamp(min=1e-30), measure.abs().max().clamp(min=1e-30)
        told[name] = (float(difference.norm() / size), float(difference.abs().max() / largest))
        assert found[name].isfinite().all(), f"{name} is not finite"
    return told


def check(
    case: Case,
    values: dict[str, Any],
    implementation: str,
    right: dict[str, Tensor] | None = None,
    slack: float = 1.0,
) -> None:
    """Assert that an implementation gives a case's values, gradients, shapes and dtypes.

    Raises:
        AssertionError: naming every result that is off, and by how much.
    """
    found, right = results(case, values, implementation), right or truth(case, values)
    for name, tensor in found.items():
        source = values["u"] if name == "y" else values.get(name[1:]) if name != "last" else None
        if source is not None:
            assert tensor.shape == source.shape and tensor.dtype == source.dtype, name
    off = []
    for name, (whole, worst) in errors(found, right).items():
        # a gradient in float32 of activations in bfloat16 may have passed through them; the state never does
        inputs = {values[k].dtype for k in ("u", "delta", "B", "C", "z") if k in values and name != "last"}
        tolerance = max(TOLERANCE[str(d).removeprefix("torch.")] for d in {found[name].dtype, *inputs}) * slack
        if max(whole, worst) > tolerance:
            off.append(
                f"{name}: relative error {whole:.1e}, of the worst element {worst:.1e} (allowed {tolerance:.0e})"
            )
    assert not off, f"{implementation} on {values['u'].device}, {case}:\n" + "\n".join(off)
