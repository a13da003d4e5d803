"""FLOP formulas of this package's operations, handed to PyTorch's counter when somebody imports it.

`torch.utils.flop_counter` imports triton, 0.2 s; a process that counts nothing should not pay for it. So formulas wait
here until that module is loaded (at once where it already is).
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_COUNTER = "torch.utils.flop_counter"
_waiting: list[tuple[Any, Callable[..., int]]] = []


def scan_flops(batch: int, length: int, d_inner: int, d_state: int) -> int:
    """Floating-point operations of one forward scan: 9 per state element and token.

    The count that Gu & Dao's own code uses: exp(delta A) 2, delta B u 2 and B's outer product 1, the recurrence 2,
    the product with C 2. The backward counts twice that, as for every operation.
    """
    return 9 * batch * length * d_inner * d_state


def count(operation: Any, formula: Callable[..., int]) -> None:
    """Register `formula` for an operation (`torch.ops.seqscale.NAME`), as `register_flop_formula` does.

    The formula gets the operation's arguments, shapes in place of tensors, and `out_shape`.
    """
    _waiting.append((operation, formula))
    if (module := sys.modules.get(_COUNTER)) is not None:
        _hand_over(module)


def _hand_over(module: ModuleType) -> None:
    while _waiting:
        operation, formula = _waiting.pop()
        module.register_flop_formula(operation)(formula)


class _Loader(importlib.abc.Loader):
    """The module's own loader; hands the formulas over when it is done."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        _hand_over(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the counter's module where Python would, and goes."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _COUNTER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


if _COUNTER not in sys.modules:
    sys.meta_path.insert(0, _Finder())
