"""What a measure gives: a number, its interval, how to say it, and where it comes from."""

import math
from dataclasses import dataclass, field
from typing import Any

from seqscale.claims.load import Trial
from seqscale.claims.select import Notes


@dataclass
class Measurement:
    """A number, its interval, how to say it, and where it comes from.

    `checks` are pairs of intervals, (low, high) that must lie inside the region for the claim to hold and (low, high)
    that must miss it for the claim to fall; most measures have one pair of equal intervals. `trend` is "rising" or
    "falling" where an exponent has not settled, and `local_last` is its value at the longest lengths. `fixed_share` is
    the part of the longest length's time that the shortest length takes as well. `unfused_lowers` and
    `unfused_raises` name a model that ran without a fused kernel, where a fused one would lower (raise) the number.
    """

    estimate: float
    low: float | None
    high: float | None
    n: int
    phrase: str
    method: str
    data: str
    evidence: str
    notes: Notes
    checks: list[tuple[float | None, float | None, float | None, float | None]] = field(default_factory=list)
    trend: str = ""
    local_last: float = math.nan
    fixed_share: float = 0.0
    unfused_lowers: str = ""
    unfused_raises: str = ""

    def __post_init__(self) -> None:
        if not self.checks:
            self.checks = [(self.low, self.high, self.low, self.high)]


def evidence_of(trial: Trial, sides: list[Any]) -> str:
    table = trial.select["table"]
    column = f"; column {trial.options['column']}" if "column" in trial.options else ""
    return f"tables/{table}.csv: {' | '.join(side.evidence for side in sides)}{column}"
