"""A kernel that does arithmetic and nothing else, for the ceilings of a GPU."""

import triton
import triton.language as tl


@triton.jit
def chains_kernel(
    out, start, rounds, CHAINS: tl.constexpr, LANES: tl.constexpr, EXP: tl.constexpr, UNROLL: tl.constexpr
):
    """CHAINS * LANES independent chains of rounds * UNROLL exponentials (EXP) or multiply-adds; one store."""
    x = tl.arange(0, CHAINS * LANES).to(tl.float32) * 1e-3
    for _ in range(rounds):
        for _ in tl.static_range(UNROLL):  # so that the loop's own instructions do not count
            if EXP:  # noqa: SIM108 (one of the two is compiled)
                x = tl.exp2(-x)
            else:
                x = x * start + 0.25
    tl.store(out + tl.program_id(0) * CHAINS * LANES + tl.arange(0, CHAINS * LANES), x)
