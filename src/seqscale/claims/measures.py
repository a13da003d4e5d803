"""The registry of measures; their signatures (options, tables) stand in `check`. A new measure is a line in both."""

from collections.abc import Callable

from seqscale.claims import curves, seeds
from seqscale.claims.load import Trial
from seqscale.claims.measurement import Measurement
from seqscale.claims.select import Notes, Tables

MEASURES: dict[str, Callable[[Tables, Trial, Notes], Measurement]] = {
    "mean": seeds.mean,
    "difference": seeds.difference,
    "ratio": seeds.ratio,
    "order": seeds.order,
    "difference_at": seeds.difference_at,
    "value_at": curves.value_at,
    "ratio_at": curves.ratio_at,
    "order_at": curves.order_at,
    "growth": curves.growth,
    "exponent": curves.exponent,
}
