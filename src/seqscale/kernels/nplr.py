"""S4's convolution kernel: a state space that is diagonal plus one rank (Gu et al. 2022, arXiv 2111.00396).

Per channel x' = A x + B u, y = 2 Re <C, x> with A = diag(Lambda) - P P^* on conjugate pairs, of which one of each is
kept: `pairs` complex numbers are d_state = 2 pairs real ones. Discretised by the bilinear rule with step dt.

The kernel K_l = C A-bar^l B-bar is read off its generating function at the roots of unity (section 3.1, appendix C.3):

    sum_{l < length} K_l z^l = C~ (alpha - beta A)^-1 2 B
    alpha = 2/dt (1 - z),   beta = 1 + z,   C~ = C (1 - A-bar^length)

where Woodbury's identity turns the inverse into Cauchy sums over the eigenvalues, 1 / (alpha - beta lambda). Written
with alpha and beta, and not with their quotient as in the paper, nothing is singular at z = -1.

Two deviations from the paper. C is what is learned, not C~, so that a layer means the same at any length; that costs
one power of A-bar, log2(length) matrix products. And low-rank terms are P P^* and not P Q^*, so that A stays stable
whatever is learned (Goel et al. 2022, arXiv 2202.09729).
"""

from typing import NamedTuple

import torch
from torch import Tensor


class NPLR(NamedTuple):
    """A system for each channel: Lambda, P, B, C (channels, pairs) complex, dt (channels,) real and positive."""

    Lambda: Tensor
    P: Tensor
    B: Tensor
    C: Tensor
    dt: Tensor


def nplr_step(system: NPLR, x: Tensor, u: Tensor | None = None) -> Tensor:
    """A-bar x + B-bar u, in O(pairs).

    Args:
        x: (..., channels, pairs) complex. u: (..., channels) real, or None for no input.

    Returns:
        The next x, like x.
    """
    Lambda, P, B, _, dt = system
    half = dt.unsqueeze(-1) / 2
    right = x + half * (Lambda * x - 2 * P * _inner(P, x))
    if u is not None:
        right = right + 2 * half * B * u.unsqueeze(-1)
    # (1 - dt/2 A) y = right, by Sherman and Morrison
    inverse = 1 / (1 - half * Lambda)
    solved, column = inverse * right, inverse * P
    share = 2 * half * _inner(P, solved) / (1 + 2 * half * _inner(P, column))
    return solved - column * share


def _inner(P: Tensor, x: Tensor) -> Tensor:
    """Re <P, x> over the pairs, kept as a dimension of one: half of P^* x over the whole conjugate spectrum."""
    return (P.real * x.real + P.imag * x.imag).sum(-1, keepdim=True)


def nplr_dense(system: NPLR) -> tuple[Tensor, Tensor, Tensor]:
    """The discrete system in real coordinates [Re x, Im x].

    Returns:
        A-bar (channels, d_state, d_state), B-bar (channels, d_state), C (channels, d_state), real: y = C x.
    """
    pairs = system.Lambda.shape[1]
    units = torch.eye(pairs, dtype=system.Lambda.dtype, device=system.Lambda.device)
    states = torch.cat([units, 1j * units]).unsqueeze(1)  # (d_state, 1, pairs)
    columns = _real(nplr_step(system, states.expand(-1, *system.Lambda.shape)))
    nothing = torch.zeros_like(system.Lambda)
    B = _real(nplr_step(system, nothing, torch.ones_like(system.dt)))
    return columns.permute(1, 2, 0), B, 2 * torch.cat([system.C.real, -system.C.imag], dim=-1)


def _real(x: Tensor) -> Tensor:
    """Complex pairs (..., pairs) -> real coordinates (..., d_state)."""
    return torch.cat([x.real, x.imag], dim=-1)


def nplr_kernel(system: NPLR, length: int) -> Tensor:
    """The convolution kernel K_l = C A-bar^l B-bar, l = 0 ... length - 1: (channels, length), real.

    O(length d_state) for the Cauchy sums, O(length log length) for the transform, O(d_state^3 log length) for C~.
    """
    with torch.autocast(system.dt.device.type, enabled=False):  # in bfloat16 a kernel is worthless, and has no FFT
        A, _, C = nplr_dense(system)
        rest = C - _times_power(C, A, length)
        pairs = system.Lambda.shape[1]
        C = torch.complex(rest[:, :pairs], -rest[:, pairs:]) / 2
        return torch.fft.irfft(_generating(system._replace(C=C), length), n=length)


def _times_power(row: Tensor, matrix: Tensor, power: int) -> Tensor:
    """row matrix^power by repeated squaring; A-bar is a contraction, so nothing grows."""
    row = row.unsqueeze(-2)
    while True:
        if power & 1:
            row = row @ matrix
        power >>= 1
        if not power:
            return row.squeeze(-2)
        matrix = matrix @ matrix


def _generating(system: NPLR, length: int) -> Tensor:
    """C (alpha - beta A)^-1 2 B at z = exp(-2 pi i k / length), k = 0 ... length // 2: (channels, that many).

    On the unit circle, z = exp(-2 i phi), alpha = 2 i a exp(-i phi) and beta = 2 c exp(-i phi) with a = 2/dt sin(phi)
    and c = cos(phi), so the Cauchy matrix of conjugate pairs is computed in real numbers.
    """
    Lambda, P, B, C, dt = system
    phi = torch.arange(length // 2 + 1, device=dt.device, dtype=torch.float64) * (torch.pi / length)
    cos, turn = torch.cos(phi).to(dt.dtype), torch.polar(torch.ones_like(phi), phi).to(Lambda.dtype)
    a = torch.outer(2 / dt, torch.sin(phi).to(dt.dtype)).unsqueeze(-2)  # (channels, 1, points)
    # v / (ia - c lambda) and its conjugate pair: (2 Re v ia - 2 Re(v conj lambda) c) / (both denominators)
    scaled = Lambda.abs().unsqueeze(-1) * cos
    real, imaginary = (scaled - a) * (scaled + a), Lambda.real.unsqueeze(-1) * (-2 * a * cos)
    size = real * real + imaginary * imaginary
    products = torch.stack([C * B, C * P, P.conj() * B, P.conj() * P], dim=-2)
    weights = 2 * torch.cat([products.real, (products * Lambda.conj().unsqueeze(-2)).real], dim=-2)
    sums = weights @ torch.cat([real / size, -imaginary / size], dim=-1)  # one real matrix product
    above, below = torch.complex(*sums.chunk(2, dim=-1)).chunk(2, dim=-2)
    CB, CP, PB, PP = (1j * a * above - cos * below).unbind(-2)
    return turn * (CB - cos * CP * PB / (1 + cos * PP))


def krylov(matrix: Tensor, vector: Tensor, length: int) -> Tensor:
    """matrix^l vector for l = 0 ... length - 1, by doubling.

    (channels, d_state, d_state), (channels, d_state) -> (channels, length, d_state).
    """
    with torch.autocast(matrix.device.type, enabled=False):
        found, turned = vector.unsqueeze(1), matrix.transpose(1, 2)
        while found.shape[1] < length:
            found = torch.cat([found, found[:, : length - found.shape[1]] @ turned], dim=1)
            if found.shape[1] < length:
                turned = turned @ turned
        return found


def nplr_kernel_flops(channels: int, d_state: int, length: int) -> int:
    """Matrix products of `nplr_kernel`, without its transform: the power of A-bar and the Cauchy sums."""
    squarings, products = length.bit_length() - 1, length.bit_count()
    power = 2 * channels * d_state**2 * (d_state * squarings + products)
    return power + 2 * channels * 8 * (d_state // 2) * 2 * (length // 2 + 1)
