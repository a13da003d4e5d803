"""Which implementation runs, and what is said where the fast one cannot."""

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from seqscale.kernels import choice, selective_scan
from seqscale.kernels.choice import choose

ALLOWED = ("triton", "cpu", "chunked", "reference")


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    """Nothing found out or said before counts, and nothing of here counts later."""
    remembered = choice.why_not, choice._warn_once
    for function in remembered:
        function.cache_clear()
    yield
    for function in remembered:
        function.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Reasons why "cpu" and "triton" cannot run, to be filled in."""
    reasons = {"cpu": "", "triton": ""}
    monkeypatch.setattr(choice, "why_not", reasons.__getitem__)
    return reasons


class Pretended:
    """A tensor as far as the choice looks at one."""

    def __init__(self, device: str, dtype: torch.dtype = torch.float32) -> None:
        self.device, self.dtype = torch.device(device), dtype


def chosen(x: Any, wanted: str = "auto") -> str:
    return choose(wanted, x, "selective_scan", "chunked", ALLOWED)


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [
        ("cuda", torch.float32, "triton"),
        ("cuda", torch.bfloat16, "triton"),
        ("cpu", torch.float32, "cpu"),
        ("cpu", torch.bfloat16, "cpu"),
        ("cpu", torch.float16, "cpu"),
        ("cpu", torch.float64, "chunked"),
        ("cuda", torch.float64, "chunked"),
        ("meta", torch.float32, "chunked"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("machine")
def test_auto_takes_the_fast_one_silently(device: str, dtype: torch.dtype, expected: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(Pretended(device, dtype)) == expected


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cpu", r"selective_scan runs as 'chunked', .* many times slower .*: no compiler. Install a C compiler"),
        ("cuda", r"runs as 'chunked', .*: no triton. Install triton"),
        ("mps", r"runs as 'chunked', .*: there is no kernel for mps tensors"),
    ],
)
def test_auto_says_once_and_loudly_that_it_is_slow(device: str, words: str, machine: dict[str, str]) -> None:
    machine.update(cpu="no compiler", triton="no triton")
    with pytest.warns(RuntimeWarning, match=words):
        assert chosen(Pretended(device)) == "chunked"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(Pretended(device)) == "chunked"


def test_the_slow_one_can_be_asked_for_in_silence(machine: dict[str, str]) -> None:
    machine.update(cpu="no compiler")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(Pretended("cpu"), "chunked") == "chunked"


@pytest.mark.parametrize(
    ("wanted", "device", "dtype", "words"),
    [
        (
            "fast",
            "cpu",
            torch.float32,
            "unknown implementation 'fast' of selective_scan; choose from auto, triton, cpu",
        ),
        ("cpu", "cuda", torch.float32, "'cpu' takes cpu tensors and these are on cuda; allowed there: auto, chunked"),
        ("triton", "mps", torch.float32, r"'triton' takes cuda tensors \(.*interpreter.*\) and these are on mps"),
        ("cpu", "cpu", torch.float64, "takes no float64; allowed for float64: auto, chunked, reference"),
        ("cpu", "cpu", torch.float32, "'cpu' cannot run here: no compiler. Install a C compiler .* Allowed without it"),
        ("triton", "cuda", torch.float32, "'triton' cannot run here: no triton. Install triton"),
    ],
)
def test_a_named_one_that_cannot_run_raises(
    wanted: str, device: str, dtype: torch.dtype, words: str, machine: dict[str, str]
) -> None:
    machine.update(cpu="no compiler", triton="no triton")
    with pytest.raises(ValueError, match=words):
        chosen(Pretended(device, dtype), wanted)


def test_triton_takes_cpu_tensors_in_its_interpreter_alone(
    machine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert chosen(Pretended("cpu"), "triton") == "triton"
    assert chosen(Pretended("cpu")) == "cpu", "auto never interprets"
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(ValueError, match="these are on cpu"):
        chosen(Pretended("cpu"), "triton")


def test_without_triton_the_reason_is_its_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "seqscale.kernels.gpu.scan", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    for name in [name for name in sys.modules if name.startswith("seqscale.kernels.gpu")]:
        monkeypatch.delitem(sys.modules, name)
    assert "triton cannot be imported" in choice.why_not("triton")


def test_without_a_compiler_the_scan_still_works_and_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the outside: the build fails, the values stay, and there is one warning."""
    from seqscale.kernels.cpu import build

    monkeypatch.setattr(build, "available", lambda: False)
    monkeypatch.setattr(build, "reason", lambda: "there is no C compiler")
    tensors: list[Tensor] = [torch.rand(s) for s in ((1, 3, 2), (1, 3, 2), (2, 2), (1, 3, 2), (1, 3, 2))]
    with pytest.warns(RuntimeWarning, match=r"could not be built.*there is no C compiler"):
        y = selective_scan(*tensors)
    torch.testing.assert_close(y, selective_scan(*tensors, implementation="reference"))


def test_kernels_tell_what_they_did_when_somebody_asks() -> None:
    choice.note("mamba_step", "cpu")
    with choice.noted() as outer:
        choice.note("mamba_step", "cpu")
        with choice.noted() as inner:
            choice.note("other", "triton")
    choice.note("mamba_step", "triton")
    assert outer == {"mamba_step": "cpu"}
    assert inner == {"other": "triton"}
