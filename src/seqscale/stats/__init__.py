"""Statistics that are honest at three to five seeds (NumPy and SciPy only, no torch).

    intervals    a mean, a paired difference, a paired ratio, each with an interval
    powerlaw     the exponent of a curve, value ~ length ** exponent, with an interval
    crossing     where one cost curve falls below another, with an interval for a rerun
    frontier     which points of loss against cost no cheaper point beats

Nothing here guesses: values that are missing or not finite are refused, and where the values cannot bear an interval
(one seed, two lengths) the result says so instead of giving a narrow one.
"""

from seqscale.stats.frontier import frontier
from seqscale.stats.intervals import Interval, mean_interval, paired_difference, paired_ratio
from seqscale.stats.powerlaw import PowerLaw, fit_power_law, upper_part

__all__ = [
    "Interval",
    "PowerLaw",
    "fit_power_law",
    "frontier",
    "mean_interval",
    "paired_difference",
    "paired_ratio",
    "upper_part",
]
