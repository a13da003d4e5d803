"""Every kind of verdict, on tables whose right answer is known; failed runs never count silently."""

import pytest
from made_up_claims import curve_rows, run_row

MEAN = "{protocol: fair, select: {table: runs, experiment: text, model: mamba}, measure: mean, column: test_loss, %s}"
DIFFERENCE = (
    "{protocol: fair, select: {table: runs, experiment: text}, measure: difference, column: test_loss, "
    "of: {model: mamba}, minus: {model: transformer}, expect: {below: 0}}"
)
EXPONENT = (
    "{protocol: fair, select: {table: bench, suite: prefill, model: mamba}, measure: exponent, expect: %s, %s "
    "because: x}"
)
LENGTHS = (128, 256, 512, 1024, 2048, 4096)


def runs(model: str, *losses: float, **more: object) -> list[dict]:
    return [run_row("text", model, seed, loss, **more) for seed, loss in enumerate(losses, 1)]


def power(exponent: float, lengths: tuple[int, ...] = LENGTHS, overhead: float = 0.0) -> dict[int, float]:
    return {n: 1e-6 * n**exponent + overhead for n in lengths}


@pytest.mark.parametrize(
    ("expect", "verdict"),
    [
        ("expect: {near: 1.8, tolerance: 0.1}", "reproduced"),
        ("expect: {near: 2.5, tolerance: 0.1}", "not reproduced"),
        ("expect: {near: 1.8, tolerance: 0.01}", "inconclusive"),
        ("expect: {near: 1.8, relative: 0.05}", "reproduced"),
        ("expect: {below: 1.81}", "inconclusive"),
        ("expect: {above: 1.7}", "reproduced"),
        ("expect: {between: [1.7, 1.9]}", "reproduced"),
        ("expect: {above: 1.7, below: 1.75}", "not reproduced"),
    ],
)
def test_interval_against_region(verdicts, expect, verdict):
    (row,) = verdicts(MEAN % expect, runs=runs("mamba", 1.79, 1.80, 1.81))
    # Student t with 2 degrees of freedom: 1.8 +- 4.3027 * 0.01 / sqrt(3)
    assert (row["measured"], row["n"]) == (pytest.approx(1.8), 3)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((1.77516, 1.82484), abs=1e-5)
    assert row["verdict"] == verdict
    assert "1.8 nats per character" in row["reason"] and "3 seeds" in row["reason"] and row["reason"].endswith(".")
    assert row["data"] == "pydoc_topics" and "tables/runs.csv" in row["evidence"] and "model=mamba" in row["evidence"]


def test_one_seed_proves_nothing(verdicts):
    (row,) = verdicts(MEAN % "expect: {below: 5}", runs=runs("mamba", 1.8))
    assert row["verdict"] == "inconclusive" and row["ci_low"] is None and "one seed" in row["reason"]


def test_two_seeds_are_too_few_for_the_fair_protocol_but_not_for_the_published(verdicts):
    rows = runs("mamba", 1.8, 1.8)
    (fair,) = verdicts(MEAN % "expect: {below: 5}", runs=rows)
    (published,) = verdicts(
        (MEAN % "expect: {below: 5}").replace("fair", "published"), runs=runs("mamba", 1.8, 1.8, protocol="published")
    )
    assert fair["verdict"] == "inconclusive" and "at least 3 seeds" in fair["reason"]
    assert published["verdict"] == "reproduced"


def test_nothing_selected_is_not_tested_and_says_what_is_there(verdicts):
    (row,) = verdicts(
        (MEAN % "expect: {below: 5}").replace("experiment: text", "experiment: ptb"), runs=runs("mamba", 2.0)
    )
    assert row["verdict"] == "not tested" and row["measured"] is None
    assert (
        "no run of experiment 'ptb' in this configuration" in row["reason"].lower()
        and "there is: text" in row["reason"]
    )


def test_a_list_takes_the_first_that_is_there(verdicts):
    test = (MEAN % "expect: {below: 5}").replace("experiment: text", "experiment: [ptb, text]")
    (row,) = verdicts(test, runs=runs("mamba", 1.79, 1.80, 1.81))
    assert row["verdict"] == "reproduced" and "experiment=text" in row["evidence"]


def test_other_data_than_published_is_said_aloud(verdicts):
    (row,) = verdicts(MEAN % "expect: {below: 5}", head="    corpus: ptb\n", runs=runs("mamba", 1.79, 1.80, 1.81))
    assert "Measured on pydoc_topics, not on the published ptb." in row["reason"]


def test_survivors_of_divergence_do_not_bear_a_verdict(verdicts):
    rows = runs("mamba", 1.79, 1.80, 1.81)
    rows.append(run_row("text", "mamba", 4, None, status="diverged", reason="loss was NaN at step 7"))
    (row,) = verdicts(MEAN % "expect: {below: 5}", runs=rows)
    assert row["verdict"] == "inconclusive" and row["measured"] == pytest.approx(1.8) and row["n"] == 3
    assert "1 of 4 runs of mamba failed (seed 4: diverged, loss was NaN at step 7)" in row["reason"]


@pytest.mark.parametrize("status", ["diverged", "missing", "out of memory"])
def test_a_model_whose_runs_all_failed_is_not_tested(verdicts, status):
    rows = runs("transformer", 2.0, 2.0, 2.1) + runs("mamba", 0.0, 0.0, 0.0)
    rows = [{**r, "test_loss": None, "status": status} if r["model"] == "mamba" else r for r in rows]
    (row,) = verdicts(DIFFERENCE, runs=rows)
    assert row["verdict"] == "not tested"
    absent = "None of the 3 runs of mamba in text is there (not run, failed, or lost)."  # nobody knows which
    assert (row["reason"] == absent) == (status == "missing")
    assert (f"succeeded (seed 1: {status}" in row["reason"]) == (status != "missing")


def test_runs_that_are_not_there_are_not_said_to_have_failed(verdicts):
    rows = [*runs("mamba", 1.0, 1.1, 1.2), run_row("text", "mamba", 4, None, status="missing", reason="no file")]
    (row,) = verdicts(MEAN % "expect: {below: 5}", runs=rows)
    assert row["verdict"] == "inconclusive"
    assert "1 of 4 runs of mamba are not there (seed 4: not run, failed, or lost)" in row["reason"]


def test_an_empty_column_is_not_tested(verdicts):
    (row,) = verdicts((MEAN % "expect: {below: 5}").replace("test_loss", "test_accuracy"), runs=runs("mamba", 1.0, 1.1))
    assert row["verdict"] == "not tested" and "test_accuracy is empty" in row["reason"]


def test_difference_is_paired_by_seed(verdicts):
    # The seeds differ by 1 among themselves and the models by 0.1 +- 0.01: only pairing sees it.
    (row,) = verdicts(DIFFERENCE, runs=runs("mamba", 1.0, 2.0, 3.0) + runs("transformer", 1.1, 2.11, 3.09))
    assert row["verdict"] == "reproduced" and row["measured"] == pytest.approx(-0.1)
    (row,) = verdicts(DIFFERENCE, runs=runs("mamba", 1.1, 2.11, 3.09) + runs("transformer", 1.0, 2.0, 3.0))
    assert row["verdict"] == "not reproduced"


def test_unmatched_sizes_and_edge_learning_rates_are_told(verdicts):
    rows = runs("mamba", 1.0, 1.1, 1.0, params_ratio=1.3, matched=False, lr_at_edge=True)
    (row,) = verdicts(DIFFERENCE, runs=rows + runs("transformer", 2.0, 2.1, 2.0))
    assert "mamba has 1.3 times the non-embedding parameters of transformer." in row["reason"]
    assert "learning rate of mamba lies at the edge" in row["reason"]


def test_ratio_and_products_of_columns(verdicts):
    test = (
        "{protocol: fair, select: {table: runs, experiment: text}, measure: ratio, column: params*train_tokens, "
        "of: {model: mamba}, over: {model: transformer}, expect: {near: 0.5, relative: 0.01}, unit: times}"
    )
    rows = runs("mamba", 1, 1, 1, params=500) + runs("transformer", 1, 1, 1, params=1000)
    (row,) = verdicts(test, runs=rows)
    assert row["verdict"] == "reproduced" and row["ci_low"] == row["ci_high"] == pytest.approx(0.5)


ORDER = (
    "{protocol: fair, select: {table: runs, experiment: text}, measure: order, column: test_loss, "
    "models: [a, b, c], expect: {below: 0}}"
)


@pytest.mark.parametrize(
    ("a", "b", "c", "verdict"),
    [
        ((1.0, 1.1, 1.0), (2.0, 2.1, 2.0), (3.0, 3.1, 3.0), "reproduced"),
        ((1.0, 1.1, 1.0), (3.0, 3.1, 3.0), (2.0, 2.11, 2.0), "not reproduced"),
        ((1.0, 1.1, 1.0), (2.0, 2.1, 2.0), (2.1, 2.0, 2.05), "inconclusive"),
    ],
)
def test_order_is_as_strong_as_its_weakest_pair(verdicts, a, b, c, verdict):
    (row,) = verdicts(ORDER, runs=runs("a", *a) + runs("b", *b) + runs("c", *c))
    assert row["verdict"] == verdict
    if verdict != "reproduced":
        assert "b minus c" in row["reason"]


def test_refuting_one_pair_of_many_needs_more_than_95_percent(verdicts):
    # b - c: interval at 95 % just above 0, at 97.5 % (two pairs) not.
    rows = runs("a", 1.0, 1.0, 1.0) + runs("b", 2.016, 2.024, 2.032) + runs("c", 2.0, 2.0, 2.0)
    (row,) = verdicts(ORDER, runs=rows)
    assert row["ci_low"] > 0 and row["verdict"] == "inconclusive"


def history(model: str, seed: int, flops_per_step: float, losses: list[float]) -> list[dict]:
    base = {"experiment": "text", "model": model, "seed": seed}
    return [
        {**base, "step": i, "flops": flops_per_step * i, "train_loss": loss, "valid_loss": loss}
        for i, loss in enumerate(losses, 1)
    ]


@pytest.mark.parametrize(
    ("mamba", "measured", "verdict"),
    [([4.0, 3.0, 2.0, 1.0], 1.5, "inconclusive"), ([4.0, 1.0, 0.9, 0.8], -0.5, "reproduced")],
    ids=["loses, but in the middle of its schedule", "wins although cut short"],
)
def test_loss_at_equal_flops_cuts_the_dearer_model_short(verdicts, mamba, measured, verdict):
    test = (
        "{protocol: fair, select: {table: history, experiment: text}, measure: difference_at, column: valid_loss, "
        "x: flops, of: {model: mamba}, minus: {model: transformer}, expect: {below: 0}}"
    )
    rows, past = [], []
    for model, cost, losses in (("mamba", 2e9, mamba), ("transformer", 1e9, [4.0, 3.0, 2.0, 1.5])):
        rows += runs(model, 1.0, 1.0, 1.0)
        for seed in (1, 2, 3):
            past += history(model, seed, cost, losses)
    (row,) = verdicts(test, runs=rows, history=past)
    # Both have spent 4e9 at mamba's step 2 and the transformer's step 4 (1.5).
    assert row["measured"] == pytest.approx(measured) and row["verdict"] == verdict


@pytest.mark.parametrize(("protocol", "measured"), [("fair", -0.7), ("published", 1.7)])
def test_at_equal_flops_a_fair_validation_loss_is_the_lowest_so_far(verdicts, protocol, measured):
    test = (
        f"{{protocol: {protocol}, select: {{table: history, experiment: text}}, measure: difference_at, "
        "column: valid_loss, x: flops, of: {model: mamba}, minus: {model: transformer}, expect: {below: 0}}"
    )
    rows, past = [], []
    for model, losses in (("mamba", [4.0, 0.9, 2.0, 3.3]), ("transformer", [4.0, 3.0, 2.0, 1.6])):
        rows += runs(model, 1.0, 1.0, 1.0, protocol=protocol)
        for seed in (1, 2, 3):
            past += history(model, seed, 1e9, losses)[::-1]  # whatever the order of the rows
    (row,) = verdicts(test, runs=rows, history=past)
    assert row["measured"] == pytest.approx(measured)
    assert ("valid_loss (lowest so far) of mamba" in row["reason"]) == (protocol == "fair")


def test_last_share_of_the_history(verdicts):
    test = (
        "{protocol: fair, select: {table: history, experiment: text, model: mamba}, measure: mean, "
        "column: train_loss, last: 0.5, expect: {near: 1.5, tolerance: 0.01}}"
    )
    past = [r for seed in (1, 2, 3) for r in history("mamba", seed, 1.0, [4.0, 3.0, 2.0, 1.0])]
    (row,) = verdicts(test, runs=runs("mamba", 1, 1, 1), history=past)
    assert row["verdict"] == "reproduced" and row["measured"] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("curve", "expect", "verdict"),
    [
        (power(1.0), "{near: 1, tolerance: 0.2}", "reproduced"),
        (power(2.0), "{near: 1, tolerance: 0.2}", "not reproduced"),
        (power(0.0), "{near: 0, tolerance: 0.1}", "reproduced"),
        # Overhead: the exponent climbs towards 2 without being there. Too short a range, no refutation.
        (power(2.0, overhead=5.0), "{near: 2, tolerance: 0.2}", "inconclusive"),
        # With less of it the same curve does refute "constant", however.
        (power(2.0, overhead=0.5), "{near: 0, tolerance: 0.1}", "not reproduced"),
    ],
)
def test_exponents(verdicts, curve, expect, verdict):
    (row,) = verdicts(EXPONENT % (expect, ""), bench=curve_rows("prefill", "mamba", curve))
    assert row["verdict"] == verdict
    assert "4 lengths from 512 to 4,096 tokens" in row["reason"] and row["n"] == 4


def test_flat_on_average_but_leaving_is_inconclusive(verdicts):
    curve = {128: 1.0, 256: 1.0, 512: 1.0, 1024: 1.13}
    (row,) = verdicts(EXPONENT % ("{below: 0.15, above: -0.2}", ""), bench=curve_rows("prefill", "mamba", curve))
    assert row["measured"] < 0.15 and row["verdict"] == "inconclusive" and "still rising" in row["reason"]


def test_a_claim_about_longer_lengths_than_measured_is_inconclusive(verdicts):
    bench = curve_rows("prefill", "mamba", power(1.0))
    (row,) = verdicts(EXPONENT % ("{near: 1, tolerance: 0.2}", "reach: 100000,"), bench=bench)
    assert row["verdict"] == "inconclusive" and "speaks of 100,000 tokens" in row["reason"]


def test_out_of_memory_is_told_and_left_out_of_the_fit(verdicts):
    bench = curve_rows("prefill", "mamba", {**power(1.0), 8192: None})
    (row,) = verdicts(EXPONENT % ("{near: 1, tolerance: 0.2}", ""), bench=bench)
    assert row["verdict"] == "reproduced" and "ran out of memory at 8,192 tokens" in row["reason"]


def test_too_few_lengths_are_not_tested(verdicts):
    bench = curve_rows("prefill", "mamba", power(1.0))
    (row,) = verdicts(EXPONENT % ("{near: 1, tolerance: 0.2}", "max_length: 256,"), bench=bench)
    assert row["verdict"] == "not tested" and "at least 3 lengths up to 256 and mamba has 2" in row["reason"]
    assert "lengths measured: 128, 256, 512" in row["reason"]


def test_less_than_two_octaves_are_inconclusive(verdicts):
    bench = curve_rows("prefill", "mamba", power(1.0, (100, 150, 200, 300)))
    (row,) = verdicts(EXPONENT % ("{near: 1, tolerance: 0.2}", ""), bench=bench)
    assert row["verdict"] == "inconclusive" and "two octaves" in row["reason"]


RATIO = (
    "{protocol: fair, select: {table: bench, suite: prefill}, measure: ratio_at, length: %s, "
    "of: {model: transformer}, over: {model: mamba}, expect: {near: 2, relative: 0.1}}"
)


def test_ratio_at_a_length_takes_the_nearest_within_five_percent(verdicts):
    bench = curve_rows("prefill", "mamba", power(1.0)) + curve_rows("prefill", "transformer", power(1.1))
    bench += curve_rows("prefill", "slow", power(1.0))
    (row,) = verdicts(RATIO % 1000, bench=bench)
    assert row["verdict"] == "reproduced" and row["measured"] == pytest.approx(2.0)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((2.0 * 0.98 / 1.02, 2.0 * 1.02 / 0.98))
    (row,) = verdicts(RATIO % 5000, bench=bench)
    assert row["verdict"] == "not tested" and "lengths measured: 128, 256" in row["reason"]


def test_longest_is_the_longest_that_both_survived(verdicts):
    curve = {**power(1.1), 4096: None}
    bench = curve_rows("prefill", "mamba", power(1.0)) + curve_rows("prefill", "transformer", curve)
    (row,) = verdicts(RATIO % "longest", bench=bench)
    assert row["measured"] == pytest.approx(2048**0.1) and "2,048 tokens" in row["reason"]
    (row,) = verdicts(RATIO % 4096, bench=bench)
    assert row["verdict"] == "not tested" and "transformer ran out of memory at 4096" in row["reason"].lower()


def test_curves_of_different_devices_are_not_compared(verdicts):
    bench = curve_rows("prefill", "mamba", power(1.0)) + curve_rows("prefill", "transformer", power(1.1), device="cuda")
    (row,) = verdicts(RATIO % 1024, bench=bench)
    assert row["verdict"] == "not tested" and "differ in device" in row["reason"]


def test_the_best_implementation_counts_and_that_is_told(verdicts):
    bench = curve_rows("prefill", "mamba", power(2.0)) + curve_rows(
        "prefill", "mamba", power(1.0), implementation="fused"
    )
    (row,) = verdicts(EXPONENT % ("{near: 1, tolerance: 0.2}", ""), bench=bench)
    assert row["verdict"] == "reproduced" and "the best at each length counts" in row["reason"]


def test_a_missing_benchmark_is_not_tested_with_its_reason(verdicts):
    bench = [{"suite": "prefill", "model": "mamba", "status": "missing", "reason": "the benchmark did not finish"}]
    (row,) = verdicts(EXPONENT % ("{near: 1, tolerance: 0.2}", ""), bench=bench)
    assert row["verdict"] == "not tested" and "did not finish" in row["reason"]


@pytest.mark.parametrize(("models", "verdict"), [("[a, b]", "reproduced"), ("[b, a]", "not reproduced")])
def test_order_at_a_length(verdicts, models, verdict):
    test = (
        "{protocol: fair, select: {table: bench, suite: prefill}, measure: order_at, length: shortest, "
        f"models: {models}, expect: {{below: 1}}}}"
    )
    bench = curve_rows("prefill", "a", power(1.0)) + curve_rows("prefill", "b", power(1.2))
    (row,) = verdicts(test, bench=bench)
    assert row["verdict"] == verdict and "128 tokens" in row["reason"]


def test_growth_and_value(verdicts):
    bench = curve_rows("prefill", "mamba", power(1.0))
    select = "select: {table: bench, suite: prefill, model: mamba}"
    (row,) = verdicts(
        f"{{protocol: fair, {select}, measure: growth, expect: {{near: 32, relative: 0.1}}}}", bench=bench
    )
    assert row["verdict"] == "reproduced" and row["measured"] == pytest.approx(32)
    test = (
        f"{{protocol: fair, {select}, measure: value_at, length: 128, scale: 1000, expect: {{below: 0.1}}, unit: ms}}"
    )
    (row,) = verdicts(test, bench=bench)
    assert row["verdict"] == "not reproduced" and "0.128 ms" in row["reason"]


def test_untested_says_why(verdicts):
    (row,) = verdicts("{protocol: fair, untested: the poster measured nothing}")
    assert (row["verdict"], row["reason"]) == ("not tested", "The poster measured nothing.")


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ({"a": 1.0, "b": 2.0}, "reproduced"),
        ({"a": 1.0, "b": 9.0}, "not reproduced"),
        ({"a": 1.0}, "inconclusive"),
        ({}, "not tested"),
    ],
)
def test_parts_are_judged_one_by_one_and_together(verdicts, losses, verdict):
    test = (
        '{protocol: fair, parts: [a, b], select: {table: runs, experiment: text, model: "{part}"}, measure: mean, '
        'column: test_loss, expect: {near: "published.{part}", tolerance: 0.1}}'
    )
    rows = [r for model, loss in losses.items() for r in runs(model, loss, loss, loss)]
    whole, a, b = verdicts(test, head="    published: {a: 1.0, b: 2.0}\n", runs=rows)
    assert (whole["part"], a["part"], b["part"]) == ("", "a", "b") and whole["parts"] == 2
    assert whole["verdict"] == verdict and b["published"] == 2.0 and whole["published"] == "f"
    assert "a" in whole["reason"] and whole["reason"].startswith("Of 2 parts")


def test_one_part_alone_is_the_claim(verdicts):
    test = (MEAN % "expect: {below: 5}").replace("protocol: fair", "protocol: fair, part: alone")
    (row,) = verdicts(test, runs=runs("mamba", 1.0, 1.1, 1.2))
    assert row["part"] == "" and row["verdict"] == "reproduced"


def test_a_part_that_nothing_could_test_does_not_hold_up_the_whole(verdicts):
    tests = (MEAN % "expect: {below: 5}").replace("protocol: fair", "protocol: fair, part: a")
    tests += "\n      - {protocol: fair, part: b, untested: nothing was published}"
    whole, _, _ = verdicts(tests, runs=runs("mamba", 1.0, 1.1, 1.2))
    assert whole["verdict"] == "reproduced" and "not tested: b" in whole["reason"]


def test_runs_of_the_other_protocol_are_not_taken(verdicts):
    (row,) = verdicts(MEAN % "expect: {below: 5}", runs=runs("mamba", 1.0, 1.1, 1.2, protocol="published"))
    assert row["verdict"] == "not tested" and "follows the published protocol" in row["reason"]


@pytest.mark.parametrize(
    ("losses", "fair", "told"),
    [
        ((9.0, 9.1, 9.2), "not reproduced", "It holds only as published: not reproduced under the fair protocol."),
        ((4.0, 5.1, 6.2), "inconclusive", "Under the fair protocol: inconclusive."),
        ((), "not tested", "Under the fair protocol: not tested."),
    ],
)
def test_only_a_claim_refuted_under_the_fair_protocol_holds_only_as_published(verdicts, losses, fair, told):
    ours = MEAN % "expect: {below: 5}"
    published = ours.replace("protocol: fair", "protocol: published").replace("text", "own")
    rows = runs("mamba", *losses)
    rows += [{**row, "experiment": "own", "protocol": "published"} for row in runs("mamba", 1.0, 1.1, 1.2)]
    own, other = verdicts(f"{ours}\n      - {published}", runs=rows)
    assert (own["verdict"], other["verdict"]) == ("reproduced", fair)
    assert own["reason"].endswith(f" {told}")
    assert ("holds only" in own["reason"]) == (fair == "not reproduced")


@pytest.mark.parametrize(
    ("overhead", "exponent", "verdict"),
    [(1e-2, 1.0, "inconclusive"), (0.0, 1.0, "not reproduced"), (1e-2, 0.0, "reproduced")],
    ids=["hidden by fixed costs", "plainly another", "flat is what was claimed"],
)
def test_fixed_costs_hide_growth_and_refute_nothing(verdicts, overhead, exponent, verdict):
    """A time of 10 ms at every length says nothing against "quadratic": the lengths are too short."""
    curve = {n: overhead + 1e-6 * n**exponent for n in LENGTHS}
    if overhead and exponent:
        curve = {n: overhead + 1e-7 * n for n in LENGTHS}
    expect = "{near: 0, tolerance: 0.2}" if exponent == 0.0 else "{near: 2, tolerance: 0.2}"
    (row,) = verdicts(EXPONENT % (expect, ""), bench=curve_rows("prefill", "mamba", curve))
    assert row["verdict"] == verdict
    assert ("fixed costs" in row["reason"]) == (verdict == "inconclusive")


@pytest.mark.parametrize(
    ("slow", "implementation", "verdict"),
    [
        ("mamba", "chunked", "inconclusive"),  # 2 x claimed, less measured; a fused scan might give it
        ("mamba", "triton", "not reproduced"),
        ("transformer", "chunked", "not reproduced"),  # a faster transformer would lower the ratio further
    ],
)
def test_an_unfused_scan_refutes_no_claim_of_speed(verdicts, slow, implementation, verdict):
    ran = {"mamba": "flash", "transformer": "flash"} | {slow: implementation}
    bench = [
        row
        for model, implementation in ran.items()
        for row in curve_rows("prefill", model, power(1.0), implementation=implementation)
    ]
    (row,) = verdicts(RATIO % 1024, bench=bench)
    assert row["measured"] == pytest.approx(1.0)
    assert row["verdict"] == verdict
    assert f"{slow} as {implementation}" in row["reason"]
    assert ("upper bound" in row["reason"]) == (verdict == "inconclusive")


def test_an_unfused_scan_that_wins_all_the_same_counts(verdicts):
    bench = curve_rows("prefill", "mamba", power(1.0), implementation="chunked")
    bench += curve_rows("prefill", "transformer", {n: 2 * v for n, v in power(1.0).items()})
    (row,) = verdicts(RATIO % 1024, bench=bench)
    assert row["verdict"] == "reproduced"


def test_a_curve_of_an_analysis_is_judged_like_a_benchmarks(verdicts):
    select = "select: {table: analyses, suite: nplr_kernel, quantity: time, d_state: 64}"
    test = (
        f"{{protocol: fair, {select}, measure: ratio_at, length: longest, of: {{model: nplr}}, over: {{model: dense}}, "
    )
    rows = [
        *curve_rows("nplr_kernel", "nplr", {256: 1.0, 1024: 2.0}, d_state=64),
        *curve_rows("nplr_kernel", "dense", {256: 2.0, 1024: 8.0}, d_state=64),
        *curve_rows("nplr_kernel", "nplr", {256: 9.0, 1024: 9.0}, d_state=16),
    ]
    (row,) = verdicts(test + "expect: {below: 1}, unit: times}", analyses=rows)
    assert row["verdict"] == "reproduced" and row["measured"] == pytest.approx(0.25)
    assert "tables/analyses.csv" in row["evidence"] and "nplr_kernel analysis" in row["data"]
    (row,) = verdicts(test + "expect: {below: 1}, unit: times}", bench=rows)
    assert row["verdict"] == "not tested" and "No analysis of suite 'nplr_kernel'" in row["reason"]


def test_a_curve_without_a_number_is_not_tested(verdicts):
    select = "select: {table: analyses, suite: nplr_kernel, quantity: error, model: diagonalised}"
    test = f"{{protocol: fair, {select}, measure: value_at, length: longest, expect: {{below: 1}}}}"
    rows = curve_rows("nplr_kernel", "diagonalised", {256: None}, quantity="error", oom=False, status="overflow")
    (row,) = verdicts(test, analyses=[{**rows[0], "reason": "the result was not finite"}])
    assert row["verdict"] == "not tested"
    assert "Diagonalised has no number there (the result was not finite)" in row["reason"]
