"""HiPPO's matrices: a state that follows the equations holds the projection that it is said to hold."""

import numpy as np
import pytest
from scipy.integrate import quad_vec, solve_ivp

from seqscale.systems.hippo import MEASURES, basis, normal_plus_low_rank, transition


def signal(s: np.ndarray) -> np.ndarray:
    return np.sin(2.0 * s) + 0.5 * np.cos(5.0 * s) + 0.3 * s


def followed(measure: str, d_state: int, start: float, end: float, theta: float) -> np.ndarray:
    """c(end) by integrating the differential equation from the projection at `start`."""
    A, B = transition(measure, d_state)

    def slope(t: float, c: np.ndarray) -> np.ndarray:
        return (A @ c + B * signal(np.float64(t))) / (t if measure == "legs" else theta)

    begin = projected(measure, d_state, start, theta)
    return solve_ivp(slope, (start, end), begin, rtol=1e-10, atol=1e-12).y[:, -1]


def projected(measure: str, d_state: int, t: float, theta: float) -> np.ndarray:
    """<past, basis> under the measure, by quadrature; the past before 0 is the signal continued."""
    window = t if measure == "legs" else theta

    def integrand(age: float) -> np.ndarray:
        weight = np.exp(-age) if measure == "lagt" else 1.0
        return weight * signal(np.float64(t - window * age)) * basis(measure, d_state, np.array([age]))[:, 0]

    return quad_vec(integrand, 0, 60 if measure == "lagt" else 1, epsabs=1e-11, limit=2000)[0]


@pytest.mark.parametrize("measure", ["legs", "lagt"])
def test_the_state_is_the_projection(measure: str) -> None:
    """Exactly: the equations of LegS and LagT are closed. To 1e-7, the integrators' own error."""
    found = followed(measure, 8, 1.0, 3.0, theta=0.7)
    np.testing.assert_allclose(found, projected(measure, 8, 3.0, theta=0.7), atol=1e-7)


@pytest.mark.parametrize(("measure", "d_state", "error"), [("legt", 14, 1e-4), ("fourier", 81, 0.03)])
def test_a_sliding_window_is_the_projection_up_to_what_it_cannot_see(measure: str, d_state: int, error: float) -> None:
    """What leaves the window is read from the state itself, so the low coefficients are good as far as it is."""
    found = followed(measure, d_state, 2.0, 4.0, theta=2.0)
    np.testing.assert_allclose(found[:5], projected(measure, d_state, 4.0, theta=2.0)[:5], atol=error)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("d_state", [1, 2, 7, 32])
def test_systems_are_stable(measure: str, d_state: int) -> None:
    A, B = transition(measure, d_state)
    assert A.shape == (d_state, d_state)
    assert B.shape == (d_state,)
    assert np.linalg.eigvals(A).real.max() < 0


@pytest.mark.parametrize("measure", MEASURES)
def test_bases_are_orthonormal(measure: str) -> None:
    end, weight = (80.0, lambda age: np.exp(-age)) if measure == "lagt" else (1.0, np.ones_like)
    nodes, weights = np.polynomial.legendre.leggauss(400)
    age = (nodes + 1) * end / 2
    values = basis(measure, 7, age)
    gram = (values * weight(age) * weights * end / 2) @ values.T
    np.testing.assert_allclose(gram, np.eye(7), atol=1e-9)


def test_first_entries_as_printed_in_the_papers() -> None:
    A, B = transition("legs", 3)
    np.testing.assert_allclose(A, [[-1, 0, 0], [-np.sqrt(3), -2, 0], [-np.sqrt(5), -np.sqrt(15), -3]])
    np.testing.assert_allclose(B, np.sqrt([1, 3, 5]))
    A, _ = transition("legt", 3)
    np.testing.assert_allclose(A[0], [-1, np.sqrt(3), -np.sqrt(5)])
    np.testing.assert_allclose(A[1], [-np.sqrt(3), -3, np.sqrt(15)])
    A, B = transition("lagt", 3)
    np.testing.assert_allclose(A, [[-1, 0, 0], [-1, -1, 0], [-1, -1, -1]])


@pytest.mark.parametrize("d_state", [2, 8, 64])
def test_normal_plus_low_rank_is_legs(d_state: int) -> None:
    """Put back together from its half of the spectrum, and diagonal plus P P^* of one rank: theorem 1 of S4."""
    Lambda, P, B, V = normal_plus_low_rank(d_state)
    A, b = transition("legs", d_state)
    whole = np.concatenate([V, V.conj()], axis=1)
    p = np.concatenate([P, P.conj()])
    again = whole @ (np.diag(np.concatenate([Lambda, Lambda.conj()])) - np.outer(p, p.conj())) @ whole.conj().T
    np.testing.assert_allclose(again, A, atol=1e-10 * np.abs(A).max())
    np.testing.assert_allclose(whole @ np.concatenate([B, B.conj()]), b, atol=1e-10 * d_state)
    np.testing.assert_allclose(whole @ whole.conj().T, np.eye(d_state), atol=1e-12)
    assert (Lambda.imag > 0).all()


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown measure 'legz'; choose from legs, legt, lagt, fourier"):
        transition("legz", 4)
    with pytest.raises(ValueError, match="d_state = 5 must be even"):
        normal_plus_low_rank(5)
