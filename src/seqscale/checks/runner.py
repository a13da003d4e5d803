"""All checks of a mixer in one go, each with its outcome in words."""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from seqscale.checks import contract, costs, numerics, sequence
from seqscale.checks.case import Case, CheckFailed
from seqscale.mixers import Mixer, face, get

ROUND, ODD = (16, 32, 64, 128), (7,)  # widths to try a mixer at


@dataclass(frozen=True)
class Check:
    """A duty: its name, what it means, and the calls that try it."""

    name: str
    meaning: str
    calls: tuple[Callable[[Case], None], ...]


@dataclass(frozen=True)
class Outcome:
    """What came of one check of one case. `message` is empty where `ok`."""

    check: str
    meaning: str
    case: str
    ok: bool
    message: str
    seconds: float


def _with(function: Callable[..., None], *settings: dict[str, Any]) -> tuple[Callable[[Case], None], ...]:
    return tuple(lambda case, setting=setting: function(case, **setting) for setting in settings)  # type: ignore[misc]


CHECKS = (
    Check("contract", "options, marks and the state have the form that is owed",
          (contract.options, contract.state_form, contract.marks)),
    Check("pieces", "forward(x, state) in pieces equals forward(x)",
          _with(sequence.in_pieces, *({"cuts": c, "length_max": m, "gradients": g}
                                      for c, m in sequence.PIECES for g in (True, False)))),
    Check("steps", "step() token by token equals forward(x)",
          _with(sequence.step_by_step, *({"prompt": p, "length_max": m} for p in (0, 1, 6) for m in (1, 11)))),
    Check("lengths", "any length, 1 and odd ones included",
          _with(sequence.any_length, *({"length": n} for n in (1, 2, 3, 17)))),
    Check("causality", "a change at t moves nothing before t",
          _with(sequence.causal, *({"t": t} for t in (0, 1, 6, 10)))),
    Check("rows", "rows of a batch do not meet", (sequence.rows_apart,)),
    Check("determinism", "same seed, same bits", (sequence.same_bits,)),
    Check("gradients", "gradients equal finite differences, through the state too",
          _with(numerics.gradients, {"pieces": False}, {"pieces": True})),
    Check("parameters", "every parameter gets a gradient", (numerics.every_parameter_matters,)),
    Check("float32", "float32 is close to float64", (numerics.float32_is_close,)),
    Check("bfloat16", "bfloat16 autocast is close to float32, three ways alike", (numerics.bfloat16_autocast,)),
    Check("state", "state_bytes() is the state's bytes",
          (*_with(costs.state_bytes, *({"length": n, "dtype": d, "steps": s} for n in (1, 8)
                                       for d in (torch.float32, torch.float64) for s in (False, True))),
           costs.state_bytes_bfloat16)),
    Check("flops", "flops() is what PyTorch counts",
          _with(costs.flops, {"batch": 2, "length": 11}, {"batch": 1, "length": 64}, {"batch": 3, "length": 1})),
)  # fmt: skip


def check_mixer(
    mixer: str | type[Mixer],
    d_model: int | None = None,
    options: Mapping[str, Any] | None = None,
    only: str | None = None,
) -> Iterator[Outcome]:
    """Try a mixer, check by check.

    Args:
        mixer: its name, or the class. d_model: one width; None for those of `cases_of`. options: as `mixer_options`.
        only: the name of one check.

    Raises:
        ValueError: no such mixer or check, or options that it refuses at every width.
    """
    if only is not None and only not in (names := [check.name for check in CHECKS]):
        raise ValueError(f"there is no check {only!r}; there are {', '.join(names)}")
    for case in cases_of(mixer, d_model, options or {}):
        for check in CHECKS:
            if only in (None, check.name):
                yield run_check(check, case)


def cases_of(mixer: str | type[Mixer], d_model: int | None, options: Mapping[str, Any]) -> list[Case]:
    """The case of a given width, or one of the least round and one of an odd width (where the mixer takes such a one).

    Raises:
        ValueError: the options have names or types that the mixer does not know, or it refuses the width.
    """
    made = get(mixer) if isinstance(mixer, str) else mixer
    face.refuse_faults(made)
    known = [p.name for p in inspect.signature(made).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if unknown := [key for key in options if key not in known]:
        name = getattr(mixer, "__name__", mixer)
        raise ValueError(f"the mixer {name!r} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    if d_model is not None:
        Case(mixer, d_model, options).make()
        return [Case(mixer, d_model, options)]
    taken = []
    for widths in (ROUND, ODD):
        for width in widths:
            try:
                Case(mixer, width, options).make()
            except ValueError:  # a width that heads do not divide, say
                if width == ROUND[-1]:
                    raise
            else:
                taken.append(Case(mixer, width, options))
                break
    return taken


def run_check(check: Check, case: Case) -> Outcome:
    """One check of one case; whatever the mixer raises is told, not raised."""
    began = time.perf_counter()
    message = ""
    for call in check.calls:
        try:
            call(case)
        except CheckFailed as error:
            message = str(error)
        except Exception as error:  # the mixer's own mistake, of any kind: the user wants to know of it and of the rest
            made = get(case.mixer) if isinstance(case.mixer, str) else case.mixer
            message = face.told(error, face.place(made), face.source(made))
        if message:
            break
    return Outcome(check.name, check.meaning, str(case), not message, message, time.perf_counter() - began)
