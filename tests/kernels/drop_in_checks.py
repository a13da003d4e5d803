"""What the tests of the drop-in functions share."""

import pytest
import torch
from torch import Tensor

DTYPES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float64, 1e-12)], ids=str
)
BATCH, DIM, LENGTH, STATE = 2, 8, 13, 4


def wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def close(found: Tensor, right: Tensor, tolerance: float, what: str = "") -> None:
    error = (found.detach().double() - right.detach().double()).norm() / right.detach().double().norm().clamp(min=1e-30)
    assert error <= tolerance, f"{what}: relative error {error:.1e}"
