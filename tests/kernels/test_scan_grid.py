"""Every implementation of the scan against float64: dtypes, sizes and options, y, last state and every gradient.

Tolerances stand in `scan_cases.TOLERANCE`: float32 2e-6, bfloat16 1e-2, float16 2e-3, of the whole tensor and of its
worst element. Where all combinations are too many, a list that holds every pair of values of every two factors is run.
"""

import itertools
from functools import lru_cache

import pytest
from kernel_places import Place, places
from scan_cases import FACTORS, OPTIONS, Case, check, covering, make, product, truth
from torch import Tensor

# Triton's interpreter makes one NumPy call for each operation of each program: small sizes, and three larger ones. 32
# tokens are the shortest chunk, 32 channels a block, and states are padded to a power of two.
SMALL = FACTORS | {"d_state": (1, 3), "length": (1, 5, 33), "groups": (0, 2), "rows": (1,), "width": ("narrow",)}
LARGER = [
    Case("float32", 17, 3, **(OPTIONS["all"] | {"mixed": False, "groups": 2, "rows": 1})),
    Case("bfloat16", 2, 35, **(OPTIONS["mamba"] | {"rows": 1})),
    Case("float32", 2, 70, **OPTIONS["all-packed"]),
]
SIZES = list(itertools.product(FACTORS["dtype"], FACTORS["d_state"]))
SIZE_IDS = [f"{dtype}-N{d_state}" for dtype, d_state in SIZES]


@lru_cache(maxsize=512)
def right(case: Case, device: str) -> dict[str, Tensor]:
    """`truth`, once for all implementations of a device."""
    return truth(case, make(case, device))


@pytest.mark.parametrize("place", places("cpu", "chunked", "triton", "chunked-cuda"), indirect=True)
@pytest.mark.parametrize("case", covering(FACTORS), ids=str)
def test_every_pair_of_options(case: Case, place: Place) -> None:
    check(case, make(case, place.device), place.implementation, right(case, place.device))


@pytest.mark.parametrize("place", places("triton-interpreter"), indirect=True)
@pytest.mark.parametrize("case", [*covering(SMALL), *LARGER], ids=str)
def test_every_pair_of_options_in_the_interpreter(case: Case, place: Place) -> None:
    # the interpreter rounds to bfloat16 by cutting off: twice the error of a GPU
    check(case, make(case, place.device), place.implementation, right(case, place.device), slack=2)


@pytest.mark.parametrize("place", places("cpu", "chunked", "triton"), indirect=True)
@pytest.mark.parametrize(("dtype", "d_state"), SIZES, ids=SIZE_IDS)
def test_every_size(dtype: str, d_state: int, place: Place) -> None:
    """Every dtype, d_state and length; of the sets of options one for each (on a GPU three), taking turns."""
    start = SIZES.index((dtype, d_state))
    for i, length in enumerate(FACTORS["length"]):
        for j in range(3 if place.device == "cuda" else 1):
            options = list(OPTIONS.values())[(5 * start + i + 4 * j) % len(OPTIONS)]
            case = Case(**{"dtype": dtype, "d_state": d_state, "length": length, **options})
            check(case, make(case, place.device), place.implementation, right(case, place.device))


@pytest.mark.slow
@pytest.mark.parametrize("place", places("triton"), indirect=True)
@pytest.mark.parametrize(("dtype", "d_state"), SIZES, ids=SIZE_IDS)
def test_every_size_with_every_set_of_options(dtype: str, d_state: int, place: Place) -> None:
    """The whole product, 1512 combinations; on a GPU, where it is quick. All failures are told together."""
    off = []
    for case in product():
        if (case.dtype, case.d_state) == (dtype, d_state):
            try:
                check(case, make(case, place.device), place.implementation, right(case, place.device))
            except AssertionError as error:
                off.append(str(error))
    assert not off, f"{len(off)} of {len(product()) // len(SIZES)} combinations:\n" + "\n".join(off)


@pytest.mark.parametrize("place", places("reference", "chunked"), indirect=True)
@pytest.mark.parametrize(
    "case", covering(FACTORS | {"dtype": ("float64",), "length": (1, 2, 65), "mixed": (False,)}), ids=str
)
def test_float64(case: Case, place: Place) -> None:
    check(case, make(case), place.implementation)


def test_the_list_of_cases_holds_every_pair() -> None:
    cases = covering(FACTORS)
    for a, b in itertools.combinations(FACTORS, 2):
        found = {(getattr(case, a), getattr(case, b)) for case in cases}
        assert found == set(itertools.product(FACTORS[a], FACTORS[b])), (a, b)
    assert len(product()) == len(set(product())) == 3 * 6 * 7 * len(OPTIONS)
