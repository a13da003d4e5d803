"""SciPy's own tools check our discretisation and responses: cont2discrete, dimpulse, dlsim, lsim."""

import numpy as np
import pytest
import scipy.signal
import torch

from seqscale.mixers.lti_ssm import LTISSM, GatedLTI
from seqscale.mixers.s4 import S4
from seqscale.systems.discretise import discretise
from seqscale.systems.hippo import MEASURES, transition

MIXERS = {
    "s4d-lin-zoh": lambda: LTISSM(4, d_state=8),
    "s4d-inv-bilinear": lambda: LTISSM(4, d_state=8, init="inv", discretisation="bilinear"),
    "s4": lambda: S4(4, d_state=16),
    "s4-random": lambda: S4(4, d_state=8, init="random"),
}


@pytest.fixture(params=MIXERS.values(), ids=MIXERS.keys())
def mixer(request: pytest.FixtureRequest) -> GatedLTI:
    torch.manual_seed(0)
    return request.param().double()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("method", ["zoh", "bilinear"])
def test_discretisation_is_scipys(measure: str, method: str) -> None:
    """cont2discrete, to 1e-11 of the largest entry."""
    A, B = transition(measure, 12)
    wanted = scipy.signal.cont2discrete((A, B[:, None], np.eye(12), np.zeros((12, 1))), 0.01, method)
    found = discretise(A, B, 0.01, method)
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-11 * np.abs(wanted[0]).max())
    np.testing.assert_allclose(found[1], wanted[1][:, 0], atol=1e-11 * np.abs(wanted[1]).max())


def test_a_singular_system_is_discretised() -> None:
    """A pure integrator: A^-1 does not exist, its ZOH does."""
    A, B = discretise(np.zeros((1, 1)), np.ones(1), 0.5, "zoh")
    np.testing.assert_allclose([A[0, 0], B[0]], [1.0, 0.5])


@pytest.mark.parametrize("index", [0, 7])
def test_kernel_is_scipys_impulse_response(mixer: GatedLTI, index: int) -> None:
    """dimpulse of the exported channel is the mixer's convolution kernel with D on its first place: to 1e-9."""
    channel = mixer.channel(index)
    system = channel.dlti()
    assert system.dt == channel.dt
    _, (response,) = scipy.signal.dimpulse(system, n=51)  # one more: it loses a step where n * dt rounds down
    response = response[:50]
    kernel = mixer.kernel(mixer.discrete(), 50)[index].detach().numpy().copy()
    kernel[0] += mixer.D[index].item()
    np.testing.assert_allclose(response[:, 0], kernel, atol=1e-9 * np.abs(kernel).max())


def test_recurrence_is_scipys_simulation(mixer: GatedLTI) -> None:
    """dlsim on random input against the mixer's steps, token by token: to 1e-9."""
    index, u = 3, np.random.default_rng(0).normal(size=40)
    _, y, _ = scipy.signal.dlsim(mixer.channel(index).dlti(), u)
    state = mixer.init_state(1, 40, torch.device("cpu"), torch.float64)["ssm"]
    outputs = []
    with torch.no_grad():
        system = mixer.discrete()
        for value in u:
            x = torch.full((1, mixer.d_inner), value, dtype=torch.float64)
            out, state = mixer.advance(system, state, x)
            outputs.append((out + mixer.D * x)[0, index].item())
    np.testing.assert_allclose(outputs, y[:, 0], atol=1e-9 * np.abs(y).max())


def test_scipy_discretises_the_exported_system_to_the_same_kernel(mixer: GatedLTI) -> None:
    """The continuous StateSpace through SciPy's own discretisation, without ours: to 1e-9."""
    channel = mixer.channel(1)
    space = channel.state_space()
    given = (space.A, space.B, space.C, space.D)
    A, B, *_ = scipy.signal.cont2discrete(given, channel.dt, channel.method)
    x, response = B[:, 0], []
    for _ in range(30):
        response.append((channel.C @ x).item())
        x = A @ x
    kernel = mixer.kernel(mixer.discrete(), 30)[1].detach().numpy()
    np.testing.assert_allclose(response, kernel, atol=1e-9 * np.abs(kernel).max())


def test_zoh_is_exact_for_a_held_input() -> None:
    """lsim of the continuous system, input held (interp=False), meets the ZOH outputs at the ends of steps: to 1e-8."""
    torch.manual_seed(0)
    mixer = LTISSM(4, d_state=8).double()
    channel, u = mixer.channel(2), np.random.default_rng(1).normal(size=25)
    held = np.append(u, 0.0)  # lsim answers at the beginnings: the output after u[t] stands at t + 1
    time = np.arange(26) * channel.dt
    _, y, _ = scipy.signal.lsim(channel.state_space(), held, time, interp=False)
    _, ours, _ = scipy.signal.dlsim(channel.dlti(), u)
    np.testing.assert_allclose(y[1:] - channel.D * held[1:], ours[:, 0] - channel.D * u, atol=1e-8 * np.abs(y).max())
