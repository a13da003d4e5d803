"""What a sound configuration becomes: numbers as meant, names that do not collide, all of a run in its job's config."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqscale.config import ConfigError, Matrix, resolve

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def good() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def matrix(values: dict[str, Any]) -> Matrix:
    return Matrix(resolve(copy.deepcopy(values), [], ROOT))


def test_numbers_that_yaml_takes_for_text(good: dict[str, Any]) -> None:
    text = good["experiments"]["text"]
    text |= {"steps": "8e2", "overrides": {"mamba": {"learning_rate": "1e-3"}}}
    text["sample"]["prompt"] = "1e5"
    run = matrix(good).run_config("text", "mamba", 1)
    assert run["steps"] == 800
    assert isinstance(run["steps"], int)
    assert run["optimizer"]["learning_rate"] == 1e-3
    assert matrix(good).sample("text")["prompt"] == "1e5"


def test_two_files_of_one_name_are_two_datasets(good: dict[str, Any]) -> None:
    one = good["experiments"]["text"]
    good.pop("analyses", None)  # they name an experiment
    good["experiments"] = {
        "one": {**one, "dataset": "a/input.txt"},
        "two": {**one, "dataset": "b/input.txt"},
        "again": {**one, "dataset": "a/input.txt"},
        "own": {**one, "dataset": "pydoc_topics.txt"},
        "built_in": one,
    }
    found = matrix(good)
    names = {name: x["dataset"] for name, x in found.experiments.items()}
    assert len(set(names.values())) == 4
    assert names["one"] == names["again"]
    assert names["built_in"] == "pydoc_topics"
    for name, path in (("one", "a/input.txt"), ("two", "b/input.txt"), ("own", "pydoc_topics.txt")):
        assert found.config.datasets[names[name]]["path"] == path
    assert found.config.datasets["pydoc_topics"]["kind"] == "pydoc_topics"


def test_rates_keep_all_their_digits(good: dict[str, Any]) -> None:
    rates = [1e-3, 1.0000001e-3, 1.2345678e-3]
    good["experiments"]["text"]["search"]["learning_rates"] = rates
    assert [float(rate) for rate in matrix(good).rates("text", "mamba")] == rates


def test_the_digest_sees_the_models(good: dict[str, Any]) -> None:
    before = matrix(good).summary()["config_digest"]
    good["models"] = {"mamba": {"norm": "layernorm"}}
    assert matrix(good).summary()["config_digest"] != before


def test_the_search_does_not_depend_on_the_runs_budget(good: dict[str, Any]) -> None:
    before = matrix(good).search_config("text", "mamba", "0.001")
    good["experiments"]["text"] |= {"steps": 5000, "eval_every": 77, "checkpoint_every": 33, "seeds": [7, 8, 9]}
    assert matrix(good).search_config("text", "mamba", "0.001") == before


def test_a_bad_override_is_blamed_on_the_users_own_file(good: dict[str, Any], tmp_path: Path) -> None:
    good["models"] = {"mamba": {"d_model": 0}}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(good, sort_keys=False))
    with pytest.raises(ConfigError) as caught:
        resolve(good, [file], ROOT)
    number = next(i for i, line in enumerate(file.read_text().splitlines(), 1) if line.strip() == "d_model: 0")
    assert f"mine.yaml, line {number}, models.mamba.d_model" in str(caught.value)
