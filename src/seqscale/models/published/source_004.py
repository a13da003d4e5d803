"""The layer that source 004 (an article) prints as a parallel scan, as published."""

import torch
from torch import Tensor, nn

from seqscale.models.published.base import PublishedModel


class DenseSSM(PublishedModel):
    """x_t = A_bar x_{t-1} + B_bar u_t, y_t = C x_t: one scalar channel, a dense A of (d_state, d_state).

    Odd: called a parallel scan, it is a loop over the tokens, one dense product of the state after another; A is
    dense, so a step costs d_state^2 where a diagonal costs d_state; nothing depends on the input (LTI), so it selects
    nothing; and there is one channel. Discretised by zero-order hold at each call, A_bar = exp(dt A),
    B_bar = A^-1 (A_bar - I) B. d_model and n_layers are not used.

    As a stand-in for a scalar signal, tokens are read as numbers in [0, 1). The result is (batch, length, 1).
    """

    def __init__(
        self, vocab_size: int, context: int, d_model: int, n_layers: int, *, d_state: int = 16, dt: float = 0.01
    ) -> None:
        super().__init__()
        self.vocab_size, self.d_state, self.dt = vocab_size, d_state, dt
        self.A = nn.Parameter(torch.randn(d_state, d_state) / d_state**0.5 - torch.eye(d_state))
        self.B = nn.Parameter(torch.randn(d_state, 1))
        self.C = nn.Parameter(torch.randn(1, d_state))

    def discretised(self) -> tuple[Tensor, Tensor]:
        """A_bar (d_state, d_state) and B_bar (d_state, 1) by zero-order hold."""
        a_bar = torch.linalg.matrix_exp(self.dt * self.A)
        unit = torch.eye(self.d_state, dtype=a_bar.dtype, device=a_bar.device)
        return a_bar, torch.linalg.solve(self.A, (a_bar - unit) @ self.B)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.scan(tokens.to(self.A.dtype) / self.vocab_size)

    def scan(self, u: Tensor) -> Tensor:
        """The signal u, (batch, length) -> y, (batch, length, 1)."""
        a_bar, b_bar = self.discretised()
        state = u.new_zeros(u.shape[0], self.d_state)
        outputs = []
        for t in range(u.shape[1]):
            state = state @ a_bar.T + u[:, t, None] * b_bar.T
            outputs.append(state @ self.C.T)
        return torch.stack(outputs, dim=1)

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        """A dense product and one with C for each token, and B_bar; the exponential and the solution are left out."""
        steps = 2 * batch * length * (self.d_state**2 + self.d_state)
        return steps + 2 * self.d_state**2


ARCHITECTURES = {"dense_ssm": DenseSSM}
