"""config/full.yaml runs what every claim asks for: no row of config/claims.yaml is left without rows of a table."""

from typing import Any

import pytest
import yaml
from made_up_claims import CLAIMS, ROOT, SCHEMA

from seqscale.claims import load_claims
from seqscale.claims.load import Trial
from seqscale.config import Matrix, resolve

FILE = ROOT / "config" / "full.yaml"
TRIALS = {
    f"{claim.id} {trial.protocol} {trial.part}".strip(): trial
    for claim in load_claims(CLAIMS, SCHEMA).claims
    for trial in claim.trials
    if trial.untested is None
}


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return Matrix(resolve(yaml.safe_load(FILE.read_text()), [FILE], ROOT))


def _choices(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _sides(trial: Trial) -> list[dict[str, Any]]:
    """The selections of a trial, one for each model that it compares."""
    named = [trial.options[key] for key in ("of", "minus", "over") if key in trial.options]
    named += [{"model": model} for model in trial.options.get("models", [])]
    return [{**trial.select, **side} for side in named or [{}]]


@pytest.mark.parametrize("trial", TRIALS.values(), ids=TRIALS.keys())
def test_the_full_configuration_runs_it(trial: Trial, matrix: Matrix) -> None:
    table = trial.select["table"]
    runs = {(e, m): matrix.experiments[e]["protocol"] for e, m, _ in matrix.runs()}
    analyses = matrix.config.values["analyses"]
    for side in _sides(trial):
        if table == "bench":
            wanted = {(side["suite"], model) for model in _choices(side["model"])}
            assert wanted & set(matrix.benches()), wanted
        elif table == "analyses":
            assert side["suite"] in analyses
        else:
            wanted = {(e, m) for e in _choices(side["experiment"]) for m in _choices(side["model"])}
            there = wanted & runs.keys()
            assert there, f"none of {wanted}"
            assert {runs[pair] for pair in there} == {trial.protocol}


@pytest.mark.parametrize("trial", TRIALS.values(), ids=TRIALS.keys())
def test_lengths_asked_for_are_measured(trial: Trial, matrix: Matrix) -> None:
    length = trial.options.get("length")
    if trial.select["table"] == "bench" and isinstance(length, int):
        lengths = matrix.config.values["benchmarks"]["suites"][trial.select["suite"]]["lengths"]
        assert any(abs(n - length) <= 0.05 * length for n in lengths)
    if trial.select["table"] == "extrapolation":
        data = matrix.config.datasets[matrix.experiments[trial.select["experiment"]]["dataset"]]
        assert int(trial.select["length"]) in data["extrapolation"]["lengths"]


def test_fair_experiments_have_five_seeds_and_a_search_of_one_size(matrix: Matrix) -> None:
    for name, experiment in matrix.experiments.items():
        assert len(experiment["seeds"]) == 5, name
        assert (experiment["search"] is not None) == (experiment["protocol"] == "fair"), name
