"""What every mixer must hold, as a library: the identity tests and `seqscale check NAME` run this same code.

    outcomes = check_mixer("mamba", d_model=16, options={"d_state": 5})
    assert all(outcome.ok for outcome in outcomes), [o.message for o in outcomes if not o.ok]

`contract` looks at the form, `sequence` holds the three ways through a sequence against each other, `numerics`
gradients and precisions, `costs` what a mixer says of its operations and its state.
"""

from seqscale.checks.case import Case, CheckFailed
from seqscale.checks.runner import CHECKS, Check, Outcome, cases_of, check_mixer

__all__ = ["CHECKS", "Case", "Check", "CheckFailed", "Outcome", "cases_of", "check_mixer"]
