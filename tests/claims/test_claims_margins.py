"""A verdict must not hang on a hair: margins, medians over lengths, disturbed timings, sizes that a claim speaks of."""

from typing import Any

import pytest
from made_up_claims import SCHEMA, curve_rows, run_row

from seqscale.claims import ClaimsError, judge, load_claims
from seqscale.claims.predicate import Region, verdict
from seqscale.tables.columns import TABLES, as_table

LENGTHS = (16, 32, 64, 128)


def judged(tmp_path: Any, test: str, margins: str, **rows: Any) -> dict[str, Any]:
    """The one row of a claim with one test, under these margins."""
    path = tmp_path / "claims.yaml"
    path.write_text(
        f'margins: {margins}\nsources: {{"000": {{title: t, kind: k, protocol: p}}}}\nclaims:\n  - id: 000.x\n'
        f"    title: t\n    figure: f\n    tests:\n      - {test}\n",
        encoding="utf-8",
    )
    filled = {name: as_table(name, rows.get(name, [])) for name in TABLES}
    (row,) = judge(load_claims(path, SCHEMA), filled)
    return row


@pytest.mark.parametrize(
    ("region", "low", "high", "expected"),
    [
        (Region(high=1.0, strict=True, margin=0.1), 0.7, 0.89, "reproduced"),
        (Region(high=1.0, strict=True, margin=0.1), 0.7, 0.95, "inconclusive"),
        (Region(high=1.0, strict=True, margin=0.1), 1.01, 1.05, "inconclusive"),
        (Region(high=1.0, strict=True, margin=0.1), 1.11, 1.2, "not reproduced"),
        (Region(low=0.0, strict=True, margin=0.1), 0.11, 0.2, "reproduced"),
        (Region(1.0, 2.0, margin=0.1), 1.01, 1.99, "reproduced"),  # the tolerance is the margin there
        (Region(1.0, 2.0, margin=0.1), 2.05, 2.09, "inconclusive"),
        (Region(1.0, 2.0, margin=0.1), 2.11, 2.2, "not reproduced"),
    ],
)
def test_what_is_nearer_to_the_line_than_the_margin_decides_nothing(
    region: Region, low: float, high: float, expected: str
) -> None:
    assert verdict(region, low, high) == expected


RATIO = (
    "{protocol: fair, select: {table: bench, suite: prefill, quantity: time}, measure: ratio_at, %s, of: {model: a}, "
    "over: {model: b}, expect: {below: 1}%s}"
)


@pytest.mark.parametrize(
    ("ratio", "margins", "own", "expected"),
    [
        (0.80, "{time: 0.1}", "", "reproduced"),
        (0.93, "{time: 0.1}", "", "inconclusive"),
        (0.93, "{}", "", "reproduced"),
        (0.93, "{time: 0.1}", ", margin: 0", "reproduced"),
        (1.06, "{time: 0.1}", "", "inconclusive"),
        (1.20, "{time: 0.1}", "", "not reproduced"),
    ],
)
def test_a_ratio_of_times_has_to_clear_the_margin(
    tmp_path: Any, ratio: float, margins: str, own: str, expected: str
) -> None:
    bench = curve_rows("prefill", "b", {n: 1.0 * n for n in LENGTHS})
    bench += curve_rows("prefill", "a", {n: ratio * n for n in LENGTHS})
    row = judged(tmp_path, RATIO % ("length: 64", own), margins, bench=bench)
    assert row["verdict"] == expected
    assert ("the least that matters" in row["reason"]) == (expected == "inconclusive")
    assert (row["margin"] or 0) == pytest.approx(0 if own or margins == "{}" else 0.1)


def test_a_difference_of_losses_and_an_exponent_have_their_own(tmp_path: Any) -> None:
    runs = [run_row("text", m, s, v + 0.0001 * s) for m, v in (("a", 1.0), ("b", 1.004)) for s in (1, 2, 3)]
    test = (
        "{protocol: fair, select: {table: runs, experiment: text}, measure: difference, column: test_loss, "
        "of: {model: a}, minus: {model: b}, expect: {below: 0}}"
    )
    assert judged(tmp_path, test, "{test_loss: 0.01}", runs=runs)["verdict"] == "inconclusive"
    assert judged(tmp_path, test, "{test_loss: 0.001}", runs=runs)["verdict"] == "reproduced"
    test = (
        "{protocol: fair, select: {table: bench, suite: prefill, model: a}, measure: exponent, "
        "expect: {near: 1, tolerance: 0.2}}"
    )
    bench = curve_rows("prefill", "a", {n: n**1.22 for n in (128, 256, 512, 1024)})
    assert judged(tmp_path, test, "{exponent: 0.05}", bench=bench)["verdict"] == "inconclusive"
    assert judged(tmp_path, test, "{}", bench=bench)["verdict"] == "not reproduced"


def test_the_median_over_lengths_is_not_moved_by_one_outlier(tmp_path: Any) -> None:
    times = {n: 0.5 * n for n in LENGTHS}
    bench = curve_rows("prefill", "b", {n: 1.0 * n for n in LENGTHS})
    bench += curve_rows("prefill", "a", times | {64: 10.0 * 64})
    row = judged(tmp_path, RATIO % ("min_length: 16, max_length: 128", ""), "{time: 0.1}", bench=bench)
    assert row["verdict"] == "reproduced"
    assert row["measured"] == pytest.approx(0.5)
    assert row["n"] == len(LENGTHS)
    assert "median over 4 lengths from 16 to 128 tokens" in row["reason"]
    order = (
        "{protocol: fair, select: {table: bench, suite: prefill, quantity: time}, measure: order_at, max_length: 128, "
        "models: [a, b], expect: {below: 1}}"
    )
    assert judged(tmp_path, order, "{time: 0.1}", bench=bench)["verdict"] == "reproduced"


def test_a_single_length_that_was_disturbed_decides_nothing(tmp_path: Any) -> None:
    bench = curve_rows("prefill", "b", {n: 1.0 * n for n in LENGTHS})
    bench += curve_rows("prefill", "a", {n: 1.5 * n for n in LENGTHS} | {64: 5.0 * 64})
    row = judged(tmp_path, RATIO % ("length: 64", ""), "{time: 0.1}", bench=bench)
    assert row["verdict"] == "inconclusive"
    assert "one measurement was disturbed" in row["reason"]
    row = judged(tmp_path, RATIO % ("length: 32", ""), "{}", bench=bench[: len(LENGTHS)] * 1 + curve_rows(
        "prefill", "a", {n: 1.5 * n for n in LENGTHS}))  # fmt: skip
    assert row["verdict"] == "not reproduced"


@pytest.mark.parametrize(
    ("times", "disturbed"),
    [
        ({n: 1 + (n / 256) ** 2 for n in (128, 256, 512)}, False),
        ({n: 1 + (n / 256) ** 2 for n in (64, 256, 1024)}, False),
        ({n: 1 + (n / 256) ** 2 for n in (32, 256, 2048)}, False),
        ({128: 1.0, 256: 1.0, 512: 4.0}, False),  # bound by launches up to 256
        ({128: 1.0, 256: 5.0, 512: 4.0}, True),
        ({64: 1.0, 256: 5.0, 1024: 4.0}, False),  # neighbours too far off to tell
    ],
    ids=["bend x2", "bend x4", "bend x8", "launch-bound", "outlier", "outlier x4"],
)
def test_a_bend_is_not_called_disturbed(tmp_path: Any, times: dict[int, float], disturbed: bool) -> None:
    bench = curve_rows("prefill", "a", times) + curve_rows("prefill", "b", {n: 100.0 * n for n in times})
    row = judged(tmp_path, RATIO % ("length: 256", ""), "{}", bench=bench)
    assert ("was disturbed" in row["reason"]) == disturbed
    assert row["verdict"] == ("inconclusive" if disturbed else "reproduced")


OVER = (
    "{protocol: fair, select: {table: runs, experiment: text}, measure: ratio, column: %s, of: {model: a}, "
    "over: {model: b}, expect: {below: 0.5}%s}"
)


def test_a_ratio_of_losses_needs_a_margin_of_its_own(tmp_path: Any) -> None:
    runs = [run_row("text", m, s, v) for m, v in (("a", 0.997), ("b", 2.0)) for s in (1, 2, 3)]
    with pytest.raises(ClaimsError, match=r"margin of test_loss is in its unit, and a ratio of it has none.*`margin`"):
        judged(tmp_path, OVER % ("test_loss", ""), "{test_loss: 0.01}", runs=runs)
    own = judged(tmp_path, OVER % ("test_loss", ", margin: 0.01"), "{test_loss: 0.01}", runs=runs)
    assert own["verdict"] == "inconclusive" and own["margin"] == 0.01
    assert judged(tmp_path, OVER % ("params", ""), "{test_loss: 0.01}", runs=runs)["verdict"] == "not reproduced"


def test_two_lengths_are_no_median_and_none_is_not_tested(tmp_path: Any) -> None:
    bench = [*curve_rows("prefill", "b", {64: 2.0, 128: 4.0}), *curve_rows("prefill", "a", {64: 1.0, 128: 2.0})]
    row = judged(tmp_path, RATIO % ("max_length: 128", ""), "{}", bench=bench)
    assert row["verdict"] == "inconclusive"
    assert "a median needs 3" in row["reason"]
    row = judged(tmp_path, RATIO % ("min_length: 256", ""), "{}", bench=bench)
    assert row["verdict"] == "not tested"
    assert "lengths shared: 64, 128" in row["reason"]


@pytest.mark.parametrize(("params", "expected"), [(100_000, "inconclusive"), (60_000_000, "reproduced")])
def test_small_models_do_not_answer_for_large_ones(tmp_path: Any, params: int, expected: str) -> None:
    bench = curve_rows("prefill", "b", {n: 1.0 * n for n in LENGTHS})
    bench += curve_rows("prefill", "a", {n: 0.5 * n for n in LENGTHS})
    models = [{"model": m, "params_nonembedding": params} for m in ("a", "b")]
    test = RATIO % ("length: longest, needs_params: 5.0e+7", "")
    row = judged(tmp_path, test, "{}", bench=bench, models=models)
    assert row["verdict"] == expected
    assert ("50,000,000 parameters" in row["reason"]) == (expected == "inconclusive")
    assert judged(tmp_path, test, "{}", bench=bench)["verdict"] == "inconclusive"  # of unknown size


@pytest.mark.parametrize(
    ("margins", "place", "words"),
    [
        ("{tiem: 0.1}", "length: 64", "unknown 'tiem'. Did you mean 'time'?"),
        ("{}", "length: 64, max_length: 128", "needs either `length` or a range of them"),
        ("{time: -1}", "length: 64", "-1 is less than the minimum"),
    ],
)
def test_mistakes_are_told(tmp_path: Any, margins: str, place: str, words: str) -> None:
    with pytest.raises(ClaimsError, match=words.replace("?", r"\?").replace("(", r"\(")):
        judged(tmp_path, RATIO % (place, ""), margins)
