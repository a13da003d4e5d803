"""The crossover of two curves: known exactly where both are powers of the length."""

import numpy as np
import pandas as pd
import pytest

from seqscale.tables.crossover import compare, crossovers, last_crossing
from seqscale.tables.matrix import Matrix

LENGTHS = [64, 128, 256, 512, 1024, 2048]


def curve(model: str, values: list[float], spread: float = 0.0, lengths: list[int] = LENGTHS) -> pd.DataFrame:
    frame = pd.DataFrame({"length": lengths[: len(values)], "median": values})
    fixed = {
        "suite": "prefill", "direction": "forward", "quantity": "time", "device": "cpu", "dtype": "float32",
        "status": "ok", "oom": False, "batch": 1, "model": model, "implementation": "x", "unit": "s",
    }  # fmt: skip
    return frame.assign(p20=frame["median"] / (1 + spread), p80=frame["median"] * (1 + spread), **fixed)


def powers(coefficient: float, exponent: float) -> list[float]:
    return [coefficient * n**exponent for n in LENGTHS]


def test_two_powers_cross_where_algebra_says() -> None:
    found = compare(curve("a", powers(3.0, 1.0)), curve("b", powers(0.01, 2.0)))
    assert found["status"] == "crosses"
    assert found["crossover"] == pytest.approx(300.0)
    assert found["ci_low"] == pytest.approx(300.0)
    assert found["ci_high"] == pytest.approx(300.0)
    assert found["ratio_first"] == pytest.approx(300 / 64)


def test_the_bands_widen_the_interval_by_their_ratio() -> None:
    found = compare(curve("a", powers(3.0, 1.0), 0.1), curve("b", powers(0.01, 2.0), 0.1))
    assert found["ci_low"] == pytest.approx(300.0 / 1.21)
    assert found["ci_high"] == pytest.approx(300.0 * 1.21)


@pytest.mark.parametrize(("coefficient", "status"), [(1e-6, "below"), (1e6, "above")])
def test_one_side_throughout_is_no_crossover(coefficient: float, status: str) -> None:
    found = compare(curve("a", powers(coefficient, 1.0)), curve("b", powers(1.0, 1.5)))
    assert found["status"] == status
    assert "crossover" not in found
    assert (found["length_min"], found["length_max"]) == (64, 2048)


def test_out_of_memory_is_left_out_and_told() -> None:
    lost = curve("b", powers(0.01, 2.0))
    lost.loc[lost.length >= 1024, ["oom", "median", "p20", "p80"]] = [True, np.nan, np.nan, np.nan]
    found = compare(curve("a", powers(3.0, 1.0)), lost)
    assert found["against_out_of_memory_from"] == 1024
    assert found["model_out_of_memory_from"] is None
    assert found["crossover"] == pytest.approx(300.0)
    assert found["length_max"] == 512


def test_noise_before_the_crossing_does_not_move_it() -> None:
    ratio = np.log(np.array([2.0, 0.9, 1.2, 0.8, 0.5, 0.1]))
    found = last_crossing(np.array(LENGTHS, float), ratio)
    assert found is not None
    assert 256 < found < 512


def test_the_faster_of_two_implementations_counts() -> None:
    slow = curve("a", powers(30.0, 1.0)).assign(implementation="slow")
    found = compare(pd.concat([slow, curve("a", powers(3.0, 1.0))]), curve("b", powers(0.01, 2.0)))
    assert found["crossover"] == pytest.approx(300.0)


def test_every_model_stands_against_every_attention() -> None:
    names = {"mamba": "mamba", "lstm": "lstm", "small": "attention", "large": "attention"}
    bench = pd.concat([curve(name, powers(i + 1.0, 1.0)) for i, name in enumerate(names)], ignore_index=True)
    matrix = Matrix((), (), (), config={"models": {name: {"mixer": mixer} for name, mixer in names.items()}})
    table = crossovers(bench, matrix)
    pairs = set(zip(table["model"], table["against"], strict=True))
    assert pairs == {(m, a) for m in ("mamba", "lstm") for a in ("small", "large")}
