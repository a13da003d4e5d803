"""Where kernels are tested: implementations on their devices. Without a GPU, Triton runs in its interpreter."""

import os

import pytest
import torch
from kernel_places import PLACES, Place, places, why_no_place

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports seqscale.kernels.gpu


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU; PyTorch sees none here")
    return torch.device(request.param)


@pytest.fixture(params=places())
def place(request: pytest.FixtureRequest) -> Place:
    """Every implementation, skipped with its reason where it cannot run. Fewer: parametrise indirectly."""
    found = PLACES[request.param]
    if reason := why_no_place(found):
        pytest.skip(f"{request.param}: {reason}")
    return found
