"""Intervals for shares: of one test set, over seeds and test set together, and over sentences made from templates."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special  # its quantiles are scipy.stats' own, which takes half a second to import

from seqscale.stats.intervals import LEVEL, NO_INTERVAL, Interval, finite_values, mean_interval

WILSON = "Wilson score"
ROUNDING = 1e-9
SEEDS = "Wilson score at the seeds' effective number of answers"
SEEDS_AND_EXAMPLES = "Wilson score at the effective number of answers of seeds and test set"


def wilson_interval(hits: int, count: int, level: float = LEVEL) -> Interval:
    """A share hits / count with its score interval (Wilson 1927), which stays within [0, 1] and holds for few.

    Raises:
        ValueError: no cases, or more hits than cases.
    """
    if not 0 <= hits <= count or count == 0:
        raise ValueError(f"{hits} of {count} is not a share")
    low, high = _wilson(hits / count, count, level)
    return Interval(hits / count, low, high, count, level, WILSON)


def share_interval(shares: Sequence[float], examples: float | None = None, level: float = LEVEL) -> Interval:
    """Mean of several seeds' shares (accuracies) with an interval that cannot leave [0, 1], and is not cut off there.

    Seeds are clusters of answers: their spread (variance of the mean, widened by Student's t over the normal quantile
    for few seeds) gives an *effective* number of answers, p (1 - p) / variance, and Wilson's score interval for that
    number is taken (Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data", Survey Methodology 24:193, with Wilson's interval for
    Clopper-Pearson's). Near 0 and 1 it is one-sided, as it should be; Student's t on the shares themselves, which
    reaches beyond, would have to be clipped, and then holds the truth less often than it says.

    `examples`: the answers of the test set. Seeds share them, so their chance is added to the seeds', which makes the
    interval one for new seeds *and* new tests. Without it, it is for new seeds on this test; seeds that agree to the
    last answer then show no spread. One seed has the test set's interval, or none where `examples` is not known.

    Raises:
        ValueError: no shares, or one outside [0, 1].
    """
    values = finite_values(shares, "shares")
    if values.min() < -ROUNDING or values.max() > 1.0 + ROUNDING:
        raise ValueError(f"shares lie between 0 and 1; there is {values.min() if values.min() < 0 else values.max()}")
    values = values.clip(0.0, 1.0)
    n, mean = values.size, float(values.mean())
    if n == 1 and not examples:
        return Interval(mean, None, None, 1, level, NO_INTERVAL)
    tail = 0.5 + level / 2
    variance, widening = 0.0, 1.0
    if n > 1:
        variance = float(values.var(ddof=1)) / n
        widening = float(special.stdtrit(n - 1, tail) / special.ndtri(tail))
    chance = mean * (1.0 - mean)
    spread = variance * widening**2 + (chance / examples if examples else 0.0)
    if spread == 0.0:  # at 0 or 1 the test set alone speaks, and elsewhere nothing varies
        if not examples:
            return Interval(mean, mean, mean, n, level, "all values equal")
        effective = float(examples)
    else:
        effective = chance / spread
    low, high = _wilson(mean, effective, level)
    method = WILSON if n == 1 else SEEDS_AND_EXAMPLES if examples else SEEDS
    return Interval(mean, low, high, n, level, method)


def _wilson(share: float, count: float, level: float) -> tuple[float, float]:
    """Wilson's score interval of a share of `count` cases, which need not be whole."""
    z = float(special.ndtri(0.5 + level / 2))
    weight = z * z / count
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / count + weight / (4 * count)) / (1 + weight)
    # Only rounding can take an end past the share, or past 0 and 1.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def crossed_interval(values: np.ndarray, level: float = LEVEL) -> Interval:
    """Mean of values (seeds, templates), for new seeds and new templates.

    Sentences from one template are alike, and so are the answers of one trained model: they are no independent cases,
    and counting them as such would make any gap look certain. The spread of the seeds' means and that of the templates'
    means are added in quadrature (what both share counts twice, so the interval is rather too wide than too narrow).
    Of a single seed or a single template nothing is known about that side's spread; of both, there is no interval.

    Raises:
        ValueError: not a matrix, or empty.
    """
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"values (seeds, templates) are needed, not of shape {values.shape}")
    sides = [mean_interval(values.mean(axis), level) for axis in (1, 0)]
    known = [name for name, side in zip(("seeds", "templates"), sides, strict=True) if side.bounded]
    if not known:
        return Interval(float(values.mean()), None, None, values.size, level, "no interval (one value)")
    low, high = _in_quadrature(float(values.mean()), sides)
    return Interval(float(values.mean()), low, high, values.size, level, f"{' and '.join(known)}, in quadrature")


def as_share(interval: Interval) -> Interval:
    """The interval of a mean that is a share, with the same spread, such that it cannot leave [0, 1] (Wilson).

    The spread is turned into an effective number of cases, as in `share_interval`. Without a spread nothing changes.
    """
    if interval.low is None or interval.high is None or interval.high == interval.low:
        return interval
    share = min(max(interval.estimate, 0.0), 1.0)
    half = max(share - interval.low, interval.high - share) / float(special.ndtri(0.5 + interval.level / 2))
    if not 0.0 < share < 1.0 or half == 0.0:
        return interval
    low, high = _wilson(share, share * (1.0 - share) / half**2, interval.level)
    return Interval(share, low, high, interval.n, interval.level, f"{interval.method}, Wilson score")


def _in_quadrature(estimate: float, sides: Sequence[Interval]) -> tuple[float, float]:
    """An interval from the deviations of independent sources, each side of the estimate for itself."""
    below = [side.estimate - side.low for side in sides if side.low is not None]
    above = [side.high - side.estimate for side in sides if side.high is not None]
    return estimate - math.hypot(*below), estimate + math.hypot(*above)
