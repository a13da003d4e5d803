"""What a claim rests on: the runs and benchmarks that its trials read, and nothing else."""

import json
from pathlib import Path

import pytest
import yaml

from seqscale.claims import Claims, load_claims
from seqscale.claims.needs import Needs, needs
from seqscale.config import Matrix, resolve

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
