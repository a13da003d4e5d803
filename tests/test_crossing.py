"""Where two cost curves cross: the place, and that a rerun's crossing lies in the interval as often as it says."""

import math

import numpy as np
import pytest

from seqscale.stats.crossing import Curve, crossing, last_above, log_ratio

LENGTHS = np.array([64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536], float)
COMMON, OWN = 0.03, 0.03  # relative spread between processes: of a whole curve, of each of its points
BETWEEN = math.hypot(COMMON, OWN)
REPEATS, WITHIN = 20, 0.05

# (Mamba, attention): overhead + a L + b L^2, in microseconds
SHAPES = {
    "steep": ((0.0, 1.0, 0.0), (0.0, 0.0, 1e-3)),
    "flat, then steep": ((900.0, 0.3, 0.0), (600.0, 0.1, 2e-5)),
    "hardly apart": ((1000.0, 0.05, 0.0), (990.0, 0.05, 1e-7)),
    "at the end of the range": ((100.0, 1.0, 0.0), (90.0, 0.2, 1.3e-5)),
    "never within the range": ((100.0, 1.0, 0.0), (90.0, 0.2, 8e-6)),
    "always": ((100.0, 0.1, 0.0), (108.0, 0.2, 1e-5)),
}


def true(shape: tuple[float, float, float]) -> np.ndarray:
    overhead, linear, quadratic = shape
    return overhead + linear * LENGTHS + quadratic * LENGTHS**2


def measured(times: np.ndarray, rng: np.random.Generator, between: float = 1.0) -> Curve:
    """One run: a process with its own speed, points with theirs, repeats that scatter around."""
    moved = times * np.exp(between * (rng.normal(0, COMMON) + rng.normal(0, OWN, times.size)))
    repeats = moved * np.exp(rng.normal(0, WITHIN, (REPEATS, times.size)))
    p20, p50, p80 = np.percentile(repeats, [20, 50, 80], axis=0)
    return Curve(p50, p20, p80, np.full(times.size, float(REPEATS)))


def coverage(name: str, allowed: float, runs: int = 600) -> float:
    """The share of reruns whose crossing lies in the interval of a first run."""
    rng = np.random.default_rng(7)
    mamba, attention = (true(shape) for shape in SHAPES[name])
    inside = 0
    for _ in range(runs):
        first = crossing(LENGTHS, measured(mamba, rng), measured(attention, rng), allowed)
        again = last_above(LENGTHS, log_ratio(measured(mamba, rng), measured(attention, rng)))
        inside += first.low <= again <= first.high
    return inside / runs


@pytest.mark.parametrize("name", SHAPES)
def test_a_rerun_crosses_within_the_interval(name: str) -> None:
    assert coverage(name, BETWEEN) >= 0.95


def test_the_spread_of_repeats_alone_would_not_do() -> None:
    assert coverage("steep", 0.0) < 0.8


def test_the_interval_is_no_wider_than_it_must_be() -> None:
    """Curves whose ratio falls as 1/L: the crossing moves as the ratio does, some 3 of its standard deviations."""
    rng = np.random.default_rng(3)
    mamba, attention = (true(shape) for shape in SHAPES["steep"])
    widths = []
    for _ in range(50):
        at = crossing(LENGTHS, measured(mamba, rng), measured(attention, rng), BETWEEN)
        widths.append(math.log(at.high / at.low))
    assert np.median(widths) < 2 * 3 * 2 * math.hypot(BETWEEN, WITHIN / 2)


def exact(values: list[float]) -> Curve:
    known = np.array(values, float)
    return Curve(known, known, known, np.ones(known.size))


def test_counts_cross_at_a_point() -> None:
    x = LENGTHS[:6]
    at = crossing(x, exact(list(1e-4 * x)), exact(list(3e-7 * x**2)), 0.0)
    assert at.length == pytest.approx(1e-4 / 3e-7, rel=1e-9)
    assert at.low == at.high == at.length


def test_ends_of_the_range_are_zero_and_infinity() -> None:
    x = LENGTHS[:3]
    assert crossing(x, exact([1, 1, 1]), exact([2, 2, 2]), 0.0).length == 0.0
    assert crossing(x, exact([2, 2, 2]), exact([1, 1, 1]), 0.0).length == math.inf
    near = crossing(x, exact([1.0, 1.0, 1.0]), Curve(*(np.array([1.01] * 3) * k for k in (1, 0.99, 1.01)),
                    np.full(3, 9.0)), 0.05)  # fmt: skip
    assert (near.length, near.low, near.high) == (0.0, 0.0, math.inf)


def test_the_last_time_above_counts() -> None:
    assert last_above([1, 2, 4, 8], np.log([2.0, 0.5, 2.0, 0.5])) == pytest.approx(4 * 2**0.5)
    assert last_above([1, 2, 4, 8], np.log([2.0, 0.5, 2.0, 2.0])) == math.inf
    assert last_above([], []) == 0.0


def test_a_larger_ratio_never_crosses_earlier() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        low = rng.normal(0, 1, LENGTHS.size)
        high = low + rng.uniform(0, 1, LENGTHS.size)
        assert last_above(LENGTHS, low) <= last_above(LENGTHS, high)
