"""Classifiers from training to tables: they learn, resume to the last bit, and are counted rightly."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from finished_runs import same

from seqscale.config import resolve
from seqscale.data import open_dataset, prepare
from seqscale.data.batches import LabelledDataset
from seqscale.data.probes import Probes
from seqscale.training import evaluate_split, metrics, model_for, train
from seqscale.training.checkpoint import load_tensors
from seqscale.training.classification import Answers, answers, counts, probe, scores
from stand_ins import make_mirror, stand_in

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tweets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-in tweets: those with a word of GOOD are positive, those with one of BAD negative."""
    folder = tmp_path_factory.mktemp("tweets")
    mirror = make_mirror(folder / "mirror")
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    datasets = stand_in(copy.deepcopy(resolve(values, [], ROOT).datasets), mirror)
    prepare("tweets", {**datasets["sentiment140_sample"], "max_tokens": 40}, folder / "data", str(mirror))
    return folder / "data"


@pytest.fixture
def data(tweets: Path) -> LabelledDataset:
    opened = open_dataset(tweets)
    assert isinstance(opened, LabelledDataset)
    return opened


def a_run(make_run: Any, model: str = "mamba", **changes: Any) -> dict[str, Any]:
    return make_run(model, **{"context": 40, "batch": 16, "steps": 60, "eval_every": 30, **changes})


@pytest.mark.parametrize("model", ["transformer", "lstm", "mamba"])
def test_a_classifier_learns_the_label(model: str, tweets: Path, make_run: Any, tmp_path: Path) -> None:
    run = a_run(make_run, model, steps=100, optimizer={"learning_rate": 0.02})
    summary = train(run, tweets, tmp_path / "w", tmp_path / "o")
    assert summary["status"] == "ok"
    assert summary["train_tokens"] == 100 * 16 * 40
    data = open_dataset(tweets)
    trained = model_for(summary["config"], data)
    trained.load_state_dict(load_tensors(tmp_path / "o" / "model.safetensors")[0])
    found = evaluate_split(trained, data, "test", 40, CPU, "float32")
    assert found["loss"] < 0.5, "chance is ln 2 = 0.69"
    assert found["accuracy"] > 0.85


def test_interrupted_training_ends_where_the_uninterrupted_ends(
    tweets: Path, make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(make_run, "mamba", spec={"dropout": 0.1}, steps=8, checkpoint_every=3)
    train(run, tweets, tmp_path / "w1", tmp_path / "o1")
    whole = LabelledDataset.train_batch

    def cut(self: LabelledDataset, seed: int, step: int, batch: int, context: int) -> Any:
        if step == 5:
            raise KeyboardInterrupt
        return whole(self, seed, step, batch, context)

    monkeypatch.setattr(LabelledDataset, "train_batch", cut)
    with pytest.raises(KeyboardInterrupt):
        train(run, tweets, tmp_path / "w2", tmp_path / "o2")
    monkeypatch.setattr(LabelledDataset, "train_batch", whole)
    train(run, tweets, tmp_path / "w2", tmp_path / "o2")
    assert same(tmp_path / "o1", tmp_path / "o2")


def test_one_pass_gives_what_the_evaluation_gives(data: LabelledDataset, make_run: Any) -> None:
    """The script asks once and computes all from the answers; training evaluates batch by batch."""
    torch.manual_seed(0)
    model = model_for(a_run(make_run), data)
    for split in ("valid", "test"):
        found = scores(answers(model, data, split, 40, CPU, "float32"))
        raw = evaluate_split(model, data, split, 40, CPU, "float32")
        assert found["loss"] == pytest.approx(raw["loss"], rel=1e-6)
        assert (found["accuracy"], found["tokens"]) == (raw["accuracy"], raw["tokens"])
    shown = metrics(scores(answers(model, data, "test", 40, CPU, "float32")), data.meta, "test")
    assert shown["perplexity"] is None
    assert shown["bits_per_character"] is None
    assert shown["accuracy"] is not None


def some_answers() -> Answers:
    """Six texts: lengths 3, 8, 9, 12, 33, 60; the last is neutral."""
    said = np.array([0, 1, 1, 0, 1, 0])
    probabilities = np.where(np.arange(2) == said[:, None], 0.75, 0.25)
    return Answers(np.log(probabilities), np.array([0, 1, 0, 0, 1, 2]), np.array([3, 8, 9, 12, 33, 60]))


def test_counts_by_hand() -> None:
    found = counts(some_answers(), ["negative", "positive"], "neutral")
    table = {(row["truth"], row["answer"]): row["examples"] for row in found["confusion"]}
    assert table == {
        ("negative", "negative"): 2,
        ("negative", "positive"): 1,
        ("positive", "negative"): 0,
        ("positive", "positive"): 2,
        ("neutral", "negative"): 1,
        ("neutral", "positive"): 0,
    }
    assert [tuple(row.values()) for row in found["lengths"]] == [(1, 8, 2, 2), (9, 12, 2, 1), (33, 60, 1, 1)]
    assert (found["examples"], found["correct"]) == (5, 4)


def test_scores_by_hand() -> None:
    found = scores(some_answers())
    assert found["accuracy"] == pytest.approx(4 / 5)
    assert found["tokens"] == 5, "a neutral text has no answer"
    assert found["loss"] == pytest.approx(-(4 * np.log(0.75) + np.log(0.25)) / 5)


def test_probes_are_asked_like_the_corpus(data: LabelledDataset, make_run: Any) -> None:
    torch.manual_seed(0)
    model = model_for(a_run(make_run), data)
    probes = Probes((("I LOVE it!!", "positive"),), ("{term} is here", "seen {term}"), {"who": ("the boy", "a girl")})
    found = probe(model, data, probes, CPU, "float32")
    row = found["examples"][0]
    odds = row["score"]
    assert row["answer"] == ("positive" if odds > 0 else "negative")
    assert row["confidence"] == pytest.approx(1 / (1 + np.exp(-abs(odds))))
    assert [tuple(r[:3]) for r in found["counterfactuals"]] == [
        (0, "who", "the boy"),
        (0, "who", "a girl"),
        (1, "who", "the boy"),
        (1, "who", "a girl"),
    ]
    again = probe(model, data, Probes((("i love it", "positive"),), (), {}), CPU, "float32")
    assert again["examples"][0]["score"] == odds, "cleaned before it is asked"
