"""Tables with several rows a run (extrapolation, accuracy, examples), and figures that belong to one corpus."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_up_claims import SCHEMA, run_row

from seqscale.claims import judge, load_claims
from seqscale.tables.columns import TABLES, as_table

HEAD = """\
sources:
  "000": {title: t, kind: k, protocol: p}
claims:
  - id: 000.x
    title: x
    figure: x
    corpus: sentiment140
    published: {mamba: 0.8}
    tests:
      - protocol: fair
"""


def verdict(tmp_path: Path, test: str, **tables: pd.DataFrame) -> dict[str, Any]:
    lines = "".join(f"        {line}\n" for line in test.strip().splitlines())
    (tmp_path / "claims.yaml").write_text(HEAD + lines)
    whole = {name: as_table(name, []) for name in TABLES} | tables
    (row,) = judge(load_claims(tmp_path / "claims.yaml", SCHEMA), whole)
    return row


@pytest.fixture
def runs() -> pd.DataFrame:
    return as_table(
        "runs", [run_row("heads", m, s, 0.5, test_accuracy=0.8) for m in ("mamba", "lstm") for s in (1, 2, 3)]
    )


@pytest.fixture
def lengths() -> pd.DataFrame:
    share = {("mamba", 256): 1.0, ("mamba", 4096): 0.99, ("lstm", 256): 0.9, ("lstm", 4096): 0.3}
    rows = [
        {"experiment": "heads", "model": m, "seed": s, "length": n, "accuracy": a + 0.001 * s, "status": "ok"}
        for (m, n), a in share.items()
        for s in (1, 2, 3)
    ]
    return as_table("extrapolation", rows)


LONG = """
select: {table: extrapolation, experiment: heads, model: mamba, length: "4096"}
measure: mean
column: accuracy
expect: {above: 0.95}
"""


def test_further_columns_choose_the_row_of_each_run(tmp_path: Path, runs: Any, lengths: Any) -> None:
    row = verdict(tmp_path, LONG, runs=runs, extrapolation=lengths)
    assert (row["verdict"], row["n"]) == ("reproduced", 3)
    assert row["measured"] == pytest.approx(0.992)
    assert "length=4096" in row["evidence"]


def test_a_difference_of_two_lengths_of_one_model(tmp_path: Path, runs: Any, lengths: Any) -> None:
    test = """
select: {table: extrapolation, experiment: heads, model: lstm}
measure: difference
column: accuracy
of: {length: 4096}
minus: {length: 256}
expect: {above: -0.1}
"""
    row = verdict(tmp_path, test, runs=runs, extrapolation=lengths)
    assert row["measured"] == pytest.approx(-0.6)
    assert row["verdict"] == "not reproduced"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('"4096"', '"8192"'), "No row of extrapolation of length '8192'"),
        ((', length: "4096"', ""), "has 2 rows of heads/mamba/seed1"),
        (("model: mamba", "model: s4"), "No run of model 's4'"),
    ],
)
def test_what_is_not_there_is_not_tested_and_said(
    change: tuple[str, str], words: str, tmp_path: Path, runs: Any, lengths: Any
) -> None:
    row = verdict(tmp_path, LONG.replace(*change), runs=runs, extrapolation=lengths)
    assert row["verdict"] == "not tested"
    assert words in row["reason"]


def test_a_length_without_a_number_says_why(tmp_path: Path, runs: Any, lengths: Any) -> None:
    lengths.loc[lengths["length"] == 4096, ["accuracy", "status", "reason"]] = [
        None,
        "out of memory",
        "80 GB asked for",
    ]
    row = verdict(tmp_path, LONG, runs=runs, extrapolation=lengths)
    assert row["verdict"] == "not tested"
    assert "80 GB asked for" in row["reason"]


@pytest.mark.parametrize(("dataset", "expected"), [("sentiment140", "not reproduced"), ("a_sample", "inconclusive")])
def test_a_figure_that_needs_its_corpus_is_neither_met_nor_refuted_on_another(
    dataset: str, expected: str, tmp_path: Path
) -> None:
    test = """
select: {table: runs, experiment: tweets, model: mamba}
measure: mean
column: test_accuracy
needs_corpus: true
expect: {near: published.mamba, tolerance: 0.01}
"""
    rows = [run_row("tweets", "mamba", s, 0.5, dataset=dataset, test_accuracy=0.7 + 0.001 * s) for s in (1, 2, 3)]
    row = verdict(tmp_path, test, runs=as_table("runs", rows))
    assert row["verdict"] == expected
    assert (f"Measured on {dataset}" in row["reason"]) == (dataset != "sentiment140")
