"""Experiments that train nothing: one file each, from a few settings to rows of the table `analyses`.

hippo_memory     how well a HiPPO state of a given size recalls a long signal
nplr_kernel      time and error of S4's kernel against dense ways to compute it
scipy_response   channels of trained models as SciPy's systems: the same impulse response

Each module has `rows(settings, ...)`; the columns are those of the bench table and `experiment`.
"""

NAMES = ("hippo_memory", "nplr_kernel", "scipy_response")
