"""Where one cost curve falls below another, with an interval that a rerun is expected to hit.

Between two measured lengths both curves are taken as power laws, so the crossing is linear in logarithms.

The interval is for the crossing that *another run* would find, because that is what a reader can check. Two things
move a median from run to run: the repeats of one call scatter (known from their 20th and 80th percentile), and
processes differ by more than that (clocks, memory layout, what else the machine does), which no repeat of one process
shows. So a median has the variance

    (1.2533 s)^2 / min(repeats, 7)  +  between^2,        s = log(p80 / p20) / 1.6832

in logarithms: 1.2533 s / sqrt(n) is the standard error of a median of n values, n not above 7 because repeats of one
process are no independent draws; `between` is the spread of medians between processes, given by the caller. The ratio
of two curves has the sum of both variances, and the difference between two runs twice that. The ratio gets a band of
z times this on both sides, and the crossings of the band's edges are the interval. A rerun whose ratio stays within
the band crosses within the interval, since the last length at which a curve is above 1 grows when the curve grows.
z leaves 5 % for all lengths together (Bonferroni) at which the two lie so near each other that a rerun may turn them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

MEDIAN = 1.2533  # standard error of a median over that of a mean, for normal values: sqrt(pi / 2)
BAND = 1.6832  # standard deviations between the 20th and the 80th percentile of normal values
INDEPENDENT = 7  # repeats that count as independent at most
LEVEL = 0.95
NEAR = 3.0  # standard deviations within which a rerun may put the curves the other way round

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A cost at ascending lengths: median, 20th and 80th percentile (n,), all positive, and repeats (n,)."""

    median: Floats
    p20: Floats
    p80: Floats
    repeats: Floats

    def variance(self, between: float) -> Floats:
        """Of the logarithm of each median, from run to run; counts (p20 = p80 = median, one repeat) have none."""
        spread = np.log(self.p80 / self.p20) / BAND
        counted = (self.p20 == self.p80) & (self.repeats <= 1)
        inner = (MEDIAN * spread) ** 2 / np.clip(self.repeats, 1, INDEPENDENT)
        return np.where(counted, 0.0, inner + between**2)


@dataclass(frozen=True)
class Crossing:
    """From `length` on the first curve is below the second; 0: everywhere, inf: not at the longest length.

    `low` and `high` are what a rerun may find, 0 and inf again for "before the first" and "beyond the last" length.
    """

    length: float
    low: float
    high: float


def last_above(lengths: Sequence[float] | Floats, log_ratio: Sequence[float] | Floats) -> float:
    """The length up to which the ratio is not below 1 (its logarithm not below 0); 0 if nowhere, inf if at the end.

    `lengths` ascending. Where a ratio dips below 1 and comes back, the last time counts.
    """
    x, y = np.asarray(lengths, float), np.asarray(log_ratio, float)
    above = np.flatnonzero(~(y < 0))
    if not above.size:
        return 0.0
    i = int(above[-1])
    if i == x.size - 1:
        return math.inf
    u0, u1 = math.log(x[i]), math.log(x[i + 1])
    return math.exp(u0 + (u1 - u0) * y[i] / (y[i] - y[i + 1]))


def log_ratio(first: Curve, second: Curve) -> Floats:
    """The logarithm of first over second."""
    return np.log(first.median / second.median)


def band(first: Curve, second: Curve, between: float, level: float = LEVEL) -> Floats:
    """Half the width of the band around the log ratio in which a rerun's is expected, see the head of this file."""
    rerun = np.sqrt(2.0 * (first.variance(between) + second.variance(between)))
    near = int((np.abs(log_ratio(first, second)) < NEAR * rerun).sum())
    z = NormalDist().inv_cdf(1.0 - (1.0 - level) / (2.0 * max(2, near)))
    return np.asarray(z * rerun, dtype=float)


def crossing(
    lengths: Sequence[float] | Floats, first: Curve, second: Curve, between: float, level: float = LEVEL
) -> Crossing:
    """Where the first curve falls below the second for good, with the interval for a rerun.

    Args:
        lengths: (n,) ascending, those of both curves.
        between: relative spread (standard deviation) of medians between processes; counts have none.
    """
    ratio, half = log_ratio(first, second), band(first, second, between, level)
    ends = (ratio, ratio - half, ratio + half)
    return Crossing(*(last_above(lengths, y) for y in ends))
