"""Means with 95 % intervals over seeds, in the shape that figures and tables want them."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seqscale.stats import mean_interval
from seqscale.stats.proportions import share_interval


class Estimate(NamedTuple):
    """A mean over `n` seeds with its 95 % interval; `low` and `high` are NaN where there is none."""

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float], share: bool = False) -> Estimate:
    """Mean and 95 % interval of finished seeds' `values`; of a `share` (0 to 1) one that stays there.

    Missing values are left out here because they are shown beside the mean: runs that did not finish are counted,
    named and drawn as crosses. No values: all NaN and n = 0.
    """
    return _estimate(tuple(float(v) for v in values if np.isfinite(v)), share)


@functools.lru_cache(maxsize=100_000)  # several figures show the same means, and five seeds are bootstrapped
def _estimate(good: tuple[float, ...], share: bool) -> Estimate:
    if not good:
        return Estimate(np.nan, np.nan, np.nan, 0)
    found = share_interval(good) if share else mean_interval(good)
    low, high = (np.nan if bound is None else bound for bound in (found.low, found.high))
    return Estimate(found.estimate, low, high, found.n)
