"""Evaluating a checkpoint: equal to the pipeline's own numbers, and recall that can be known."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from seqscale.data.batches import IGNORE
from seqscale.data.tokenizers import CharacterTokenizer
from seqscale.hub import save_pretrained
from seqscale.hub.evaluation import (
    associative_recall,
    default_contexts,
    encode,
    evaluate_recall,
    evaluate_text,
    induction,
)
from seqscale.hub.files import CheckpointError
from seqscale.hub.tokenizer import save_tokenizer
from seqscale.models import LanguageModel, ModelSpec, build

TEXT = "the cat sat on the mat – and that is that.\n" * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = CharacterTokenizer.of(TEXT)
    torch.manual_seed(0)
    save_pretrained(build(ModelSpec("m", "mamba", 8, 1, norm="rmsnorm"), len(tokenizer), 16), folder)
    save_tokenizer(tokenizer, folder)
    return folder


def model_of(folder: Path) -> LanguageModel:
    from seqscale.hub import from_pretrained

    return from_pretrained(folder)


def test_loss_is_that_of_windows_that_start_afresh(folder: Path) -> None:
    model, tokens = model_of(folder), encode(folder, TEXT)
    rows = {row["quantity"]: row for row in evaluate_text(model, tokens, TEXT, [50])}
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(tokens) - 1, 50):
            piece = torch.from_numpy(tokens[start : start + 51])
            total += F.cross_entropy(model(piece[None, :-1])[0], piece[1:], reduction="sum").item()
    targets = len(tokens) - 1
    assert rows["loss"]["count"] == targets
    assert rows["loss"]["value"] == pytest.approx(total / targets, rel=1e-5)
    assert rows["perplexity"]["value"] == pytest.approx(math.exp(total / targets), rel=1e-4)
    assert rows["bits_per_byte"]["value"] == pytest.approx(total / math.log(2) / len(TEXT.encode()), rel=1e-5)


def test_recall_tasks_can_be_known_from_their_first_half() -> None:
    rng = np.random.default_rng(0)
    inputs, targets = induction(rng, 50, 16, 4)
    assert (inputs[:, :8] == inputs[:, 8:]).all()
    assert (targets[:, :8] == IGNORE).all()
    assert (targets[:, 8:-1] == inputs[:, 9:]).all()
    inputs, targets = associative_recall(rng, 50, 16, 4)
    for row in range(4):
        told = dict(zip(inputs[row, :8:2], inputs[row, 1:8:2], strict=True))
        asked = np.flatnonzero(targets[row] != IGNORE)
        assert len(asked) == 4
        assert all(targets[row, t] == told[inputs[row, t]] for t in asked)


def test_a_model_that_knows_nothing_recalls_nothing(folder: Path) -> None:
    rows = evaluate_recall(model_of(folder), [16, 32])
    accuracy = [row["value"] for row in rows if row["quantity"] == "accuracy"]
    assert len(accuracy) == 4
    assert max(accuracy) < 0.5


def test_contexts_end_with_the_text() -> None:
    model = build(ModelSpec("m", "linear", 4, 1), 5, 16)
    assert default_contexts(model, 1000) == [128, 512]
    assert default_contexts(model, 100) == [99]


def test_a_checkpoint_without_tokenizer_and_unknown_characters(folder: Path, tmp_path: Path) -> None:
    save_pretrained(model_of(folder), tmp_path)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is not there"):
        encode(tmp_path, TEXT)
    with pytest.raises(CheckpointError, match="cannot encode this text"):
        encode(folder, "ΩΩΩ")


def test_the_stage_writes_a_tidy_table(folder: Path, root: Path, tmp_path: Path) -> None:
    import hashlib
    import json
    import subprocess
    import sys

    (tmp_path / "text.txt").write_text(TEXT)
    files = {}
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text(TEXT)
        files[split] = {"path": f"{split}.txt", "sha256": hashlib.sha256(TEXT.encode()).hexdigest()}
    texts = {
        "cats": {"kind": "text", "path": str(tmp_path / "text.txt"), "split": [0.5, 0.25, 0.25]},
        "pinned": {"kind": "corpus", "tokenizer": "words", "files": files},
    }
    command = [sys.executable, str(root / "src/checkpoint.py"), "--name", "mine", "--out", str(tmp_path / "out.csv"),
               "--spec", json.dumps({"path": str(folder), "recall": [16]}), "--texts", json.dumps(texts),
               "--mirror", str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out.csv")
    assert set(table["task"]) == {"text", "induction", "associative_recall"}
    assert set(table["checkpoint"]) == {"mine"}
    assert set(table["dataset"].dropna()) == {"cats", "pinned"}
    assert table["value"].notna().all()
