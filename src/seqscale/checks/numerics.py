"""Gradients against finite differences, and what lower precisions may cost."""

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError
from torch.func import functional_call

from seqscale.checks.case import Case, CheckFailed, start, tokens


def gradients(case: Case, pieces: bool = False) -> None:
    """Of the output (and through the carried state), for the input and every parameter, in float64."""
    mixer = case.make()
    names = [name for name, _ in mixer.named_parameters()]
    x = tokens(mixer, batch=2, length=4).requires_grad_()

    def run(x: Tensor, *values: Tensor) -> Tensor:
        parameters = dict(zip(names, values, strict=True))
        if not pieces:
            return functional_call(mixer, parameters, (x,))
        first, state = functional_call(mixer, parameters, (x[:, :2], start(mixer, length_max=4)))
        return torch.cat([first, functional_call(mixer, parameters, (x[:, 2:], state))[0]], dim=1)

    try:
        torch.autograd.gradcheck(run, (x, *mixer.parameters()), fast_mode=True)
    except GradcheckError as error:
        through = " through the carried state" if pieces else ""
        raise CheckFailed(f"gradients{through} differ from finite differences: {error}") from error


def every_parameter_matters(case: Case) -> None:
    """Every parameter gets a gradient that is not zero everywhere."""
    mixer = case.make()
    mixer(tokens(mixer)).square().sum().backward()
    idle = [n for n, p in mixer.named_parameters() if p.grad is None or not bool(p.grad.abs().max() > 0)]
    if idle:
        raise CheckFailed(f"no gradient reaches {', '.join(idle)}")


@torch.no_grad()
def float32_is_close(case: Case) -> None:
    """float32 gives float64's result to 1e-5 of its largest value."""
    mixer = case.make(torch.float32)
    x = tokens(mixer, length=40, dtype=torch.float32)
    y = mixer(x)
    expected = mixer.double()(x.double())
    if y.dtype != torch.float32:
        raise CheckFailed(f"float32 in, {y.dtype} out")
    off, scale = float((y - expected).abs().max()), float(expected.abs().max())
    if not off <= 1e-5 * scale + 1e-6:
        raise CheckFailed(f"float32 is {off:.3g} from float64, whose largest value is {scale:.3g}")


def bfloat16_autocast(case: Case) -> None:
    """Under bfloat16 autocast forward and steps agree with float32 to 3 % of its largest value, and in dtype."""
    mixer = case.make(torch.float32)
    x = tokens(mixer, length=24, dtype=torch.float32)
    with torch.no_grad():
        expected = mixer(x)
        with torch.autocast("cpu", torch.bfloat16):
            whole = mixer(x)
            first, state = mixer(x[:, :9], start(mixer, length_max=24, dtype=torch.float32))
            steps = []
            for t in range(9, 24):
                y, state = mixer.step(x[:, t], state)
                steps.append(y)
    pieces = torch.cat([first, torch.stack(steps, dim=1)], dim=1)
    if not whole.dtype == first.dtype == pieces.dtype:
        raise CheckFailed(f"dtypes differ: forward {whole.dtype}, with a state {first.dtype}, steps {pieces.dtype}")
    for name, y in (("forward", whole), ("forward and steps", pieces)):
        off = float((y - expected).abs().max() / expected.abs().max())
        if not off <= 0.03:
            raise CheckFailed(f"{name} under bfloat16 autocast is {100 * off:.2g} % from float32")
