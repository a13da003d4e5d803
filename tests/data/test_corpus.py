"""Corpora of pinned files: splits, arrangements, tokens; and, where there is a mirror, the published counts."""

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seqscale.config import ConfigError, resolve
from seqscale.config.load import Config
from seqscale.data import DataError, open_dataset, prepare
from seqscale.data.batches import TextDataset
from seqscale.data.corpus import hub_rows, load_splits
from seqscale.data.tokenizers import SubwordTokenizer, WordTokenizer, _pieces
from seqscale.files import read_json
from stand_ins import make_mirror, stand_in

ROOT = Path(__file__).resolve().parents[2]


def config_with(**datasets: Any) -> Config:
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    return resolve({**values, "datasets": datasets}, [], ROOT)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="module")
def specs(mirror: Path) -> dict[str, Any]:
    return stand_in(copy.deepcopy(config_with().datasets), mirror)


def prepared(name: str, specs: dict[str, Any], mirror: Path, folder: Path, **changes: Any) -> TextDataset:
    prepare(name, {**specs[name], **changes}, folder, str(mirror), downloads=folder / "downloads")
    data = open_dataset(folder)
    assert isinstance(data, TextDataset)
    return data


def tokens(folder: Path, split: str) -> np.ndarray:
    return np.fromfile(folder / f"{split}.bin", dtype=read_json(folder / "meta.json")["dtype"])


# --- splits and arrangements -----------------------------------------------------------------------------------------


def test_one_text_is_cut_by_characters_with_what_lies_between_dropped(specs: dict[str, Any], mirror: Path) -> None:
    text = (mirror / "tiny_shakespeare/input.txt").read_text()
    spec = specs["tiny_shakespeare"]
    parts = load_splits("t", spec, str(mirror), mirror)
    assert [len(p) for p in parts.values()] == spec["lengths"]
    first, second, _ = spec["lengths"]
    assert parts["train"] + text[first] + parts["valid"] + text[first + 1 + second] + parts["test"] == text


def test_lengths_that_do_not_fit_the_text_are_refused(specs: dict[str, Any], mirror: Path) -> None:
    spec = {**specs["tiny_shakespeare"], "lengths": [1000, 100, 100]}
    with pytest.raises(DataError, match=r"the text has .* characters, but `lengths` and `gap` speak of 1,202"):
        load_splits("t", spec, str(mirror), mirror)


def test_the_hubs_rows_by_hand() -> None:
    assert hub_rows(" \n = A = \n \n b c \n") == "\n = A = \n\n\n b c \n"
    assert hub_rows("") == ""


def test_limit_keeps_whole_lines(specs: dict[str, Any], mirror: Path) -> None:
    whole = load_splits("w", specs["wikitext2"], str(mirror), mirror)
    for split, part in load_splits("w", {**specs["wikitext2"], "limit": 500}, str(mirror), mirror).items():
        assert len(part) <= 500
        assert part.endswith("\n")
        assert whole[split].startswith(part)


# --- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wikitext2", "wikitext2_published", "ptb"])
def test_words_and_the_ends_of_lines_give_the_text_back(
    name: str, specs: dict[str, Any], mirror: Path, tmp_path: Path
) -> None:
    data = prepared(name, specs, mirror, tmp_path)
    texts = load_splits(name, specs[name], str(mirror), mirror)
    assert isinstance(data.tokenizer, WordTokenizer)
    for split, text in texts.items():
        said = [data.tokenizer.vocabulary[t] for t in tokens(tmp_path, split)]
        assert said.count("<eos>") == text.removesuffix("\n").count("\n") + 1
        assert [word for word in said if word != "<eos>"] == text.split()
        assert data.meta["tokens"][split] == len(said)
    assert data.vocab_size == len(set(" ".join(texts.values()).split())) + 1


def test_the_published_copy_has_the_words_of_the_plain_one_and_more_ends_of_lines(
    specs: dict[str, Any], mirror: Path, tmp_path: Path
) -> None:
    plain = prepared("wikitext2", specs, mirror, tmp_path / "a")
    copy_ = prepared("wikitext2_published", specs, mirror, tmp_path / "b")
    assert isinstance(plain.tokenizer, WordTokenizer)
    assert isinstance(copy_.tokenizer, WordTokenizer)
    assert plain.tokenizer.vocabulary == copy_.tokenizer.vocabulary
    end = plain.tokenizer.vocabulary.index("<eos>")
    a, b = tokens(tmp_path / "a", "test"), tokens(tmp_path / "b", "test")
    assert np.array_equal(a[a != end], b[b != end])
    assert (b == end).mean() > 1.3 * (a == end).mean()


def test_gpt2_pieces_give_the_text_back(specs: dict[str, Any], mirror: Path, tmp_path: Path) -> None:
    data = prepared("wikitext2_gpt2", specs, mirror, tmp_path)
    for split, text in load_splits("w", specs["wikitext2_gpt2"], str(mirror), mirror).items():
        found = tokens(tmp_path, split)
        assert isinstance(data.tokenizer, SubwordTokenizer)
        assert data.tokenizer.decode(found.tolist()) == text
        assert len(found) < len(text)
        assert list(found) == data.tokenizer.inner.encode(text, add_special_tokens=False).ids  # as from one piece


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_pieces_joined_are_the_text(size: int) -> None:
    text = " \n = A = \n\n two  words\tand a tab\n"
    pieces = _pieces(text, size)
    assert "".join(pieces) == text
    assert all(after[0].isspace() and not before[-1].isspace() for before, after in pairwise(pieces))


def test_prompts_keep_what_the_corpus_knows(specs: dict[str, Any], mirror: Path, tmp_path: Path) -> None:
    words = prepared("wikitext2", specs, mirror, tmp_path / "w").tokenizer
    assert words.decode(words.prompt("the zebra game")) == "the game"
    assert len(words.prompt("zebra")) == 1
    characters = prepared("tiny_shakespeare", specs, mirror, tmp_path / "c").tokenizer
    assert characters.decode(characters.prompt("the ☃game")) == "the game"
    pieces = prepared("wikitext2_gpt2", specs, mirror, tmp_path / "g").tokenizer
    assert pieces.decode(pieces.prompt("zebra ☃")) == "zebra ☃"


def test_what_is_not_as_expected_is_refused(specs: dict[str, Any], mirror: Path, tmp_path: Path) -> None:
    expect = {"vocab_size": 5, "tokens": {"train": 7}, "first_tokens": {"train": [0, 0, 0]}}
    with pytest.raises(
        DataError, match=r"expected 5;.*expected 7; train starts with the tokens \[.*expected \[0, 0, 0\]"
    ):
        prepared("ptb", specs, mirror, tmp_path, expect=expect)
    assert not (tmp_path / "meta.json").exists()
    prepared("ptb", specs, mirror, tmp_path, expect=expect, limit=1000)  # a part of it need not be


# --- configuration ---------------------------------------------------------------------------------------------------


def test_like_takes_over_and_replaces() -> None:
    datasets = config_with(mine={"like": "wikitext2_gpt2", "limit": 1000}).datasets
    assert datasets["mine"]["files"] == datasets["wikitext2"]["files"]
    assert (datasets["mine"]["tokenizer"], datasets["mine"]["limit"], datasets["mine"]["name"]) == (
        "gpt2",
        1000,
        "mine",
    )
    assert "like" not in datasets["mine"]
    assert "limit" not in datasets["wikitext2_gpt2"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"like": "wikitex2"}, r"mine.*no other dataset 'wikitex2'; did you mean 'wikitext2'\?"),
        ({"like": "mine"}, "mine.*no other dataset 'mine'"),
        ({"like": "wikitext2", "tokenizer": "gpt2"}, "'gpt2' needs `tokenizer_files` with `vocab` and `merges`"),
        ({"like": "wikitext2", "lengths": [10, 10, 10]}, "`lengths` .* go with a single file `text`"),
        ({"like": "wikitext2", "files": {"train": {"path": "a", "sha256": "0" * 64}}}, "either `text` alone or"),
        ({"like": "wikitext2", "files": {"text": {"path": "a", "sha256": "12"}}}, "64 hexadecimal digits"),
        ({"like": "ptb", "files": {"text": {"path": "a", "url": "ftp://x", "sha256": "0" * 64}}}, "starts with https"),
        ({"like": "sentiment140", "split": [0.5, 0.1, 0.1]}, "must add up to 1"),
        ({"like": "sentiment140", "tokenizer": "words"}, "Allowed: bert_uncased"),
    ],
    ids=lambda x: "" if isinstance(x, str) else "-".join(f"{k}" for k in x),
)
def test_bad_entries(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config_with(mine=entry)


# --- the real ones ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["tiny_shakespeare", "wikitext2", "wikitext2_published", "wikitext2_gpt2", "wikitext2_published_gpt2", "ptb"],
)
def test_the_public_corpora_are_as_published(name: str, public_mirror: Path, tmp_path: Path) -> None:
    """Bytes, splits, vocabulary, counts and first tokens: `prepare` refuses whatever config/datasets.yaml denies."""
    spec = config_with().datasets[name]
    assert spec["expect"]
    prepare(name, spec, tmp_path, str(public_mirror), downloads=tmp_path / "downloads")
    assert not (tmp_path / "downloads").exists()
    if name == "wikitext2_published":
        meta = read_json(tmp_path / "meta.json")
        assert meta["characters"]["test"] == 1_256_441
        ends = (tokens(tmp_path, "test") == meta["vocabulary"].index("<eos>")).mean()
        assert ends == pytest.approx(0.0292, abs=5e-5)
