"""What is checked of pinned corpora and classifiers before anything starts."""

import copy
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqscale.config import ConfigError, Matrix, resolve
from seqscale.data.check import check_corpora
from stand_ins import make_mirror, stand_in

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="module")
def stand_ins(mirror: Path) -> dict[str, Any]:
    return stand_in(yaml.safe_load((ROOT / "config/datasets.yaml").read_text()), mirror)


@pytest.fixture
def values(stand_ins: dict[str, Any], mirror: Path) -> dict[str, Any]:
    """Two experiments, on words and on tweets, with stand-in files in a mirror."""
    common = {"models": ["mamba"], "batch": 4, "steps": 4, "seeds": [1], "learning_rate": 0.01}
    return {
        "name": "two",
        "data": {"mirror": str(mirror)},
        "datasets": copy.deepcopy(stand_ins),
        "experiments": {
            "words": {**common, "dataset": "ptb", "context": 16},
            "tweets": {**common, "dataset": "sentiment140_sample", "probes": str(ROOT / "config/probes.yaml")},
        },
    }


def checked(values: dict[str, Any]) -> Matrix:
    config = resolve(values, [], ROOT)
    check_corpora(config)
    return Matrix(config)


def test_sound_ones_pass_and_tweets_bring_their_context(values: dict[str, Any]) -> None:
    matrix = checked(values)
    assert matrix.run_config("tweets", "mamba", 1)["context"] == 64
    assert "probes" not in matrix.run_config("tweets", "mamba", 1), "they are no matter for training"


def test_dropout_of_an_experiment_is_that_of_all_its_models(values: dict[str, Any]) -> None:
    values["experiments"]["tweets"]["dropout"] = 0.3
    matrix = checked(values)
    assert matrix.run_config("tweets", "mamba", 1)["model"]["dropout"] == 0.3
    assert matrix.run_config("words", "mamba", 1)["model"]["dropout"] == 0.0


@pytest.mark.parametrize(
    ("experiment", "changes", "words"),
    [
        ("tweets", {"context": 32}, "tweets.context: 32 does not fit; the tweets are cut to 64 tokens: leave it out"),
        ("tweets", {"sample": {"prompt": "a", "length": 3}}, "tweets.sample: a classifier writes no text"),
        ("tweets", {"probes": "nowhere.yaml"}, r"tweets.probes: the probes file nowhere\.yaml cannot be read"),
        ("tweets", {"dropout": 1.0}, "tweets.dropout: must be less than 1"),
        (
            "words",
            {"probes": "config/probes.yaml"},
            "words.probes: are for classifiers, but this dataset has no labels",
        ),
        ("words", {"context": None}, "context"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_what_does_not_fit(experiment: str, changes: dict[str, Any], words: str, values: dict[str, Any]) -> None:
    values["experiments"][experiment] |= changes
    with pytest.raises(ConfigError, match=words):
        checked({**values, "experiments": values["experiments"]})


def test_a_batch_larger_than_the_corpus(values: dict[str, Any]) -> None:
    values["datasets"]["ptb"]["expect"] = {"tokens": {"train": 1000}}
    values["experiments"]["words"]["batch"] = 100
    with pytest.raises(ConfigError, match=r"words.*1,000 tokens, too few for one batch of 100 x 16"):
        checked(values)


def test_a_damaged_file_of_the_mirror_stops_everything_at_once(values: dict[str, Any]) -> None:
    values["datasets"]["ptb"]["files"]["valid"]["sha256"] = "0" * 64
    with pytest.raises(ConfigError, match=r"words.*ptb\.valid\.txt has the wrong checksum"):
        checked(values)


def test_what_can_be_downloaded_need_not_be_there(
    values: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And what cannot is told at once, but stops nothing: everything else can still be made."""
    values["data"]["mirror"] = None
    with caplog.at_level(logging.WARNING):
        checked(values)
    assert "ptb" not in caplog.text
    assert "sentiment140/train_sample.csv" in caplog.text
    assert "SEQSCALE_MIRROR" in caplog.text


def test_jobs_learn_of_the_mirror_and_no_jobs_params_do(
    values: dict[str, Any], mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that another place for the same bytes reruns nothing."""
    monkeypatch.setenv("SEQSCALE_MIRROR", "")
    config = resolve(values, [], ROOT)
    config.tell_jobs_the_mirror()
    assert os.environ["SEQSCALE_MIRROR"] == str(mirror)
    assert str(mirror) not in json.dumps([config.datasets["ptb"], checked(values).run_config("words", "mamba", 1)])
