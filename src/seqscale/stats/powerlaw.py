"""The exponent of a curve: value ~ length ** exponent.

Least squares of log(value) on log(length); the interval is Student's t with n - 2 degrees of freedom from the
residuals, so three points are the least, and three give a wide one (t = 12.7). It says how well *one* power law
describes the points, which is more than noise: a curve that bends has large residuals and therefore a wide interval.

Time is overhead + a L + b L^2, so an exponent measured over short lengths tends to 0 and not to 2, whatever the
algorithm. Two things keep that visible. `upper_part` leaves only the three top octaves of a curve, and every fit
reports the range it used and the *local* exponents (slopes between neighbours) at its two ends: while they still
climb, the exponent is a lower bound and not an asymptote (`still_rising`).

A bootstrap over residuals was considered and left out: with 3 to 8 points it has the same flaw as over 3 seeds (see
`intervals`), and the medians of a benchmark are no sample from a population of lengths.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special  # its quantiles are scipy.stats' own, which takes half a second to import

from seqscale.stats.intervals import LEVEL, finite_values

LEAST_POINTS = 3
UPPER_RANGE = 8.0  # the upper part of a curve: lengths of at least the longest / 8, that is three octaves
RISING = 0.1  # local exponents that grow by more than this across the fitted range: not one power law yet
ROUNDING = 1e-9


@dataclass(frozen=True)
class PowerLaw:
    """value = coefficient * length ** exponent, fitted over `points` lengths from length_min to length_max (tokens)."""

    exponent: float
    low: float
    high: float
    coefficient: float
    r2: float
    points: int
    length_min: float
    length_max: float
    local_first: float
    local_last: float
    level: float
    method: str = "least squares on logarithms, Student t"

    @property
    def still_rising(self) -> bool:
        """Whether the curve steepens within the fitted range: longer lengths would give a larger exponent."""
        return self.local_last - self.local_first > RISING

    @property
    def still_falling(self) -> bool:
        """Whether the curve flattens within the fitted range: longer lengths would give a smaller exponent."""
        return self.local_first - self.local_last > RISING


def upper_part(lengths: Sequence[float] | np.ndarray, factor: float = UPPER_RANGE) -> float:
    """The least length of the upper part: the longest / `factor`, or lower if that would leave under three points."""
    x = np.unique(finite_values(lengths, "lengths"))
    start = x[-1] / factor
    if (x >= start).sum() < LEAST_POINTS:
        start = x[-LEAST_POINTS] if x.size >= LEAST_POINTS else x[0]
    return float(x[x >= start][0])


def fit_power_law(
    lengths: Sequence[float] | np.ndarray,
    values: Sequence[float] | np.ndarray,
    *,
    min_length: float = 0.0,
    max_length: float = math.inf,
    level: float = LEVEL,
) -> PowerLaw:
    """Fit value ~ length ** exponent to the points with min_length <= length <= max_length.

    `lengths` and `values` are (n,), positive and finite, in any order; each length once. Raises ValueError otherwise,
    and where fewer than three points are left.
    """
    x, y = finite_values(lengths, "lengths"), finite_values(values)
    if x.size != y.size:
        raise ValueError(f"{x.size} lengths but {y.size} values.")
    keep = (x >= min_length) & (x <= max_length)
    x, y = x[keep], y[keep]
    if x.size < LEAST_POINTS:
        raise ValueError(f"An exponent with an interval needs at least {LEAST_POINTS} lengths, there are {x.size}.")
    if (x <= 0).any() or (y <= 0).any():
        raise ValueError("An exponent needs positive lengths and values; one of them is zero or negative.")
    order = np.argsort(x)
    u, v = np.log(x[order]), np.log(y[order])
    if (np.diff(u) == 0).any():
        raise ValueError("A length occurs twice; choose one value for each length first.")
    centred = u - u.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (v - v.mean())) / spread
    residual = v - v.mean() - slope * centred
    rest = float(residual @ residual)
    if rest < ROUNDING**2 * u.size:  # counted quantities lie on the line exactly; rounding is no spread
        rest = 0.0
    half = float(special.stdtrit(u.size - 2, 0.5 + level / 2.0)) * math.sqrt(rest / (u.size - 2) / spread)
    total = float(((v - v.mean()) ** 2).sum())
    flat = total < ROUNDING**2 * u.size
    if flat:
        slope = 0.0
    local = np.diff(v) / np.diff(u)
    return PowerLaw(
        exponent=slope,
        low=slope - half,
        high=slope + half,
        coefficient=math.exp(float(v.mean()) - slope * float(u.mean())),
        r2=1.0 if flat else 1.0 - rest / total,
        points=int(u.size),
        length_min=float(x.min()),
        length_max=float(x.max()),
        local_first=float(local[0]),
        local_last=float(local[-1]),
        level=level,
    )
