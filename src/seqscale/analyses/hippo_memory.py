"""Claim 002.hippo: does a small state memorise a long signal, for LegS, LegT, LagT and the Fourier system?

A window must be named beforehand, but for LegS. `windows` are shares of the signal's length: 1 is a window that fits,
less is one that is too short. For LagT it is the time constant. Two errors are told: over the whole past, each moment
alike, and under the measure that a system itself optimises (for a short window that means: within it).
"""

from collections.abc import Iterator
from typing import Any

from seqscale.analyses.row import row
from seqscale.systems.hippo import MEASURES
from seqscale.systems.memory import best_polynomial, recall, relative_error, remember, weight_of, white_noise

SUITE = "hippo_memory"


def rows(config: dict[str, Any], *_: object) -> Iterator[dict[str, Any]]:
    """Reconstruction errors.

    Args:
        config: settings: length (steps), waves (highest frequency, in periods over the length), d_state (list),
            signals (how many), windows (shares of the length), seed.
    """
    settings = config["settings"]
    length = settings["length"]
    signals = white_noise(length, settings["waves"], settings["signals"], settings["seed"])
    about = {"length": length, "device": "cpu", "dtype": "float64", "direction": "whole past", "unit": "share"}
    for d_state in settings["d_state"]:
        error = relative_error(signals, best_polynomial(d_state, signals))
        yield row(SUITE, "best_polynomial", "error", error, d_state=d_state, implementation="least squares", **about)
        for measure in MEASURES:
            for share in [1.0] if measure == "legs" else settings["windows"]:
                theta = share * length
                past = recall(measure, remember(measure, d_state, signals, theta), length, theta)
                window = "whole past" if measure == "legs" else f"window {share:g}"
                more = {**about, "d_state": d_state, "implementation": window}
                yield row(SUITE, measure, "error", relative_error(signals, past), **more)
                weighted = relative_error(signals, past, weight_of(measure, length, theta))
                yield row(SUITE, measure, "weighted_error", weighted, **{**more, "direction": "own measure"})
