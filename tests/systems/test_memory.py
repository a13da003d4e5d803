"""The memory experiment: recall is what the projection would be, and errors are what they are called."""

import numpy as np
import pytest

from seqscale.systems.memory import best_polynomial, recall, relative_error, remember, weight_of, white_noise


@pytest.fixture(scope="module")
def signals() -> np.ndarray:
    return white_noise(length=1500, waves=3, signals=4, seed=0)


def test_signals_are_seeded_and_band_limited(signals: np.ndarray) -> None:
    assert signals.shape == (1500, 4)
    assert np.array_equal(white_noise(1500, 3, 4, seed=0), signals)
    assert not np.array_equal(white_noise(1500, 3, 4, seed=1), signals)
    many = white_noise(1000, 5, 400, seed=2)
    assert abs((many**2).mean() - 1) < 0.1
    jumps = np.abs(np.diff(many, axis=0)).max()
    assert jumps < 2 * np.pi * 5 / 1000 * 6, "no step is larger than the highest frequency allows"


def test_legs_remembers_as_well_as_a_polynomial_can(signals: np.ndarray) -> None:
    """Online, one step at a time, it reaches the least-squares fit to all of the past (up to its discretisation)."""
    for d_state in (4, 10):
        past = recall("legs", remember("legs", d_state, signals, theta=1.0), 1500, theta=1.0)
        assert np.abs(past - best_polynomial(d_state, signals)).max() < 0.06


def test_more_state_remembers_more(signals: np.ndarray) -> None:
    for measure in ("legs", "legt", "fourier"):
        errors = [
            relative_error(signals, recall(measure, remember(measure, n, signals, 1500), 1500, 1500)).mean()
            for n in (3, 9, 33)
        ]
        assert errors[0] > errors[1] > errors[2], measure
        assert errors[2] < 0.2, measure


@pytest.mark.parametrize(("measure", "d_state", "error"), [("legt", 12, 0.02), ("fourier", 65, 0.3)])
def test_a_short_window_recalls_what_lies_within_it(
    measure: str, d_state: int, error: float, signals: np.ndarray
) -> None:
    past = recall(measure, remember(measure, d_state, signals, 300), 1500, 300)
    assert relative_error(signals, past, weight_of(measure, 1500, 300)).max() < error
    assert (past[:1200] == 0).all(), "nothing is told of what lies before"


def test_laguerre_recalls_the_recent_past_best(signals: np.ndarray) -> None:
    past = recall("lagt", remember("lagt", 32, signals, 100), 1500, 100)
    assert relative_error(signals[-200:], past[-200:]).max() < 0.05


def test_errors() -> None:
    signal = np.array([[3.0], [4.0]])
    assert relative_error(signal, signal) == 0
    assert relative_error(signal, np.zeros((2, 1))) == 1
    assert relative_error(signal, np.array([[3.0], [0.0]])) == pytest.approx(0.8)
    assert relative_error(signal, np.array([[3.0], [0.0]]), weight=np.array([1.0, 0.0])) == 0
