"""Each check catches the fault that it is there for; a sound mixer passes all."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqscale.checks import CHECKS, Case, cases_of, check_mixer
from seqscale.checks.runner import run_check
from seqscale.mixers import Mixer, State


class Decay(Mixer):
    """h = a * h + W x: the least mixer with a state, for faults to be put into."""

    def __init__(self, d_model: int) -> None:
        super().__init__(d_model)
        self.map = nn.Linear(d_model, d_model, bias=False)
        self.log_a = nn.Parameter(torch.full((d_model,), -0.5))

    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        u, h, outputs = self.map(x), torch.zeros_like(x[:, 0]) if state is None else state["h"], []
        for t in range(x.shape[1]):
            h = self.log_a.exp() * h + u[:, t]
            outputs.append(h)
        return torch.stack(outputs, dim=1).to(u.dtype), {"h": h}

    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        return {"h": torch.zeros(batch, self.d_model, device=device, dtype=self.log_a.dtype)}

    def flops(self, batch: int, length: int, context: int = 0) -> int:
        return 2 * batch * length * self.d_model**2

    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        return batch * self.d_model * self.log_a.element_size()


class ForgetsItsState(Decay):
    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        return super().mix(x, None)


class StepsDiffer(Decay):
    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = super().step(x, state)
        return 1.01 * y, state


class LooksAhead(Decay):
    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        return super().mix(x + x.mean(dim=1, keepdim=True), state)


class MeetsOtherRows(Decay):
    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        return super().mix(x - x.mean(dim=0, keepdim=True), state)


class EvenLengthsOnly(Decay):
    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        y, state = super().mix(x, state)
        return (y[:, :16] if x.shape[1] > 16 else y), state


class Draws(Decay):
    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        y, state = super().mix(x, state)
        return y + 1e-3 * torch.rand(()).item(), state


class CutsTheGradient(Decay):
    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        return super().mix(x, None if state is None else {"h": state["h"].detach()})


class IdleParameter(Decay):
    def __init__(self, d_model: int) -> None:
        super().__init__(d_model)
        self.unused = nn.Parameter(torch.ones(3))


class ComputesInHalf(Decay):
    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        y, state = super().mix(x, state)
        return (y.bfloat16().to(y.dtype) if y.dtype == torch.float32 else y), state


class WrongUnderAutocast(Decay):
    def mix(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        y, state = super().mix(x, state)
        return (1.1 * y if y.dtype == torch.bfloat16 else y), state


class HidesHalfItsState(Decay):
    def state_bytes(self, batch: int, length: int, dtype: torch.dtype) -> int:
        return super().state_bytes(batch, length, dtype) // 2


class CountsTooLittle(Decay):
    def flops(self, batch: int, length: int, context: int = 0) -> int:
        return int(0.95 * super().flops(batch, length))


class StateOfAnotherDtype(Decay):
    def init_state(self, batch: int, length_max: int, device: torch.device, dtype: torch.dtype) -> State:
        return {"h": super().init_state(batch, length_max, device, dtype)["h"].half()}


FAULTS = {
    "pieces": ForgetsItsState,
    "steps": StepsDiffer,
    "lengths": EvenLengthsOnly,
    "causality": LooksAhead,
    "rows": MeetsOtherRows,
    "determinism": Draws,
    "gradients": CutsTheGradient,
    "parameters": IdleParameter,
    "float32": ComputesInHalf,
    "bfloat16": WrongUnderAutocast,
    "state": HidesHalfItsState,
    "flops": CountsTooLittle,
    "contract": StateOfAnotherDtype,
}


def failed(mixer: type[Mixer], *only: str) -> dict[str, str]:
    outcomes = [run_check(check, Case(mixer, 6)) for check in CHECKS if not only or check.name in only]
    return {outcome.check: outcome.message for outcome in outcomes if not outcome.ok}


def test_a_sound_mixer_passes_all() -> None:
    assert failed(Decay) == {}


def test_every_check_has_its_fault() -> None:
    assert set(FAULTS) == {check.name for check in CHECKS}


@pytest.mark.parametrize(("check", "mixer"), FAULTS.items())
def test_the_check_catches_its_fault(check: str, mixer: type[Mixer]) -> None:
    assert failed(mixer, check), "passed"


def test_messages_say_where_and_how_much() -> None:
    assert "(the mixer looks ahead): differs by up to" in failed(LooksAhead, "causality")["causality"]
    assert "the formula says 1,504 FLOPs, the counter 1,584 (-5.1 %)" in failed(CountsTooLittle, "flops")["flops"]
    assert "no gradient reaches unused" in failed(IdleParameter, "parameters")["parameters"]


def test_what_a_mixer_raises_is_an_outcome_and_stops_nothing() -> None:
    class Breaks(Decay):
        def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
            raise KeyError("h2")

    assert "KeyError" in failed(Breaks, "steps", "pieces")["steps"]
    assert "pieces" not in failed(Breaks, "steps", "pieces")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mambo",), "unknown mixer 'mambo'; choose from attention"),
        (("mamba", 8, {"d_stat": 3}), "the mixer 'mamba' has no option 'd_stat'; it has d_state"),
        (("attention", 7), "n_heads = 4 does not divide d_model = 7"),
        (("mamba", 8, {}, "causal"), "there is no check 'causal'; there are contract, pieces"),
    ],
)
def test_bad_requests(arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(check_mixer(*arguments))


def test_an_odd_width_is_tried_where_the_mixer_takes_it() -> None:
    assert [case.d_model for case in cases_of("mamba", None, {})] == [16, 7]
    assert [case.d_model for case in cases_of("attention", None, {})] == [16]
