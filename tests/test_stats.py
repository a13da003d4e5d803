"""Intervals that hold what they promise, and exponents recovered from curves that have one."""

import math

import numpy as np
import pytest
from scipy import stats as distributions

from seqscale.stats import fit_power_law, mean_interval, paired_difference, paired_ratio, upper_part


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 10])
def test_intervals_cover_the_truth_as_often_as_they_say(n):
    # 1,500 simulated experiments: the standard error of the coverage is 0.6 %, so 93 % is more than three below 95 %.
    generator = np.random.default_rng(n)
    hits = 0
    for _ in range(1500):
        interval = mean_interval(generator.normal(1.8, 0.01, size=n), resamples=2000)
        hits += interval.low <= 1.8 <= interval.high
    assert 0.93 <= hits / 1500 <= 0.98


def test_three_seeds_are_wider_than_their_range():
    # The property that a plain percentile bootstrap cannot have.
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.low < 1.0 and interval.high > 3.0


def test_below_five_values_the_interval_is_scipys_student_t():
    values = [1.81, 1.79, 1.83]
    expected = distributions.t.interval(0.95, 2, loc=np.mean(values), scale=distributions.sem(values))
    interval = mean_interval(values)
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert interval.method == "Student t" and interval.n == 3


def test_from_five_values_the_bootstrap_is_named_and_never_narrower_than_t():
    values = [0.1, 0.2, 0.25, 0.4, 3.0]
    low, high = distributions.t.interval(0.95, 4, loc=np.mean(values), scale=distributions.sem(values))
    interval = mean_interval(values)
    assert "bootstrap" in interval.method
    assert interval.low <= low and interval.high >= high


def test_interval_is_deterministic_and_ignores_the_order_of_the_seeds():
    values = [1.0, 4.0, 2.0, 8.0, 5.0, 7.0]
    first, second = mean_interval(values), mean_interval(values[::-1])
    assert (first.low, first.high) == pytest.approx((second.low, second.high), rel=1e-15)
    assert mean_interval(values) == first


def test_one_value_has_no_interval():
    interval = mean_interval([2.5])
    assert interval.estimate == 2.5 and not interval.bounded and "no interval" in interval.method


def test_equal_values_have_an_interval_of_width_zero():
    interval = mean_interval([0.1] * 7)
    assert (interval.low, interval.estimate, interval.high) == (0.1, 0.1, 0.1)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf, 2.0], [1.0, None]])
def test_missing_and_non_finite_values_are_refused(values):
    with pytest.raises(ValueError, match=r"at least one|never dropped silently"):
        mean_interval(values)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(ValueError, match="probability"):
        mean_interval([1.0, 2.0], level)


def test_pairing_removes_what_the_seeds_share():
    shared = {1: 5.0, 2: 9.0, 3: 1.0}
    a = {seed: value + 0.5 for seed, value in shared.items()}
    interval = paired_difference(a, shared)
    assert (interval.low, interval.high) == pytest.approx((0.5, 0.5))


def test_pairing_is_by_seed_and_uses_only_shared_seeds():
    interval = paired_difference({3: 30.0, 1: 10.0, 2: 21.0}, {1: 1.0, 2: 2.0, 4: 99.0})
    assert interval.estimate == pytest.approx((9.0 + 19.0) / 2) and interval.n == 2


def test_no_shared_seed_is_refused():
    with pytest.raises(ValueError, match="No seed in common"):
        paired_difference({1: 1.0}, {2: 1.0})


def test_ratio_is_exact_and_its_inverse_tells_the_same():
    a, b = {1: 2.0, 2: 4.4, 3: 8.0}, {1: 1.0, 2: 2.0, 3: 4.0}
    forth, back = paired_ratio(a, b), paired_ratio(b, a)
    assert forth.estimate == pytest.approx(1 / back.estimate)
    assert forth.low == pytest.approx(1 / back.high)


def test_ratio_of_something_not_positive_is_refused():
    with pytest.raises(ValueError, match="positive"):
        paired_ratio({1: 1.0}, {1: 0.0})


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0, -1.0])
def test_an_exact_power_law_is_recovered_with_width_zero(exponent):
    lengths = np.array([64, 128, 256, 512])
    fit = fit_power_law(lengths, 3.0 * lengths.astype(float) ** exponent)
    assert fit.exponent == pytest.approx(exponent, abs=1e-12)
    assert (fit.low, fit.high) == pytest.approx((exponent, exponent), abs=1e-6)
    assert fit.coefficient == pytest.approx(3.0) and fit.r2 == pytest.approx(1.0)
    assert not fit.still_rising and not fit.still_falling


def test_fit_agrees_with_scipys_regression():
    generator = np.random.default_rng(3)
    x = np.array([128.0, 256, 512, 1024, 2048, 4096])
    y = x**1.3 * np.exp(generator.normal(0, 0.1, 6))
    fit, line = fit_power_law(x, y), distributions.linregress(np.log(x), np.log(y))
    half = distributions.t.ppf(0.975, 4) * line.stderr
    assert (fit.exponent, fit.low, fit.high) == pytest.approx((line.slope, line.slope - half, line.slope + half))
    assert fit.r2 == pytest.approx(line.rvalue**2)


def test_exponent_interval_covers_the_truth():
    generator = np.random.default_rng(5)
    x = np.array([128.0, 256, 512, 1024])
    hits = 0
    for _ in range(1500):
        fit = fit_power_law(x, x**2 * np.exp(generator.normal(0, 0.05, 4)))
        hits += fit.low <= 2.0 <= fit.high
    assert 0.93 <= hits / 1500 <= 0.97


def test_overhead_hides_the_exponent_and_the_fit_says_that_it_still_rises():
    x = np.array([128.0, 256, 512, 1024, 2048, 4096])
    y = 1e6 + x**2
    whole, upper = fit_power_law(x, y), fit_power_law(x, y, min_length=upper_part(x))
    assert whole.exponent < upper.exponent < 2.0
    assert upper.length_min == 512 and upper.length_max == 4096 and upper.points == 4
    assert upper.still_rising and upper.local_last > upper.local_first


@pytest.mark.parametrize(
    ("lengths", "start"), [([128, 256, 512, 1024, 2048, 4096], 512), ([128, 512, 2048], 128), ([1, 2], 1), ([7], 7)]
)
def test_upper_part_keeps_three_octaves_but_at_least_three_points(lengths, start):
    assert upper_part(lengths) == start


@pytest.mark.parametrize(
    ("lengths", "values", "match"),
    [
        ([1, 2], [1, 2], "at least 3 lengths"),
        ([1, 2, 4], [1, 0, 2], "positive"),
        ([1, 2, 2], [1, 3, 2], "twice"),
        ([1, 2, 4], [1, 2], "3 lengths but 2 values"),
        ([1, 2, 4], [1, math.nan, 2], "never dropped silently"),
    ],
)
def test_curves_that_bear_no_exponent_are_refused(lengths, values, match):
    with pytest.raises(ValueError, match=match):
        fit_power_law(lengths, values)
