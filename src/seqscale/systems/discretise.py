"""From continuous time to steps of dt, for dense systems: the definitions that the mixers' own formulas are held to."""

import numpy as np

METHODS = ("zoh", "bilinear")


def discretise(A: np.ndarray, B: np.ndarray, dt: float, method: str) -> tuple[np.ndarray, np.ndarray]:
    """A-bar and B-bar with x_t = A-bar x_{t-1} + B-bar u_t.

        zoh        A-bar = exp(dt A),                              B-bar = A^-1 (A-bar - 1) B    (input held per step)
        bilinear   A-bar = (1 - dt/2 A)^-1 (1 + dt/2 A),           B-bar = (1 - dt/2 A)^-1 dt B  (Tustin; S4, eq. 3)

    The bilinear B-bar is the one of the S4 paper, which SciPy's `cont2discrete` shares.

    Args:
        A: (d_state, d_state). B: (d_state, inputs) or (d_state,). dt: step, in the unit of A's time.

    Raises:
        ValueError: an unknown method.
    """
    identity = np.eye(len(A))
    if method == "bilinear":
        left = identity - dt / 2 * A
        return np.linalg.solve(left, identity + dt / 2 * A), np.linalg.solve(left, dt * B)
    if method == "zoh":
        from scipy.linalg import expm

        columns = np.atleast_2d(B.T).T
        size, inputs = columns.shape  # one exponential gives both, and A need not be invertible
        block = np.zeros((size + inputs, size + inputs), dtype=np.result_type(A, B))
        block[:size, :size], block[:size, size:] = dt * A, dt * columns
        both = expm(block)[:size]
        return both[:, :size], both[:, size:].reshape(B.shape)
    raise ValueError(f"unknown method {method!r}; choose from {', '.join(METHODS)}")
