"""Claim 002.s4: is S4's normal-plus-low-rank form a cheap and stable way to the convolution kernel?

The kernel of HiPPO-LegS with one step size per channel, computed in four ways:

    nplr           Cauchy sums at the roots of unity (`kernels.nplr`), float32
    dense          Krylov vectors of the dense A-bar by doubling, the fastest dense way there is here, float32
    power_series   A-bar applied once per step, the definition, float32
    diagonalised   eigenvectors of the dense A, float64: cheap, and unstable (S4, lemma 3.2)

Errors are the largest difference from the power series in float64, as a share of the largest value of each channel.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqscale.analyses.row import row
from seqscale.benchmarks.timing import measure
from seqscale.devices import resolve_device
from seqscale.kernels import diagonal_ssm_kernel
from seqscale.kernels.nplr import NPLR, krylov, nplr_dense, nplr_kernel
from seqscale.systems.hippo import normal_plus_low_rank, transition

SUITE = "nplr_kernel"


def system(d_state: int, channels: int, seed: int) -> NPLR:
    """HiPPO-LegS with random C, float64; dt log-uniform from 1e-3 to 1e-1."""
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, d_state // 2)
    Lambda, P, B = (torch.from_numpy(a).expand(shape) for a in normal_plus_low_rank(d_state)[:3])
    C = torch.complex(*torch.randn(2, *shape, generator=generator, dtype=torch.float64))
    return NPLR(Lambda, P, B, C, torch.logspace(-3, -1, channels, dtype=torch.float64))


def power_series(A: Tensor, B: Tensor, C: Tensor, length: int) -> Tensor:
    """C A-bar^l B-bar, one l after the other: dense (channels, d, d), (channels, d), (channels, d)."""
    x, out = B.unsqueeze(-1), []
    for _ in range(length):
        out.append((C.unsqueeze(-2) @ x).flatten())
        x = A @ x
    return torch.stack(out, dim=1)


def diagonalised(given: NPLR, d_state: int, length: int) -> Tensor:
    """By eigenvectors of the dense HiPPO matrix itself: A-bar^l = V diag(...)^l V^-1, float64."""
    A, b = transition("legs", d_state)
    values, V = np.linalg.eig(A)
    basis = normal_plus_low_rank(d_state)[3]  # C stands on the unitary basis; y = 2 Re <C, basis^* x>
    C = 2 * (given.C.cpu().numpy() @ basis.conj().T).real
    left, right = torch.from_numpy((C @ V).astype(complex)), torch.from_numpy(np.linalg.solve(V, b).astype(complex))
    half = torch.from_numpy(values.astype(complex)) * given.dt.cpu().unsqueeze(-1) / 2
    decay, gain = torch.log1p(half) - torch.log1p(-half), given.dt.cpu().unsqueeze(-1) / (1 - half) * right
    return diagonal_ssm_kernel(decay, left * gain, length) / 2  # it counts pairs; here all eigenvalues are there


def rows(config: dict[str, Any], *_: object) -> Iterator[dict[str, Any]]:
    """Times and errors.

    Args:
        config: device, threads (of PyTorch); settings: d_state (list), channels, lengths (list), repeats, min_seconds,
            seed.
    """
    torch.set_num_threads(config["threads"])
    settings, device = config["settings"], resolve_device(config["device"])
    for d_state in settings["d_state"]:
        yield from _of_one_size(d_state, settings, device)


def _of_one_size(d_state: int, settings: dict[str, Any], device: torch.device) -> Iterator[dict[str, Any]]:
    channels = settings["channels"]
    exact = system(d_state, channels, settings["seed"])
    low = [v.to(device, torch.complex64) for v in exact[:4]]
    single = NPLR(low[0], low[1], low[2], low[3], exact.dt.to(device, torch.float32))
    dense = nplr_dense(single)
    wide = nplr_dense(exact)
    for length in sorted(settings["lengths"]):
        expected = power_series(*wide, length)

        def by_krylov(length: int = length) -> Tensor:
            A, B, C = dense
            return torch.einsum("cln,cn->cl", krylov(A, B, length), C)

        ways: dict[str, Callable[[], Tensor]] = {
            "nplr": lambda n=length: nplr_kernel(single, n),  # type: ignore[misc]
            "dense": by_krylov,
            "power_series": lambda n=length: power_series(*dense, n),  # type: ignore[misc]
            "diagonalised": lambda n=length: diagonalised(exact, d_state, n),  # type: ignore[misc]
        }
        for name, way in ways.items():
            about = {"length": length, "d_inner": channels, "d_state": d_state, "batch": 1, "direction": "kernel"}
            where = "cpu" if name == "diagonalised" else device.type
            about |= {"device": where, "dtype": "float64" if name == "diagonalised" else "float32"}
            with torch.inference_mode():
                found = way().double().cpu()
                error = (found - expected).abs().amax(1) / expected.abs().amax(1)
                error = error.nan_to_num(nan=torch.inf)  # overflow: as wrong as can be
                yield row(SUITE, name, "error", error.numpy(), **about, implementation="torch", unit="share")
                if name == "diagonalised":  # what is wrong is not timed
                    continue
                timed = measure(way, repeats=settings["repeats"], min_seconds=settings["min_seconds"], device=device)
            values = {"median": timed.median, "p20": timed.p20, "p80": timed.p80, "repeats": timed.repeats}
            more = {**about, "implementation": "torch", "unit": "s", **values}
            yield row(SUITE, name, "time", np.array([timed.median]), **more)
