"""Bad input is refused before any work starts; the message names file, line, key, what is allowed, what was meant."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqscale.config import ConfigError, resolve
from seqscale.data.check import check_corpora

ROOT = Path(__file__).resolve().parents[2]
Values = dict[str, Any]


def refused(values: Values, tmp_path: Path) -> str:
    """Write `values` as a config file, check it as the pipeline does, and return the message."""
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    with pytest.raises(ConfigError) as caught:
        check_corpora(resolve(values, [file], ROOT))
    return str(caught.value)


@pytest.fixture
def good() -> Values:
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def at(*path: str | int, value: Any) -> Callable[[Values], None]:
    """A change that sets one key."""

    def change(values: Values) -> None:
        for part in path[:-1]:
            values = values.setdefault(part, {}) if isinstance(values, dict) else values[part]
        values[path[-1]] = value

    return change


def without(*path: str) -> Callable[[Values], None]:
    """A change that removes one key."""

    def change(values: Values) -> None:
        for part in path[:-1]:
            values = values[part]
        del values[path[-1]]

    return change


TEXT = ("experiments", "text")
CASES: dict[str, tuple[Callable[[Values], None], list[str]]] = {
    "misspelt key at the top": (
        at("experimnets", value={}),
        ["mine.yaml", "experimnets", "did you mean 'experiments'?"],
    ),
    "misspelt key in an experiment": (at(*TEXT, "stpes", value=3), ["experiments.text.stpes", "did you mean 'steps'?"]),
    "misspelt key in the search": (at(*TEXT, "search", "step", value=3), ["text.search.step", "did you mean 'steps'?"]),
    "misspelt optimizer key": (at(*TEXT, "optimizer", value={"weigth_decay": 0}), ["weigth_decay", "'weight_decay'"]),
    "no experiments": (without("experiments"), ["'experiments' is missing"]),
    "no dataset": (without(*TEXT, "dataset"), ["experiments.text", "'dataset' is missing"]),
    "no context for a text": (without(*TEXT, "context"), ["experiments.text", "'context' is missing"]),
    "neither search nor rate": (without(*TEXT, "search"), ["'search'", "'learning_rate'"]),
    "search and rate": (at(*TEXT, "learning_rate", value=0.01), ["not both"]),
    "text for a number": (at(*TEXT, "steps", value="many"), ["text.steps", "a whole number", "'many'"]),
    "fraction for a whole number": (at(*TEXT, "steps", value=10.5), ["text.steps", "a whole number", "10.5"]),
    "negative steps": (at(*TEXT, "steps", value=-5), ["text.steps", "at least 1", "-5"]),
    "fraction that is whole": (at(*TEXT, "steps", value=12.0), ["text.steps", "a whole number", "12.0"]),
    "optimizer of one model alone": (
        at(*TEXT, "overrides", value={"mamba": {"optimizer": {"weight_decay": 0.0}}}),
        ["overrides.mamba.optimizer", "share one optimizer"],
    ),
    "context longer than the splits": (
        at(*TEXT, "context", value=30_000),
        ["text.dataset", "shorter than one context"],
    ),
    "batch larger than the text": (at(*TEXT, "batch", value=200_000), ["text.dataset", "too few for one batch"]),
    "more steps than a float holds": (at(*TEXT, "steps", value=10**400), ["text.steps", "too large (above 1.8e+308)"]),
    "rate that no float holds": (
        at(*TEXT, "search", "learning_rates", value=[1e-3, -(10**400)]),
        ["learning_rates[1]", "must be a number, not one that is too large (below -1.8e+308)"],
    ),
    "no steps": (at(*TEXT, "steps", value=0), ["text.steps", "at least 1"]),
    "batch of none": (at(*TEXT, "batch", value=0), ["text.batch", "at least 1"]),
    "context of none": (at(*TEXT, "context", value=0), ["text.context", "at least 1"]),
    "no seeds": (at(*TEXT, "seeds", value=[]), ["text.seeds", "at least 1"]),
    "a seed twice": (at(*TEXT, "seeds", value=[1, 2, 2]), ["text.seeds", "twice"]),
    "negative seed": (at(*TEXT, "seeds", value=[-1]), ["text.seeds[0]", "at least 0"]),
    "seed that is searched with": (at(*TEXT, "seeds", value=[0, 1, 2]), ["text.search.seed", "reported seeds"]),
    "negative learning rate": (
        at(*TEXT, "search", "learning_rates", value=[-1e-3, 1e-3]),
        ["learning_rates[0]", "greater than 0"],
    ),
    "grid of one": (at(*TEXT, "search", "learning_rates", value=[1e-3]), ["learning_rates", "at least 2"]),
    "search longer than the run": (at(*TEXT, "search", "steps", value=10**6), ["text.search.steps", "more than"]),
    "grids of different sizes": (
        at(*TEXT, "overrides", value={"mamba": {"learning_rates": [1e-3, 2e-3]}}),
        ["overrides.mamba.learning_rates", "as large for everybody"],
    ),
    "override of a model that is not there": (
        at(*TEXT, "overrides", value={"mambo": {"learning_rate": 1e-3}}),
        ["overrides.mambo", "did you mean 'mamba'?"],
    ),
    "unknown model": (at(*TEXT, "models", 0, value="liner"), ["text.models[0]", "'liner'", "did you mean 'linear'?"]),
    "model twice": (at(*TEXT, "models", value=["mamba", "mamba"]), ["text.models", "twice"]),
    "unknown dataset": (at(*TEXT, "dataset", value="pydoc_topic"), ["text.dataset", "did you mean 'pydoc_topics'?"]),
    "unknown reference": (at(*TEXT, "reference_model", value="transfomer"), ["reference_model", "'transformer'"]),
    "unknown mixer": (
        at("models", value={"mine": {"mixer": "mambaa", "d_model": 8, "n_layers": 1}}),
        ["mine.mixer", "'mambaa'", "did you mean 'mamba'?"],
    ),
    "unknown mixer option": (
        at("models", value={"mamba": {"mixer_options": {"dstate": 8}}}),
        ["mixer_options.dstate", "did you mean 'd_state'?", "d_conv (int)"],
    ),
    "mixer option of the wrong type": (
        at("models", value={"mamba": {"mixer_options": {"d_state": "big"}}}),
        ["mixer_options.d_state", "int", "'big'"],
    ),
    "mixer option of zero": (
        at("models", value={"mamba": {"mixer_options": {"d_state": 0}}}),
        ["d_state", "at least 1"],
    ),
    "heads that do not divide": (
        at("models", value={"transformer": {"d_model": 66}}),
        ["transformer", "4 heads do not divide d_model = 66", "1, 2, 3, 6"],
    ),
    "rope with an odd head": (
        at("models", value={"transformer_pp": {"d_model": 12, "mixer_options": {"n_heads": 4}}}),
        ["transformer_pp", "even head width"],
    ),
    "odd complex state": (at("models", value={"lti_ssm": {"mixer_options": {"d_state": 7}}}), ["d_state", "even"]),
    "odd S4 state": (
        at("models", value={"s4": {"mixer_options": {"d_state": 7}}}),
        ["s4.mixer_options.d_state", "even"],
    ),
    "unknown start of S4": (
        at("models", value={"s4": {"mixer_options": {"init": "leg"}}}),
        ["s4.mixer_options.init", "did you mean 'legs'?"],
    ),
    "heads of Mamba-2": (
        at("models", value={"mamba2": {"mixer_options": {"d_head": 48}}}),
        ["mamba2.mixer_options.d_head", "heads of width 48 do not divide d_inner = expand * d_model = 128", "64"],
    ),
    "groups of Mamba-2": (
        at("models", value={"mamba2": {"mixer_options": {"n_groups": 3}}}),
        ["mamba2.mixer_options.n_groups", "3 groups do not divide the 8 heads"],
    ),
    "analysis of an unknown experiment": (
        at("analyses", value={"scipy_response": {"experiment": "textt", "models": ["lti_ssm"]}}),
        ["analyses.scipy_response.experiment", "did you mean 'text'?"],
    ),
    "analysis of a model that is not trained": (
        at("analyses", value={"scipy_response": {"experiment": "text", "models": ["s4"]}}),
        ["analyses.scipy_response.models", "there is no model 's4'"],
    ),
    "analysis of a model that is not linear": (
        at("analyses", value={"scipy_response": {"experiment": "text", "models": ["mamba"]}}),
        ["analyses.scipy_response.models", "'mamba' (mixer mamba) is no linear time-invariant system", "lti_ssm, s4"],
    ),
    "odd state of an analysis": (
        at("analyses", value={"hippo_memory": {"length": 100, "waves": 2, "d_state": [7]}}),
        ["analyses.hippo_memory.d_state"],
    ),
    "dropout of one": (at("models", value={"mamba": {"dropout": 1.0}}), ["mamba.dropout", "less than 1"]),
    "unknown norm": (at("models", value={"mamba": {"norm": "rms_norm"}}), ["mamba.norm", "did you mean 'rmsnorm'?"]),
    "unknown device": (at("compute", "device", value="gpu"), ["compute.device", "Allowed: auto, cpu, cuda"]),
    "no threads": (at("compute", "threads", value=0), ["compute.threads", "at least 1"]),
    "unknown suite": (
        at("benchmarks", "suites", "prefil", value={"batch": 1, "lengths": [8]}),
        ["benchmarks.suites.prefil", "did you mean 'prefill'?"],
    ),
    "unknown benchmarked model": (at("benchmarks", "models", value=["mambo"]), ["benchmarks.models[0]", "'mamba'"]),
    "length of zero": (at("benchmarks", "suites", "prefill", "lengths", value=[0]), ["lengths[0]", "at least 1"]),
    "a curve's end before its beginning": (
        at("benchmarks", "suites", "prefill", "longest", value={"mamba": 1}),
        ["benchmarks.suites.prefill.longest.mamba", "leaves none of the lengths"],
    ),
    "a curve's end for no model of the suite": (
        at("benchmarks", "suites", "prefill", "longest", value={"lstm_of_mine": 64}),
        ["benchmarks.suites.prefill.longest.lstm_of_mine", "not among the suite's models"],
    ),
    "name that is no folder": (
        at("experiments", value={"my/text": {}}),
        ["'my/text'", "letters, digits and underscores"],
    ),
    "sample of a generated task": (
        at("experiments", "selective_copying", "sample", value={"prompt": "a", "length": 3}),
        ["selective_copying.sample", "leave it out"],
    ),
    "prompt longer than the context": (
        at(*TEXT, "sample", "prompt", value="x" * 32),
        ["text.sample.prompt", "shorter than the context of 32"],
    ),
    "context that does not fit the task": (
        at("experiments", "selective_copying", "context", value=7),
        ["selective_copying.context", "19 positions"],
    ),
    "more answers than places": (
        at("datasets", value={"selective_copying_small": {"n_data": 40}}),
        ["n_data", "do not fit"],
    ),
    "parts that do not add up": (
        at("datasets", value={"pydoc_topics": {"split": [0.9, 0.2, 0.1]}}),
        ["pydoc_topics.split", "add up to 1"],
    ),
    "unknown kind of dataset": (
        at("datasets", value={"mine": {"kind": "txt", "path": "a.txt"}}),
        ["mine.kind", "did you mean 'text'?"],
    ),
    "misspelt dataset key": (
        at("datasets", value={"mine": {"kind": "text", "pth": "a.txt"}}),
        ["mine", "pth", "did you mean 'path'?"],
    ),
    "checksum that is none": (
        at("datasets", value={"mine": {"kind": "text", "path": "a.txt", "sha256": "abc"}}),
        ["mine.sha256", "64 hexadecimal digits"],
    ),
    "missing text file": (at(*TEXT, "dataset", value="no/such/book.txt"), ["text.dataset", "no/such/book.txt"]),
    "missing mirror": (at("data", "mirror", value="no/such/folder"), ["data.mirror", "no/such/folder"]),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_with_words_that_help(case: str, good: Values, tmp_path: Path) -> None:
    change, expected = CASES[case]
    change(good)
    message = refused(good, tmp_path)
    assert "nothing was started" in message
    for words in expected:
        assert words in message, message


def test_the_cases_are_many_and_the_starting_point_is_good(good: Values) -> None:
    assert len(CASES) >= 25
    check_corpora(resolve(copy.deepcopy(good), [], ROOT))


def test_the_line_is_the_keys_own(good: Values, tmp_path: Path) -> None:
    good["experiments"]["text"]["steps"] = -1
    message = refused(good, tmp_path)
    lines = (tmp_path / "mine.yaml").read_text().splitlines()
    number = next(i for i, line in enumerate(lines, 1) if line.strip() == "steps: -1")
    assert f"mine.yaml, line {number}, experiments.text.steps" in message


def test_all_problems_are_told_at_once(good: Values, tmp_path: Path) -> None:
    good["experiments"]["text"] |= {"steps": -1, "batch": "x", "colour": "red"}
    message = refused(good, tmp_path)
    assert "3 problems" in message
    for key in ("steps", "batch", "colour"):
        assert f"experiments.text.{key}" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"  \n \n", "is empty"),
        (b"too short a text", "shorter than one context of 32"),
        ("wörter ".encode("latin-1") * 2000, "is not UTF-8 text"),
        (b"just enough for a context, not for a batch. " * 40, "too few for one batch"),
    ],
    ids=["empty", "blank", "short", "latin-1", "less than a batch"],
)
def test_texts_that_cannot_be_used(good: Values, tmp_path: Path, content: bytes, words: str) -> None:
    book = tmp_path / "book.txt"
    book.write_bytes(content)
    good["experiments"]["text"] |= {"dataset": str(book), "batch": 64}
    message = refused(good, tmp_path)
    assert words in message
    assert "experiments.text.dataset" in message


def test_a_wrong_checksum(good: Values, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("word after word " * 1000)
    good["datasets"] = {"book": {"kind": "text", "path": str(book), "sha256": "0" * 64}}
    good["experiments"]["text"]["dataset"] = "book"
    message = refused(good, tmp_path)
    assert "wrong checksum" in message
    assert "expected " + "0" * 64 in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [1\n", "not valid YAML"),
        ("name: a\nname: b\nexperiments: {}\n", "line 2: 'name' is written twice (first in line 1)"),
    ],
)
def test_files_that_are_not_sound_yaml(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml") as caught:
        resolve({"name": "b", "experiments": {}}, [file], ROOT)
    assert words in str(caught.value)
