"""Intervals for shares: of one test set, over seeds and test set together, and over sentences made from templates."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special  # its quantiles are scipy.stats' own, which takes half a second to import

from seqscale.stats.intervals import LEVEL, Interval, mean_interval

WILSON = "Wilson score"
SEEDS_AND_EXAMPLES = "seeds and examples, in quadrature"


def wilson_interval(hits: int, count: int, level: float = LEVEL) -> Interval:
    """A share hits / count with its score interval (Wilson 1927), which stays within [0, 1] and holds for few.

    Raises:
        ValueError: no cases, or more hits than cases.
    """
    if not 0 <= hits <= count or count == 0:
        raise ValueError(f"{hits} of {count} is not a share")
    z = float(special.ndtri(0.5 + level / 2))
    share, weight = hits / count, z * z / count
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / count + weight / (4 * count)) / (1 + weight)
    return Interval(share, min(share, middle - half), max(share, middle + half), count, level, WILSON)


def accuracy_interval(accuracies: Sequence[float], examples: int, level: float = LEVEL) -> Interval:
    """Mean accuracy of several seeds on one test set, for new seeds *and* new test examples.

    Seeds share the test set, so averaging over them leaves its chance in: the interval over seeds alone would be too
    short. With one seed there is only the test set's.
    """
    seeds = mean_interval(accuracies, level)
    mean = min(max(seeds.estimate, 0.0), 1.0)
    cases = wilson_interval(round(mean * examples), examples, level)
    low, high = _in_quadrature(mean, [seeds, cases])
    method = WILSON if seeds.low is None else SEEDS_AND_EXAMPLES
    return Interval(mean, max(0.0, low), min(1.0, high), len(accuracies), level, method)


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


def _in_quadrature(estimate: float, sides: Sequence[Interval]) -> tuple[float, float]:
    """An interval from the deviations of independent sources, each side of the estimate for itself."""
    below = [side.estimate - side.low for side in sides if side.low is not None]
    above = [side.high - side.estimate for side in sides if side.high is not None]
    return estimate - math.hypot(*below), estimate + math.hypot(*above)
