"""Tables of classifiers from made-up metrics, by hand."""

from typing import Any

import pytest

from seqscale.stats.proportions import wilson_interval
from seqscale.tables.columns import as_table
from seqscale.tables.labels import NAMES, label_tables
from seqscale.tables.matrix import RunKey


def metrics(correct: int, counterfactuals: list[list[Any]]) -> dict[str, Any]:
    split = {
        "confusion": [{"truth": "negative", "answer": "positive", "examples": 100 - correct}],
        "lengths": [{"length_min": 1, "length_max": 8, "examples": 40, "correct": correct - 50}],
        "examples": 100,
        "correct": correct,
    }
    example = {"text": "a", "truth": "positive", "answer": "negative", "confidence": 0.6, "score": -0.4}
    return {
        "dataset": "tweets",
        "splits": {"test": split},
        "probes": {"examples": [example], "counterfactuals": counterfactuals},
    }


def rows(scores: dict[str, list[float]]) -> list[list[Any]]:
    return [[template, "who", term, s] for term, values in scores.items() for template, s in enumerate(values)]


@pytest.fixture
def tables() -> dict[str, list[dict[str, Any]]]:
    same = {"x": [1.0, -1.0, 2.0, 0.5], "y": [1.0, -1.0, 2.0, 0.5], "z": [1.0, -1.0, 2.0, 0.5]}
    apart = {"x": [1.0, -1.0, 2.0, 0.5], "y": [-1.0, -1.0, 2.0, 0.5], "z": [1.0, -1.0, 2.0, 0.5]}
    found = {
        RunKey("s", "fair", 1): metrics(80, rows(same)),
        RunKey("s", "fair", 2): metrics(84, rows(same)),
        RunKey("s", "unfair", 1): metrics(70, rows(apart)),
    }
    return label_tables(found)


def test_every_row_fits_its_table(tables: dict[str, list[dict[str, Any]]]) -> None:
    assert set(tables) == set(NAMES)
    for name, content in tables.items():
        assert len(as_table(name, content)) == len(content) > 0


def test_a_run_has_the_interval_of_its_test_set(tables: dict[str, list[dict[str, Any]]]) -> None:
    row = next(r for r in tables["accuracy"] if r.get("seed") == 1 and r["model"] == "fair" and "length_min" not in r)
    wilson = wilson_interval(80, 100)
    assert (row["accuracy"], row["ci_low"], row["ci_high"]) == (0.8, wilson.low, wilson.high)


def test_the_mean_over_seeds_has_a_wider_interval(tables: dict[str, list[dict[str, Any]]]) -> None:
    over = [r for r in tables["accuracy"] if "seed" not in r and r["length_min"] is None]
    mean = next(r for r in over if r["model"] == "fair")
    assert (mean["accuracy"], mean["examples"], mean["seeds"]) == (pytest.approx(0.82), 100, 2)
    wilson = wilson_interval(82, 100)
    assert wilson.low is not None
    assert mean["ci_low"] < wilson.low
    assert mean["ci_high"] <= 1.0
    one = next(r for r in over if r["model"] == "unfair")
    assert (one["ci_low"], one["ci_high"]) == (wilson_interval(70, 100).low, wilson_interval(70, 100).high)


def test_by_length(tables: dict[str, list[dict[str, Any]]]) -> None:
    bucket = next(r for r in tables["accuracy"] if r.get("seed") == 2 and r.get("length_max") == 8)
    assert (bucket["examples"], bucket["correct"], bucket["accuracy"]) == (40, 34, 0.85)


def test_the_same_answers_flip_nothing(tables: dict[str, list[dict[str, Any]]]) -> None:
    found = [r for r in tables["counterfactuals"] if r["model"] == "fair"]
    whole = next(r for r in found if "term" not in r)
    assert (whole["pairs"], whole["flips"], whole["flip_share"], whole["score_gap"]) == (3 * 4 * 2, 0, 0.0, 0.0)
    assert (whole["flip_low"], whole["flip_high"]) == (0.0, 0.0)
    assert [r["shift"] for r in found if "term" in r] == [0.0, 0.0, 0.0]


def test_one_term_apart_by_hand(tables: dict[str, list[dict[str, Any]]]) -> None:
    """y answers differently from x and z in one of four templates, by 2: 2 of 12 pairs, mean distance 4 / 12."""
    found = [r for r in tables["counterfactuals"] if r["model"] == "unfair"]
    whole = next(r for r in found if "term" not in r)
    assert (whole["pairs"], whole["flips"]) == (12, 2)
    assert whole["flip_share"] == pytest.approx(2 / 12)
    assert whole["score_gap"] == pytest.approx(4 / 12)
    assert 0.0 <= whole["flip_low"] < whole["flip_share"] < whole["flip_high"] <= 1.0
    shift = {r["term"]: r["shift"] for r in found if "term" in r}
    assert shift == {"x": pytest.approx(0.25), "y": pytest.approx(-0.5), "z": pytest.approx(0.25)}
    assert {r["term"]: r["positive_share"] for r in found if "term" in r} == {"x": 0.75, "y": 0.5, "z": 0.75}


def test_examples_say_whether_they_are_right(tables: dict[str, list[dict[str, Any]]]) -> None:
    assert [row["correct"] for row in tables["examples"]] == [False] * 3
