"""Cleaning, splitting and preparing labelled tweets."""

import copy
import csv
import hashlib
import io
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from loopback import Behaviour, serving

from seqscale.config import resolve
from seqscale.data import DataError, open_dataset, prepare
from seqscale.data.batches import LabelledDataset
from seqscale.data.probes import Probes, load_probes, sentences
from seqscale.data.tweets import Tweet, clean, read_tweets, stratified_split
from seqscale.files import read_json
from stand_ins import make_mirror, stand_in, tweets

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The sample's entry, for stand-in files; its mirror is under the key `mirror`."""
    mirror = make_mirror(tmp_path_factory.mktemp("mirror"))
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    datasets = stand_in(copy.deepcopy(resolve(values, [], ROOT).datasets), mirror)
    return {**datasets["sentiment140_sample"], "mirror": str(mirror)}


def make(spec: dict[str, Any], folder: Path, **changes: Any) -> LabelledDataset:
    entry = {k: v for k, v in {**spec, **changes}.items() if k != "mirror"}
    prepare("tweets", entry, folder, spec["mirror"], downloads=folder / "downloads")
    data = open_dataset(folder)
    assert isinstance(data, LabelledDataset)
    return data


@pytest.fixture(scope="module")
def folder(spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tweets")
    make(spec, out)
    return out


@pytest.fixture(scope="module")
def data(folder: Path) -> LabelledDataset:
    opened = open_dataset(folder)
    assert isinstance(opened, LabelledDataset)
    return opened


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("@switchfoot http://twitpic.com/2y1zl - Awww, that's a bummer.  ;D", "awww thats a bummer d"),
        ("I LOVE www.Example.org/a?b=1 #much_love", "i love"),
        ("you &amp; me &lt;3", "you me 3"),
        ("donï¿½t know", "dont know"),
        ("snake_case, a/b 'quoted'", "snake case a b quoted"),
        ("café ÉTÉ", "café été"),
        ("@only #these http://x.y", ""),
        ("mail me@home.org", "mail me org"),
    ],
)
def test_cleaning(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned
    assert clean(cleaned) == cleaned, "cleaning twice changes nothing"


@pytest.mark.parametrize("fractions", [(0.98, 0.01, 0.01), (0.8, 0.1, 0.1)], ids=str)
def test_the_split_keeps_the_balance_and_every_tweet(fractions: tuple[float, ...]) -> None:
    whole = [Tweet(str(i), "positive" if i % 5 < 2 else "negative", f"t{i}") for i in range(1000)]
    parts = stratified_split(whole, fractions, seed=0)
    assert sorted(t.id for part in parts for t in part) == sorted(t.id for t in whole)
    for part, fraction in zip(parts, fractions, strict=True):
        labels = Counter(t.label for t in part)
        assert labels == {"positive": round(400 * fraction), "negative": round(600 * fraction)}
    assert stratified_split(whole, fractions, seed=0) == parts
    assert stratified_split(whole, fractions, seed=1) != parts


def test_the_csv_holds_what_the_arrays_hold(folder: Path, data: LabelledDataset) -> None:
    for split in ("train", "valid", "test", "manual"):
        with open(folder / f"{split}.csv", newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        batch = next(iter(data.eval_batches(split, 10_000, 64)))
        assert len(rows) == len(batch.labels) == data.meta["examples"][split]
        names = [*data.classes, "neutral"]
        assert [row["label"] for row in rows] == [names[label] for label in batch.labels]
        assert [int(row["tokens"]) for row in rows] == batch.lengths.tolist()
        again = data.encode([row["text"] for row in rows])[1]
        assert np.array_equal(again.inputs, batch.inputs)
        assert all("@" not in row["text"] and "http" not in row["text"] for row in rows)
    assert data.splits == ["train", "valid", "test", "manual"]


def test_rows_are_padded_on_the_right_between_their_marks(data: LabelledDataset) -> None:
    batch = next(iter(data.eval_batches("test", 50, 64)))
    first, last = (data.tokenizer.inner.token_to_id(mark) for mark in ("[CLS]", "[SEP]"))
    for row, length in zip(batch.inputs, batch.lengths, strict=True):
        assert row[0] == first
        assert row[length - 1] == last
        assert (row[length:] == data.meta["padding"]).all()
        assert (row[:length] != data.meta["padding"]).all()


def test_long_tweets_are_cut(spec: dict[str, Any], tmp_path: Path) -> None:
    data = make(spec, tmp_path, max_tokens=10)
    batch = next(iter(data.eval_batches("train", 10_000, 10)))
    assert batch.inputs.shape[1] == 10
    assert batch.lengths.max() == 10
    assert (batch.inputs[batch.lengths == 10, -1] == data.tokenizer.inner.token_to_id("[SEP]")).all()


def test_an_epoch_visits_each_tweet_once(data: LabelledDataset) -> None:
    count = data.meta["examples"]["train"]
    steps = count // 16
    rows = [data.train_batch(3, step, 16, 64) for step in range(2 * steps)]
    for epoch in (rows[:steps], rows[steps:]):
        seen = Counter(tuple(row) for batch in epoch for row in batch.inputs)
        there = Counter(tuple(row) for row in next(iter(data.eval_batches("train", count, 64))).inputs)
        assert sum(seen.values()) == steps * 16
        assert seen <= there
    assert not np.array_equal(rows[0].inputs, rows[steps].inputs)
    assert np.array_equal(data.train_batch(3, 5, 16, 64).inputs, rows[5].inputs)


def test_limits_and_the_description(spec: dict[str, Any], tmp_path: Path) -> None:
    data = make(spec, tmp_path, limit=7)
    assert data.meta["examples"] == {"train": 14, "valid": 14, "test": 14, "manual": 21}
    assert data.meta["labels"]["manual"] == {"negative": 7, "neutral": 7, "positive": 7}
    assert data.meta["emptied_by_cleaning"] == {"train": 0, "manual": 0}
    assert (data.meta["task"], data.meta["classes"]) == ("labels", ["negative", "positive"])


def test_the_whole_comes_from_its_address_out_of_its_archive(tmp_path: Path) -> None:
    """The entry `sentiment140` with a zip served on loopback: downloaded once, both files read from it."""
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    spec = copy.deepcopy(resolve(values, [], ROOT).datasets["sentiment140"])
    mirror = make_mirror(tmp_path / "mirror")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(spec["files"]["train"]["member"], tweets(400, 0, ("0", "4")))
        archive.writestr(spec["files"]["manual"]["member"], tweets(30, 1, ("0", "2", "4")))
    server = Behaviour(packed.getvalue(), stop_after=5000)  # and the connection breaks off now and then
    with serving(server) as url:
        spec = stand_in({"sentiment140": spec}, mirror)["sentiment140"]
        for file in spec["files"].values():
            file |= {"url": f"{url}/all.zip", "sha256": hashlib.sha256(server.body).hexdigest()}
        prepare("whole", spec, tmp_path / "out", str(mirror), downloads=tmp_path / "downloads")
    meta = read_json(tmp_path / "out/meta.json")
    assert sum(meta["examples"][split] for split in ("train", "valid", "test")) == 400
    assert meta["examples"]["manual"] == 30
    assert len(server.requests) == -(-len(server.body) // 5000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'"4","1","","","-"\n', "row 1: has 5 columns, not 6"),
        (b'"4","1","","","-","a"\n"3","1","","","-","a"\n', "row 2: the label is '3'; known: 0, 2, 4"),
        (b"", "holds no tweet"),
    ],
)
def test_damaged_files(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_tweets(content, "a.csv")


def test_a_split_that_is_left_without_a_label(spec: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the test split of 0 tweets has none that is negative or positive"):
        make(spec, tmp_path, split=[0.998, 0.001, 0.001])


def test_a_changed_array_is_noticed(spec: dict[str, Any], tmp_path: Path) -> None:
    make(spec, tmp_path)
    (tmp_path / "test.npz").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"test\.npz is not the file that was prepared"):
        open_dataset(tmp_path)


def test_another_context_is_refused(data: LabelledDataset) -> None:
    with pytest.raises(ValueError, match="a context of 32 does not fit; its rows have 64 tokens"):
        data.train_batch(0, 0, 4, 32)
    with pytest.raises(ValueError, match="too few for a batch of 5000"):
        data.train_batch(0, 0, 5000, 64)


def test_the_sample_is_as_the_mirror_describes_it(public_mirror: Path, tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    spec = resolve(values, [], ROOT).datasets["sentiment140_sample"]
    raw = read_tweets((public_mirror / spec["files"]["train"]["path"]).read_bytes(), "sample")
    assert Counter(t.label for t in raw) == {"negative": 14_880, "positive": 12_809}
    prepare("sample", spec, tmp_path, str(public_mirror))
    meta = read_json(tmp_path / "meta.json")
    assert meta["labels"]["manual"] == {"negative": 177, "neutral": 139, "positive": 182}
    assert meta["vocab_size"] == 30_522
    shares = {split: n["positive"] / sum(n.values()) for split, n in meta["labels"].items() if split != "manual"}
    assert max(shares.values()) - min(shares.values()) < 1e-3


# --- probes ----------------------------------------------------------------------------------------------------------


def test_the_projects_probes_fill_every_template_with_every_term() -> None:
    probes = load_probes(ROOT / "config/probes.yaml")
    made = sentences(probes)
    assert len(made) == len(probes.templates) * sum(map(len, probes.attributes.values()))
    assert len({clean(s.text) for s in made}) == len(made), "two terms become the same sentence"
    assert all(s.term in s.text and "{" not in s.text for s in made)
    assert [text for text, _ in probes.examples][1] == "Haha, I agree, they rock and they are awesome."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("exmples: []", "keys attributes, examples, templates"),
        (
            "examples: [{text: a, truth: neutral}]",
            r"examples\[0\]: must be \{text: \.\.\., truth: negative or positive",
        ),
        ("templates: ['no slot']", r"templates\[0\]: must be a text with \{term\} in it, once: 'no slot'"),
        ("attributes: {gender: [one]}", r"attributes\.gender: must be a list of two or more different terms"),
        ("a: [", "not valid YAML"),
    ],
)
def test_bad_probes(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(content)
    with pytest.raises(DataError, match=words):
        load_probes(tmp_path / "p.yaml")
    with pytest.raises(DataError, match="cannot be read"):
        load_probes(tmp_path / "absent.yaml")


def test_no_probes_no_sentences() -> None:
    assert sentences(Probes((), (), {})) == []
