"""What a claim rests on: the runs and benchmarks that its trials read, and nothing else."""

import json
from pathlib import Path

import pytest
import yaml

from seqscale.claims import Claims, load_claims
from seqscale.claims.needs import BENCH, RUNS, Needs, needs
from seqscale.config import Matrix, resolve
from seqscale.tables import TABLES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def claims() -> Claims:
    return load_claims(ROOT / "config/claims.yaml", ROOT / "workflow/schemas/claims.schema.yaml")


@pytest.fixture(scope="module")
def matrix() -> dict[str, object]:
    file = ROOT / "config/config.yaml"
    return json.loads(json.dumps(Matrix(resolve(yaml.safe_load(file.read_text()), [file], ROOT)).summary()))


def of(name: str, claims: Claims, matrix: dict[str, object]) -> Needs:
    return needs(next(claim for claim in claims.claims if claim.id == name), matrix)


def test_an_order_needs_the_models_that_it_orders(claims: Claims, matrix: dict[str, object]) -> None:
    found = of("000.order", claims, matrix)
    assert {e for e, _, _ in found.runs} == {"text"}  # preferred: tiny_shakespeare, which is not there
    assert {m for _, m, _ in found.runs} == {"mamba", "transformer", "attention", "linear"}
    assert len(found.runs) == 4 * 3
    assert found.bench == ()


def test_a_difference_needs_its_two_models(claims: Claims, matrix: dict[str, object]) -> None:
    found = of("004.selective", claims, matrix)
    assert {(e, m) for e, m, _ in found.runs} == {("selective_copying", m) for m in ("mamba", "lti_ssm", "transformer")}


def test_a_scaling_claim_needs_benchmarks(claims: Claims, matrix: dict[str, object]) -> None:
    assert of("001.scaling", claims, matrix) == Needs((), (("prefill", "transformer"), ("prefill", "mamba")))
    assert set(of("000.time", claims, matrix).bench) == {
        ("train_step", "mamba"), ("train_step", "transformer"), ("decode", "mamba"),
    }  # fmt: skip


def test_what_the_configuration_cannot_test_needs_nothing(claims: Claims, matrix: dict[str, object]) -> None:
    assert of("000.wikitext2", claims, matrix) == Needs((), ())
    assert of("002.hippo", claims, matrix) == Needs((), ())


def test_every_table_of_results_is_made_from_runs_benchmarks_or_analyses() -> None:
    assert {*RUNS, *BENCH, "analyses"} == set(TABLES)


def test_tables_of_classifiers_and_of_other_lengths_rest_on_runs(claims: Claims) -> None:
    runs = [
        {"experiment": experiment, "model": model, "seed": 1}
        for experiment, model in (
            ("published_003_sentiment140", "published_003_mamba"), ("sentiment140", "lstm"),
            ("sentiment140", "hyena"), ("induction_heads", "mamba"),
        )
    ]  # fmt: skip
    jobs = {"runs": runs}
    assert ("published_003_sentiment140", "published_003_mamba", 1) in of("003.examples", claims, jobs).runs
    assert of("003.length", claims, jobs).runs == (("sentiment140", "lstm", 1),)
    assert of("mamba.induction_heads", claims, jobs).runs == (("induction_heads", "mamba", 1),)


def test_every_claim_that_can_be_tested_is_rerun_by_a_configuration_that_is_shipped(claims: Claims) -> None:
    full = ROOT / "config/full.yaml"
    jobs = Matrix(resolve(yaml.safe_load(full.read_text()), [full], ROOT)).summary()
    able = [c for c in claims.claims if any(not t.untested and t.select["table"] != "analyses" for t in c.trials)]
    assert [c.id for c in able if needs(c, jobs) == Needs((), ())] == []
