"""Which rows of the bench table are one curve, and which part of a curve its exponent is fitted to."""

import pandas as pd
import pytest

from seqscale.tables.bench import scaling
from seqscale.tables.columns import with_types

LENGTHS = [128, 512, 2048, 8192, 32768, 131072]


def bench(rows: list[tuple[str, str, int, int, float]], **other: object) -> pd.DataFrame:
    """(suite, model, batch, length, seconds) as a bench table."""
    frame = pd.DataFrame(rows, columns=["suite", "model", "batch", "length", "median"])
    plain = {"direction": "forward", "quantity": "time", "unit": "s", "implementation": "x", "device": "cuda",
             "dtype": "bfloat16", "oom": False, "status": "ok"}  # fmt: skip
    return with_types("bench", frame.assign(**{**plain, **other}))


def test_every_suite_has_its_fit_and_says_its_range() -> None:
    rows = [(s, "mamba", 1, n, 1e-6 * n) for s in ("prefill", "prefill_130m", "decode_batch16") for n in LENGTHS]
    found = scaling(bench(rows)).set_index("suite")
    assert list(found.index) == ["prefill", "prefill_130m", "decode_batch16"]
    assert found["exponent"].tolist() == pytest.approx([1.0] * 3)
    assert found["length_max"].tolist() == [131072] * 3
    assert found["length_min"].tolist() == [8192] * 3  # three octaves hold two points: three are the least
    assert found["points"].tolist() == [3] * 3


def test_the_flat_beginning_is_left_out() -> None:
    """Overhead, then quadratic: the three top octaves have exponent 2, the whole curve far less."""
    lengths = [2**k for k in range(6, 18)]
    (row,) = scaling(bench([("prefill", "t", 1, n, 1e-3 + 1e-9 * n**2) for n in lengths])).to_dict("records")
    assert row["length_min"] == 2**14
    assert row["exponent"] == pytest.approx(2.0, abs=0.02)
    assert row["exponent_all"] < 1.4
    assert not row["still_rising"]


def test_a_curve_that_has_not_yet_left_the_flat_says_so() -> None:
    (row,) = scaling(bench([("prefill", "t", 1, n, 1e-3 + 1e-12 * n**2) for n in LENGTHS])).to_dict("records")
    assert row["still_rising"]
    assert row["exponent"] < 1.9


def test_calls_filled_with_tokens_are_one_curve() -> None:
    rows = [("prefill_filled", "mamba", max(1, 8192 // n), n, 1e-3) for n in LENGTHS]
    (row,) = scaling(bench(rows)).to_dict("records")
    assert pd.isna(row["batch"])
    assert row["points_all"] == len(LENGTHS)


def test_scans_of_another_batch_are_another_curve() -> None:
    """(64, 256, 128) beside (1, 256, length): neither holds as many tokens as the other."""
    rows = [("kernels", "selective_scan", 1, n, 1e-6 * n) for n in (1024, 8192, 65536, 1048576)]
    rows.append(("kernels", "selective_scan", 64, 128, 5e-5))
    found = scaling(bench(rows, d_inner=256, d_state=16)).set_index("batch")
    assert found.loc[1, "points_all"] == 4
    assert found.loc[1, "exponent_all"] == pytest.approx(1.0)
    assert found.loc[64, "points_all"] == 1
    assert "at least 3 lengths" in found.loc[64, "reason"]
    assert set(found["d_inner"]) == {256}
