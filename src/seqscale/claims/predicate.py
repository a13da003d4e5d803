"""The one rule behind every verdict: an interval against a region, and a margin around the region's line.

    interval wholly inside the region, by more than the margin      reproduced
    interval wholly outside it, by more than the margin             not reproduced
    otherwise      inconclusive: the interval straddles the line, or lies closer to it than the margin

The margin is the least distance that matters in practice (see `margins`); it keeps a verdict from hanging on a hair. A
region around a published figure already says by its tolerance what counts as the same, so there the margin is asked of
a refutation alone. A claim that has no interval (one seed) is inconclusive: a point proves nothing about other seeds.
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
    """What a claim asks for: low < value < high where `strict`, else low <= value <= high. Infinite ends are open.

    `margin` (in the unit): an interval that is closer to an end decides nothing.
    """

    low: float = -math.inf
    high: float = math.inf
    strict: bool = False
    margin: float = 0.0

    @property
    def line(self) -> float:
        """The size of the number that the claim turns on: the middle, or the one end where the other is open."""
        ends = [abs(end) for end in (self.low, self.high) if math.isfinite(end)]
        return sum(ends) / len(ends) if ends else 0.0

    def contains(self, low: float, high: float) -> bool:
        """Whether the interval lies wholly inside, where `strict` by more than the margin."""
        if self.strict:
            return self.low + self.margin < low and high < self.high - self.margin
        return self.low <= low and high <= self.high

    def disjoint(self, low: float, high: float) -> bool:
        """Whether the interval and the region, widened by the margin, share no point."""
        below, above = self.low - self.margin, self.high + self.margin
        return (high <= below or low >= above) if self.strict else (high < below or low > above)

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
