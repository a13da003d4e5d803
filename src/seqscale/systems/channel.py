"""One channel of a time-invariant mixer as a linear system in real coordinates, and what SciPy makes of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqscale.systems.discretise import discretise

if TYPE_CHECKING:
    from scipy.signal import StateSpace, dlti


@dataclass(frozen=True)
class Channel:
    """x' = A x + B u, y = C x + D u, and how it is put into steps.

    A (d_state, d_state), B (d_state,), C (d_state,), real, float64; D and dt numbers; `method` "zoh" or "bilinear".

    A mixer's output at step t sees the input at t in its state already, y_t = C x_t with x_t = A-bar x_{t-1} +
    B-bar u_t; SciPy's discrete systems put the input in later, x_{t+1} = A-bar x_t + B-bar u_t. `dlti` answers in
    SciPy's form and gives the mixer's outputs: its C is C A-bar and its D is D + C B-bar.
    """

    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    D: float
    dt: float
    method: str

    @classmethod
    def of_pairs(
        cls,
        A: np.ndarray,
        B: np.ndarray,
        C: np.ndarray,
        D: float,
        dt: float,
        method: str,
        P: np.ndarray | None = None,
    ) -> "Channel":
        """From conjugate pairs, of which one of each is given: y = 2 Re <C, x>; with P, A - P P^* over both.

        Args:
            A: (pairs, pairs) complex. B, C, P: (pairs,) complex.
        """
        real = np.block([[A.real, -A.imag], [A.imag, A.real]])
        if P is not None:
            p = np.concatenate([P.real, P.imag])
            real = real - 2 * np.outer(p, p)
        return cls(
            real.astype(np.float64),
            np.concatenate([np.real(B), np.imag(B)]).astype(np.float64),
            2 * np.concatenate([np.real(C), -np.imag(C)]).astype(np.float64),
            float(D),
            float(dt),
            method,
        )

    def state_space(self) -> "StateSpace":
        """The continuous system, `scipy.signal.StateSpace`."""
        from scipy.signal import StateSpace

        return StateSpace(self.A, self.B[:, None], self.C[None, :], np.array([[self.D]]))

    def dlti(self) -> "dlti":
        """The discrete system with the mixer's own outputs, `scipy.signal.dlti` with steps of dt (in A's time)."""
        from scipy.signal import dlti

        A, B = discretise(self.A, self.B, self.dt, self.method)
        return dlti(A, B[:, None], (self.C @ A)[None, :], np.array([[self.D + self.C @ B]]), dt=self.dt)
