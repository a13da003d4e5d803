"""What a HiPPO state remembers: a long signal goes in step by step, and its whole past is read off the last state.

The experiment of HiPPO (Gu et al. 2020, arXiv 2008.07669, section 4.3, "online function approximation"): band-limited
white noise, and the error of its reconstruction at the end. Everything in float64.
"""

import numpy as np

from seqscale.systems.discretise import discretise
from seqscale.systems.hippo import basis, transition


def white_noise(length: int, waves: int, signals: int, seed: int) -> np.ndarray:
    """Band-limited white noise: every frequency up to `waves` periods in `length` steps, amplitudes normal.

    Returns:
        (length, signals), each signal of unit mean square on average.
    """
    rng = np.random.default_rng(seed)
    frequency = np.arange(1, waves + 1)
    angle = 2 * np.pi * np.multiply.outer((np.arange(length) + 0.5) / length, frequency)
    cos, sin = rng.normal(size=(2, waves, signals)) / np.sqrt(waves)
    # a phase of their own: not all signals are periodic in the window, so that none has an easy end
    stretch = 0.9
    return np.cos(stretch * angle) @ cos + np.sin(stretch * angle) @ sin


def remember(measure: str, d_state: int, signals: np.ndarray, theta: float) -> np.ndarray:
    """The state after all of `signals` (length, signals), one input per step, bilinear: (d_state, signals).

    Args:
        theta: window or time constant in steps; unused by legs, whose window is the whole past.
    """
    from scipy.linalg import solve_triangular

    A, B = transition(measure, d_state)
    state = np.zeros((d_state, signals.shape[1]))
    if measure != "legs":
        step, gain = discretise(A, B, 1 / theta, "bilinear")
        for u in signals:
            state = step @ state + gain[:, None] * u
        return state
    identity = np.eye(d_state)
    for k, u in enumerate(signals, start=1):  # c' = (A c + B u) / t: the bilinear rule at t = k (appendix B.3)
        right = state + A @ state / (2 * k) + B[:, None] * u / k
        state = solve_triangular(identity - A / (2 * k), right, lower=True, check_finite=False)
    return state


def recall(measure: str, state: np.ndarray, length: int, theta: float) -> np.ndarray:
    """The past that a state tells of, oldest first: (d_state, signals) -> (length, signals).

    Beyond a window's end it tells nothing; there the past is taken as zero.
    """
    age = length - 0.5 - np.arange(length)  # in the middle of each step
    shares = age / (length if measure == "legs" else theta)
    if measure not in ("legt", "fourier"):
        return basis(measure, len(state), shares).T @ state
    past = basis(measure, len(state), np.minimum(shares, 1.0)).T @ state
    past[shares > 1] = 0.0
    return past


def best_polynomial(d_state: int, signals: np.ndarray) -> np.ndarray:
    """The best that d_state numbers can do as a polynomial: least squares over the whole signal."""
    length = len(signals)
    functions = basis("legs", d_state, (length - 0.5 - np.arange(length)) / length).T
    return functions @ np.linalg.lstsq(functions, signals, rcond=None)[0]


def relative_error(signals: np.ndarray, past: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """|past - signal| / |signal| of each signal, in the mean square, weighted where asked for: (signals,).

    0 is a perfect memory; 1 is that of one who remembers nothing and says zero.
    """
    w = np.ones(len(signals)) if weight is None else weight
    return np.sqrt((w @ (past - signals) ** 2) / (w @ signals**2))


def weight_of(measure: str, length: int, theta: float) -> np.ndarray:
    """The weight that a measure gives each step of the past, oldest first, (length,)."""
    age = length - 0.5 - np.arange(length)
    if measure == "lagt":
        return np.exp(-age / theta)
    return np.ones(length) if measure == "legs" else (age <= theta).astype(float)
