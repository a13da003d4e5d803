"""Implementations and the devices they are tested on."""

from typing import NamedTuple

import pytest
import torch

from seqscale.kernels.choice import why_not


class Place(NamedTuple):
    """An implementation and where its tensors lie."""

    implementation: str
    device: str

    @property
    def interpreted(self) -> bool:
        """Whether every operation of a kernel is a call of NumPy: keep it small."""
        return self.implementation == "triton" and self.device == "cpu"


PLACES = {
    "triton": Place("triton", "cuda"),
    "triton-interpreter": Place("triton", "cpu"),
    "cpu": Place("cpu", "cpu"),
    "chunked": Place("chunked", "cpu"),
    "chunked-cuda": Place("chunked", "cuda"),
    "reference": Place("reference", "cpu"),
}


def why_no_place(place: Place) -> str:
    """Why nothing can be tested there on this machine; empty where it can."""
    if place.device == "cuda" and not torch.cuda.is_available():
        return "needs a CUDA GPU; PyTorch sees none here"
    if place.interpreted and torch.cuda.is_available():
        return "Triton's interpreter stands in for a GPU; here is one"
    return why_not(place.implementation) if place.implementation in ("triton", "cpu") else ""


def places(*names: str) -> list[object]:
    """Parameters for `place`."""
    return [
        pytest.param(name, marks=pytest.mark.gpu) if PLACES[name].device == "cuda" else name for name in names or PLACES
    ]
