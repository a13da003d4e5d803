"""S4: how it starts, and that convolution and recurrence are one model, in the float32 that it trains in."""

import math

import numpy as np
import pytest
import torch

from seqscale.mixers.lti_ssm import LTISSM, eigenvalues
from seqscale.mixers.s4 import S4
from seqscale.systems.hippo import normal_plus_low_rank


def test_starts_as_hippo_legs() -> None:
    torch.manual_seed(0)
    m = S4(8, d_state=16)
    system = m.discrete()
    Lambda, P, B, _ = normal_plus_low_rank(16)
    for found, wanted in ((system.Lambda, Lambda), (system.P, P), (system.B, B)):
        for channel in found.detach().numpy():
            np.testing.assert_allclose(channel, wanted, rtol=1e-5)
    assert 1e-3 * 0.999 <= system.dt.min() <= system.dt.max() <= 1e-1 * 1.001
    exempt = {name for name, p in m.named_parameters() if getattr(p, "no_weight_decay", False)}
    assert exempt == {"log_dt", "log_A_real", "A_imag", "P", "B", "C", "D"}


def test_random_start_has_the_size_of_legs_and_not_its_numbers() -> None:
    torch.manual_seed(0)
    random, legs = S4(64, d_state=16, init="random").discrete(), S4(64, d_state=16).discrete()
    for name in ("P", "B"):
        one, other = getattr(random, name).abs(), getattr(legs, name).abs()
        assert one.square().mean().item() == pytest.approx(other.square().mean().item(), rel=0.2)
    assert random.Lambda.real.max() < 0, "stable all the same"
    assert random.Lambda.std(dim=0).abs().min() > 0, "every channel has its own"


@pytest.mark.parametrize("d_state", [16, 64])
@pytest.mark.parametrize(("init", "tolerance"), [("legs", 1e-5), ("random", 5e-5)])
def test_convolution_is_the_recurrence(init: str, tolerance: float, d_state: int) -> None:
    """To 1e-5 of the largest output, in float32, over 256 tokens; a random system may be nearer to its resonances."""
    torch.manual_seed(0)
    m, x = S4(16, d_state=d_state, init=init), torch.randn(2, 256, 16)
    with torch.inference_mode():
        whole, state, steps = m(x), m.init_state(2, 256, x.device, x.dtype), []
        for t in range(256):
            y, state = m.step(x[:, t], state)
            steps.append(y)
    assert (torch.stack(steps, dim=1) - whole).abs().max() <= tolerance * whole.abs().max()


def test_eigenvalues_of_s4d() -> None:
    """S4D-Lin, S4D-Inv and S4D-LegS as printed (arXiv 2206.11893, eqs. 8 and 9)."""
    n = torch.arange(4.0)
    torch.testing.assert_close(eigenvalues("lin", 2, 4).imag, (math.pi * n).repeat(2, 1))
    torch.testing.assert_close(eigenvalues("inv", 2, 4).imag, (8 / math.pi * (8 / (2 * n + 1) - 1)).repeat(2, 1))
    legs = torch.from_numpy(normal_plus_low_rank(8)[0].imag).float()
    torch.testing.assert_close(eigenvalues("legs", 2, 4).imag, legs.repeat(2, 1))
    for init in ("lin", "inv", "legs"):
        assert (eigenvalues(init, 2, 4).real == -0.5).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: S4(8, init="legz"), "unknown init 'legz'; choose from legs, random"),
        (lambda: S4(8, d_state=7), "d_state = 7 must be even"),
        (lambda: LTISSM(8, init="line"), "unknown init 'line'; choose from lin, inv, legs, random"),
        (lambda: LTISSM(8, discretisation="euler"), "unknown discretisation 'euler'; choose from zoh, bilinear"),
    ],
)
def test_unknown_options_are_refused(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=words):
        make()
