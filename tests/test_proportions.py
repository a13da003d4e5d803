"""Intervals for shares against SciPy, by simulation, and at the ends."""

import numpy as np
import pytest
from scipy import stats as distributions

from seqscale.stats.proportions import as_share, crossed_interval, share_interval, wilson_interval


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (3, 5), (5, 5), (80, 100), (2300, 2762)])
def test_wilson_is_scipys(hits: int, count: int) -> None:
    ours = wilson_interval(hits, count)
    theirs = distributions.binomtest(hits, count).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert ours.estimate == hits / count


@pytest.mark.parametrize(("hits", "count"), [(0, 0), (6, 5), (-1, 5)])
def test_no_share(hits: int, count: int) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        wilson_interval(hits, count)


def test_accuracy_over_seeds_holds_the_truth_for_new_seeds_and_new_tests() -> None:
    """Each experiment draws one test set and five models around 0.8; 95 % of the intervals should hold 0.8."""
    draw = np.random.default_rng(0)
    held, seeds_alone = 0, 0
    for _ in range(300):
        test_set = draw.normal(0, np.sqrt(0.16 / 400))  # shared by the five
        found = np.clip(0.8 + test_set + draw.normal(0, 0.01, 5), 0, 1)
        interval = share_interval(found.tolist(), 400)
        assert interval.low is not None
        assert interval.high is not None
        held += interval.low <= 0.8 <= interval.high
        half = distributions.t.ppf(0.975, 4) * found.std(ddof=1) / np.sqrt(5)
        seeds_alone += abs(found.mean() - 0.8) <= half
    assert held >= 0.93 * 300
    assert seeds_alone < 0.75 * 300, "this is why the test set is in it"


def test_one_seed_has_the_interval_of_the_test_set() -> None:
    one, wilson = share_interval([0.75], 80), wilson_interval(60, 80)
    assert (one.low, one.high) == (pytest.approx(wilson.low), pytest.approx(wilson.high))


@pytest.mark.parametrize("examples", [None, 3072])
@pytest.mark.parametrize("shares", [[0.999, 1.0, 0.95], [0.0, 0.02, 0.001], [1.0, 1.0, 0.0], [0.5, 0.51, 0.49]])
def test_no_interval_of_a_share_leaves_the_possible(shares: list[float], examples: int | None) -> None:
    found = share_interval(shares, examples)
    assert found.low is not None
    assert found.high is not None
    assert 0.0 < found.low <= found.estimate <= found.high < 1.0 or set(shares) == {0.0, 1.0}
    assert 0.0 <= found.low < found.high <= 1.0
    middling = share_interval([0.5, 0.51, 0.49])
    assert middling.high == pytest.approx(0.5 + 4.303 * 0.01 / np.sqrt(3), abs=0.001)  # in the middle it is Student's t


def test_shares_over_seeds_hold_the_truth_near_the_end() -> None:
    """Five seeds around 0.97, beta distributed; what is cut off at 1 would hold it less often."""
    draw = np.random.default_rng(3)
    held = sum(
        (found := share_interval(draw.beta(0.97 * 60, 0.03 * 60, 5).tolist())).low <= 0.97 <= found.high  # type: ignore[operator]
        for _ in range(400)
    )
    assert held >= 0.92 * 400


def test_a_spread_becomes_an_interval_of_a_share() -> None:
    wide = crossed_interval(np.array([[0.0, 0.0, 0.2], [0.0, 0.1, 0.3]]))
    assert wide.low is not None
    assert wide.low < 0
    found = as_share(wide)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < wide.estimate < found.high < 1
    assert as_share(crossed_interval(np.zeros((2, 3)))).high == 0.0  # no flip at all has no spread


def test_shares_at_the_very_end() -> None:
    assert share_interval([1.0, 1.0, 1.0]).low == 1.0  # nothing is known of the test set
    whole = share_interval([1.0, 1.0, 1.0], 100)
    assert (whole.low, whole.high) == (pytest.approx(wilson_interval(100, 100).low), 1.0)
    assert share_interval([0.9]).low is None
    with pytest.raises(ValueError, match="between 0 and 1"):
        share_interval([0.9, 1.2])


def test_crossed_holds_the_truth_for_new_seeds_and_new_templates() -> None:
    draw = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        values = draw.normal(0, 1, (4, 1)) + draw.normal(0, 1, (1, 20)) + draw.normal(0, 1, (4, 20))
        interval = crossed_interval(values)
        assert interval.low is not None
        assert interval.high is not None
        held += interval.low <= 0 <= interval.high
    assert held >= 0.93 * 200


def test_crossed_with_little() -> None:
    assert not crossed_interval(np.array([[1.0]])).bounded
    templates_only = crossed_interval(np.array([[1.0, 2.0, 3.0]]))
    assert templates_only.bounded
    assert templates_only.method.startswith("templates")
    with pytest.raises(ValueError, match="seeds, templates"):
        crossed_interval(np.zeros(3))
