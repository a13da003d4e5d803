"""The scan's kernels as they run, for tests/kernels/test_compile.py: dtypes, options, sizes of the state."""

from typing import Any

from seqscale.kernels.gpu import scan
from seqscale.kernels.gpu.cases import Case, aligned
from seqscale.kernels.gpu.scan_carry import carry_kernel
from seqscale.kernels.gpu.scan_gradient import gradient_kernel
from seqscale.kernels.gpu.scan_plan import BLOCK, KEEP_EVERY
from seqscale.kernels.gpu.scan_recompute import recompute_kernel
from seqscale.kernels.gpu.scan_reduce import reduce_kernel
from seqscale.kernels.gpu.scan_walk import walk_kernel

_ROWS = ("u", "delta", "z", "dout", "dy", "out", "dz", "gated", "du", "ddelta")
_WIDE = (
    "A", "B", "C", "D", "bias", "initial", "states", "ends", "sums", "last", "own", "enter", "entering", "leaving",
    "steps", "kept", "dA", "dD", "dbias", "dB", "dC", "part_B", "part_C", "part_A", "part_D", "part_bias",
)  # fmt: skip
_ODD = ("zero", "length", "chunks", "slots", "groups", "blocks_per_group", "rows", "blocks")


def _case(
    name: str, kernel: Any, constants: dict[str, Any], absent: tuple[str, ...], dtype: str, **limits: Any
) -> Case:
    types = dict.fromkeys(_ROWS, f"*{dtype}") | dict.fromkeys(_WIDE, "*fp32")
    types |= {"table": "*i64", "first_slot": "*i64", "per_block": "i64"}
    constants = constants | dict.fromkeys(absent)
    return Case(name, kernel, aligned(kernel, types, constants, _ODD), constants, **limits)


def compile_cases() -> list[Case]:
    """Every kernel at d_state 16 in bfloat16; packed, masked, wide or float32 for some. Each on every target once."""
    cases = []
    for name, dtype, NB, exact, packed, targets in (
        ("bf16", "bf16", 16, True, False, ("sm_90",)),
        ("fp32-packed", "fp32", 16, False, True, ("sm_90", "gfx942")),
        ("bf16-state64", "bf16", 64, True, False, ("sm_80",)),
    ):
        warps = max(1, NB // 16)
        common = {"NB": NB, "BD": BLOCK, "SOFTPLUS": True, "EXACT": exact, "PACKED": packed, "PREFETCH": False}
        table = () if packed else ("table",)
        walk = common | {"T": scan.WALK_ROWS, "SAVE": False}
        y = ("initial", "ends", "sums", *table)
        summary = ("C", "z", "D", "out", "initial", "states", "last", *table)
        limits = {"num_warps": warps, "targets": targets}
        few = limits | {"registers": 168}
        chunk = walk | {"WHOLE": False}
        cases += [
            _case(f"walk-y-{name}", walk_kernel, chunk | {"WRITE_Y": True}, y, dtype, **few),
            _case(f"walk-summary-{name}", walk_kernel, chunk | {"WRITE_Y": False}, summary, dtype, **few),
            _case(f"recompute-{name}", recompute_kernel,
                  common | {"T": scan.RECOMPUTE_ROWS, "CK": KEEP_EVERY, "KB": BLOCK}, table, dtype, spilled=512,
                  **limits),
            _case(f"gradient-{name}", gradient_kernel,
                  {k: v for k, v in common.items() if k != "PREFETCH"} | {"CK": KEEP_EVERY}, table, dtype, spilled=1024,
                  **limits),
        ]  # fmt: skip
    walk = {
        "NB": 16, "BD": BLOCK, "SOFTPLUS": True, "EXACT": True, "PACKED": False, "PREFETCH": False, "T": scan.WALK_ROWS,
        "SAVE": True, "WHOLE": True, "WRITE_Y": True,
    }  # fmt: skip
    cases.append(_case("walk-whole", walk_kernel, walk, ("ends", "sums", "table"), "bf16", num_warps=1, registers=168))
    one = {"num_warps": 1}
    four = {"num_warps": 4, "registers": 168}
    carry = {"BE": 64, "AHEAD": 16, "PACKED": False}
    cases += [
        _case("carry", carry_kernel, carry | {"REVERSE": False}, ("first_slot", "leaving"), "bf16", **one),
        _case("carry-reverse", carry_kernel, carry | {"REVERSE": True}, ("first_slot",), "bf16", **one),
        _case("reduce", reduce_kernel, {"BE": 512, "BS": 128, "BD": BLOCK}, (), "bf16", **four),
    ]  # fmt: skip
    return cases
