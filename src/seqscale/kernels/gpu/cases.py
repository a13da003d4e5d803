"""What a compiler is asked to build of a kernel where there is no GPU: the tests' list of cases.

Every module of this folder that has kernels has a function `compile_cases() -> list[Case]`: enough cases to see each
kernel in the forms that matter (dtypes, options, sizes). tests/kernels/test_compile.py finds them, compiles them for
NVIDIA and AMD targets and holds the NVIDIA ones to their limits.
"""

import importlib
import pkgutil
from typing import Any, NamedTuple

TARGETS = ("sm_80", "sm_90", "gfx942")


class Case(NamedTuple):
    """One kernel with the types and constants of one call.

    Attributes:
        name: unique in the module.
        kernel: the `triton.jit` function.
        signature: type by argument name, as Triton spells it: "*bf16", "*fp32", "i32"; ":16" behind it where the
            pointer or number is a multiple of 16. Arguments left out here must be in `constants`.
        constants: value by name, for constexpr arguments and for those that are None.
        num_warps: warps per program.
        registers: the most registers per thread that sm_80 and sm_90 may need.
        spilled: the most bytes of local memory per thread (0: nothing may spill).
        targets: those that it is compiled for; a slow case may leave some to its neighbours.
    """

    name: str
    kernel: Any
    signature: dict[str, str]
    constants: dict[str, Any]
    num_warps: int
    registers: int = 255
    spilled: int = 0
    targets: tuple[str, ...] = TARGETS


def aligned(kernel: Any, types: dict[str, str], constants: dict[str, Any], odd: tuple[str, ...] = ()) -> dict[str, str]:
    """A signature: `types` by name, every other argument "i32"; all multiples of 16 but for those named `odd`."""
    signature = {name: types.get(name, "i32") for name in kernel.arg_names if name not in constants}
    return {name: kind if name in odd else f"{kind}:16" for name, kind in signature.items()}


def all_cases() -> list[tuple[str, Case]]:
    """(module, case) for every module of this folder."""
    found = []
    package = importlib.import_module(__package__)
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        cases = getattr(importlib.import_module(f"{__package__}.{module}"), "compile_cases", None)
        found += [(module, case) for case in cases()] if cases else []
    return found
