"""Intervals for shares: of one test set, over seeds and test set together, and over sentences made from templates."""

import math

import numpy as np
from scipy import stats as distributions

from seqscale.stats.intervals import LEVEL, Interval, mean_interval

WILSON = "Wilson score"
SEEDS_AND_EXAMPLES = "seeds (Student t or bootstrap) and examples (Wilson), in quadrature"
TEMPLATES_AND_SEEDS = "percentile bootstrap over templates and seeds"


def wilson_interval(hits: int, count: int, level: float = LEVEL) -> Interval:
    """A share hits / count with its score interval (Wilson 1927), which stays within [0, 1] and holds for few.

    Raises:
        ValueError: no cases, or more hits than cases.
    """
    if not 0 <= hits <= count or count == 0:
        raise ValueError(f"{hits} of {count} is not a share")
    z = float(distributions.norm.ppf(0.5 + level / 2))
    share, weight = hits / count, z * z / count
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / count + weight / (4 * count)) / (1 + weight)
    return Interval(share, min(share, middle - half), max(share, middle + half), count, level, WILSON)


def accuracy_interval(accuracies: list[float], examples: int, level: float = LEVEL) -> Interval:
    """Mean accuracy of several seeds on one test set, for new seeds *and* new test examples.

    Seeds share the test set, so averaging over them leaves its chance in: the interval over seeds alone would be too
    short. The two deviations are independent and added in quadrature. With one seed there is only the test set's.
    """
    seeds = mean_interval(accuracies, level)
    mean = min(max(seeds.estimate, 0.0), 1.0)
    cases = wilson_interval(round(mean * examples), examples, level)
    assert cases.low is not None and cases.high is not None
    below, above = cases.estimate - cases.low, cases.high - cases.estimate
    if seeds.low is not None and seeds.high is not None:
        below = math.hypot(below, seeds.estimate - seeds.low)
        above = math.hypot(above, seeds.high - seeds.estimate)
    method = WILSON if seeds.low is None else SEEDS_AND_EXAMPLES
    return Interval(mean, max(0.0, mean - below), min(1.0, mean + above), len(accuracies), level, method)


def crossed_interval(values: np.ndarray, level: float = LEVEL, *, seed: int = 0, resamples: int = 10_000) -> Interval:
    """Mean of values (seeds, templates) with both resampled, each seed and each template whole.

    Sentences from one template are alike, and so are answers of one trained model: they are no independent cases, and
    counting them as such would make any gap look certain. Fewer than two templates give no interval.

    Raises:
        ValueError: not a matrix, or empty.
    """
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"values (seeds, templates) are needed, not of shape {values.shape}")
    n_seeds, n_templates = values.shape
    mean = float(values.mean())
    if n_templates < 2:
        return Interval(mean, None, None, n_templates, level, "no interval (one template)")
    generator = np.random.default_rng(seed)

    def weights(n: int) -> np.ndarray:  # how often each is drawn, (resamples, n)
        return generator.multinomial(n, np.full(n, 1 / n), size=resamples) / n

    means = np.einsum("rs,st,rt->r", weights(n_seeds), values, weights(n_templates), optimize=True)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high), n_templates, level, TEMPLATES_AND_SEEDS)
