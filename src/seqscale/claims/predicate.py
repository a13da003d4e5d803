"""The one rule behind every verdict: an interval against a region.

    interval wholly inside the region      reproduced
    interval and region share no point     not reproduced
    otherwise                              inconclusive (the interval straddles the line)

A claim that has no interval (one seed) is inconclusive: a point proves nothing about other seeds.
"""

import math
from dataclasses import dataclass

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
INCONCLUSIVE = "inconclusive"
NOT_TESTED = "not tested"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTED)


def number(value: float) -> str:
    """A number as people write it: four significant digits, 1e+13 only where needed."""
    return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3g}"


@dataclass(frozen=True)
class Region:
    """What a claim asks for: low < value < high where `strict`, else low <= value <= high. Infinite ends are open."""

    low: float = -math.inf
    high: float = math.inf
    strict: bool = False

    def contains(self, low: float, high: float) -> bool:
        """Whether the interval lies wholly inside."""
        return (self.low < low and high < self.high) if self.strict else (self.low <= low and high <= self.high)

    def disjoint(self, low: float, high: float) -> bool:
        """Whether the interval and the region share no point."""
        return (high <= self.low or low >= self.high) if self.strict else (high < self.low or low > self.high)

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"less than {number(self.high)}"
        if math.isinf(self.high):
            return f"more than {number(self.low)}"
        return f"{number(self.low)} to {number(self.high)}"


def verdict(region: Region, low: float | None, high: float | None) -> str:
    """The verdict on one interval; `low` and `high` None where there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return INCONCLUSIVE
    if region.contains(low, high):
        return REPRODUCED
    return NOT_REPRODUCED if region.disjoint(low, high) else INCONCLUSIVE


def combine(verdicts: list[str], rule: str) -> str:
    """The verdict on a claim from those on its parts.

    "all": every part must hold. One refuted part refutes the claim; a part that is inconclusive or was not tested
    leaves the whole open. "any": one part that holds is enough, and only all refuted refute.
    """
    if all(v == NOT_TESTED for v in verdicts):
        return NOT_TESTED
    decisive, other = (NOT_REPRODUCED, REPRODUCED) if rule == "all" else (REPRODUCED, NOT_REPRODUCED)
    if decisive in verdicts:
        return decisive
    return other if all(v == other for v in verdicts) else INCONCLUSIVE
