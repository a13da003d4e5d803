"""HiPPO: linear systems whose state is the projection of all past input onto polynomials or waves.

Gu et al. 2020 (HiPPO, arXiv 2008.07669); the Fourier system: Gu et al. 2022 (arXiv 2206.12037), section 3.3. The state
c(t) holds the coefficients of the past in an orthonormal basis under a measure that moves with t:

    measure   weight of the past                    basis                              system
    legs      uniform on [0, t]                     Legendre, stretched with t         c' = (A c + B u) / t
    legt      uniform on [t - theta, t]             Legendre                           c' = (A c + B u) / theta
    lagt      exp(-(t - s) / theta) / theta         Laguerre                           c' = (A c + B u) / theta
    fourier   uniform on [t - theta, t]             1, cos, sin of whole waves         c' = (A c + B u) / theta

All arrays are NumPy, float64.
"""

import numpy as np
from numpy.polynomial import laguerre, legendre

MEASURES = ("legs", "legt", "lagt", "fourier")


def transition(measure: str, d_state: int) -> tuple[np.ndarray, np.ndarray]:
    """A (d_state, d_state) and B (d_state,) of the table above, stable: all eigenvalues of A have negative real part.

    Raises:
        ValueError: an unknown measure.
    """
    n = np.arange(d_state)
    root = np.sqrt(2 * n + 1.0)
    if measure == "legs":  # HiPPO, theorem 2
        return -np.tril(np.outer(root, root), -1) - np.diag(n + 1.0), root
    if measure == "legt":  # HiPPO, theorem 1 with lambda_n = sqrt(2n + 1)
        sign = np.where(n[:, None] < n, (-1.0) ** (n[:, None] - n), 1.0)
        return -np.outer(root, root) * sign, root
    if measure == "lagt":  # HiPPO, theorem 1 with alpha = 0, beta = 1
        return -np.tril(np.ones((d_state, d_state))), np.ones(d_state)
    if measure == "fourier":
        # The basis moves with its window (turning), the input enters at one end (2 phi u), and what leaves at the
        # other, half the jump of the periodic series there, is taken out (2 phi phi^T c).
        turning = np.zeros((d_state, d_state))
        for row in range(1, d_state - 1, 2):  # cos in odd places, sin in the even ones after them
            turning[row, row + 1], turning[row + 1, row] = -np.pi * (row + 1), np.pi * (row + 1)
        phi = basis("fourier", d_state, np.zeros(1))[:, 0]
        if d_state % 2 == 0:  # a cosine without its sine would not turn at all: it is left out
            phi[-1] = 0.0
            turning[-1, -1] = -1.0
        return turning - 2 * np.outer(phi, phi), 2 * phi
    raise ValueError(f"unknown measure {measure!r}; choose from {', '.join(MEASURES)}")


def basis(measure: str, d_state: int, age: np.ndarray) -> np.ndarray:
    """The basis functions at an age, (d_state, len(age)): the past is about sum_n c_n basis_n(age).

    Args:
        age: how long ago, as a share of the window: (t - s) / t for legs, else (t - s) / theta.
    """
    if measure in ("legs", "legt"):
        return (
            legendre.legvander(1 - 2 * np.asarray(age), d_state - 1).T * np.sqrt(2 * np.arange(d_state) + 1.0)[:, None]
        )
    if measure == "lagt":
        return laguerre.lagvander(np.asarray(age), d_state - 1).T
    if measure == "fourier":
        n = np.arange(d_state)
        angle = 2 * np.pi * np.multiply.outer((n + 1) // 2, np.asarray(age))
        waves = np.where((n % 2 == 1)[:, None], np.cos(angle), np.sin(angle)) * np.sqrt(2.0)
        waves[0] = 1.0
        return waves
    raise ValueError(f"unknown measure {measure!r}; choose from {', '.join(MEASURES)}")


def normal_plus_low_rank(d_state: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """HiPPO-LegS as V (diag(Lambda) - P P^*) V^*, V unitary (S4, arXiv 2111.00396, theorem 1).

    A + p p^T with p_n = sqrt(n + 1/2) is -1/2 and a skew-symmetric matrix: normal. Only the half of the conjugate
    pairs with positive imaginary part is given, in ascending order.

    Returns:
        Lambda, P, B, (d_state / 2,) complex128, where B = V^* B of LegS; V (d_state, d_state / 2).

    Raises:
        ValueError: d_state is odd.
    """
    if d_state % 2:
        raise ValueError(f"d_state = {d_state} must be even: the state is made of conjugate pairs")
    A, B = transition("legs", d_state)
    p = np.sqrt(np.arange(d_state) + 0.5)
    skew = A + np.outer(p, p) + 0.5 * np.eye(d_state)
    frequency, V = np.linalg.eigh(-1j * skew)  # Hermitian: the eigenvectors are exactly orthogonal
    frequency, V = frequency[d_state // 2 :], V[:, d_state // 2 :]
    return -0.5 + 1j * frequency, V.conj().T @ p, V.conj().T @ B, V
