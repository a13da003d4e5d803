"""S4, S4D, Mamba-2 and Mamba's variants on a GPU: the numbers of the CPU, and bfloat16 autocast that trains."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seqscale.mixers import Mixer, get

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU; PyTorch sees none here"),
]
MODELS: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "config" / "models.yaml").read_text(encoding="utf-8")
)
NAMES = [name for name, spec in MODELS.items() if spec["mixer"] in ("lti_ssm", "s4", "mamba2", "mamba")]


def make(name: str) -> Mixer:
    torch.manual_seed(0)
    return get(MODELS[name]["mixer"])(64, **MODELS[name].get("mixer_options", {}))


@pytest.mark.parametrize("length", [1, 100, 2048])
@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_of_the_cpu(name: str, length: int) -> None:
    """float32 on the GPU against float64 on the CPU, with the state; to 1e-3 of the largest value (2,048 steps)."""
    mixer, x = make(name), torch.randn(2, length, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        y, state = mixer.cuda()(x.cuda(), mixer.init_state(2, length, torch.device("cuda"), torch.float32))
        exact = mixer.cpu().double()
        expected, last = exact(x.double(), exact.init_state(2, length, torch.device("cpu"), torch.float64))
    for found, wanted in ((y, expected), *((state[k], last[k]) for k in last)):
        if wanted.numel():
            assert (found.cpu() - wanted).abs().max() <= 1e-3 * wanted.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_autocast_trains(name: str) -> None:
    """Transforms, kernels and states stay in float32: gradients are numbers, near those of float32."""
    mixer, x = make(name).cuda(), torch.randn(4, 256, 64, generator=torch.Generator().manual_seed(1)).cuda()
    parameters, found = list(mixer.parameters()), []
    for autocast in (False, True):
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            y = mixer(x)
        found.append(torch.autograd.grad(y.float().square().mean(), parameters))
    for exact, rough in zip(*found, strict=True):
        assert rough.isfinite().all()
        assert (rough - exact).norm() <= 0.1 * exact.norm() + 1e-6
