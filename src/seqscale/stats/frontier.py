"""The frontier of loss against cost: the points that no cheaper point equals or beats."""

from collections.abc import Sequence

import numpy as np

from seqscale.stats.intervals import finite_values


def frontier(cost: Sequence[float] | np.ndarray, loss: Sequence[float] | np.ndarray) -> np.ndarray:
    """Which points lie on the lower envelope, (n,) bool: everything at most as dear has a greater loss.

    Args:
        cost, loss: (n,), finite, in any order; of several points of one cost the best can be on the frontier, once.

    Raises:
        ValueError: of different lengths, or a value that is not finite.
    """
    x, y = finite_values(cost, "costs"), finite_values(loss, "losses")
    if x.size != y.size:
        raise ValueError(f"{x.size} costs but {y.size} losses.")
    chosen = np.zeros(x.size, dtype=bool)
    best = np.inf
    for index in np.lexsort((y, x)):  # by cost, then by loss
        if y[index] < best:
            chosen[index], best = True, y[index]
    return chosen
