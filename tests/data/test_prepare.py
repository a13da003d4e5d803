"""From raw text to verified token files, and every way in which a text can be wrong."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqscale.data import DataError, open_dataset, prepare
from seqscale.data.corpora import RawText, load, pydoc_topics
from seqscale.data.splits import check_text, split_text
from seqscale.files import read_json

TEXT = "".join(f"line {i}: the quick brown fox jumps over {i * i} lazy dögs\n" for i in range(60))


def spec(path: Path | str, **more: Any) -> dict[str, Any]:
    return {"kind": "text", "path": str(path), "tokenizer": "characters", "split": [0.9, 0.05, 0.05], **more}


@pytest.fixture
def text_path(tmp_path: Path) -> Path:
    path = tmp_path / "mine.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path, text_path: Path) -> Path:
    prepare("mine", spec(text_path), tmp_path / "out", None, context=8)
    return tmp_path / "out"


# --- what is left behind ----------------------------------------------------------------------------------------------


def test_splits_joined_are_the_text(folder: Path) -> None:
    meta = read_json(folder / "meta.json")
    data = open_dataset(folder)
    parts = [np.fromfile(folder / f"{s}.bin", dtype=meta["dtype"]) for s in ("train", "valid", "test")]
    assert data.tokenizer.decode(np.concatenate(parts)) == TEXT
    assert [len(p) for p in parts] == [meta["tokens"][s] for s in ("train", "valid", "test")]
    assert meta["characters"] == meta["tokens"]


def test_description(folder: Path, text_path: Path) -> None:
    meta = read_json(folder / "meta.json")
    assert meta["dataset"] == "mine"
    assert meta["task"] == "text"
    assert meta["vocab_size"] == len(set(TEXT)) == open_dataset(folder).vocab_size
    assert meta["sha256"] == hashlib.sha256(text_path.read_bytes()).hexdigest()
    assert "time_utc" in meta["provenance"]
    assert sorted(p.name for p in folder.iterdir()) == ["meta.json", "test.bin", "train.bin", "valid.bin"]


@pytest.mark.parametrize("length", [1, 10, 99, 100, 12_345])
def test_split_in_order_and_complete(length: int) -> None:
    text = "".join(chr(33 + i % 90) for i in range(length))
    parts = split_text(text, [0.9, 0.05, 0.05])
    assert list(parts) == ["train", "valid", "test"]
    assert "".join(parts.values()) == text
    for part, share in zip(parts.values(), (0.9, 0.05, 0.05), strict=True):
        assert abs(len(part) - share * length) <= 1


def test_preparing_twice_gives_the_same_files(folder: Path, text_path: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.glob("*.bin")}
    prepare("mine", spec(text_path), folder, None)
    assert {p.name: p.read_bytes() for p in folder.glob("*.bin")} == before


def test_embedded_corpus() -> None:
    """The documentation that ships with CPython: enough English for the quick start, the same each time."""
    raw = pydoc_topics()
    assert len(raw.text) > 400_000
    assert 80 < len(set(raw.text)) < 200
    assert raw.text.count(" the ") > 2_000
    assert raw == pydoc_topics()
    assert raw.sha256 == hashlib.sha256(raw.text.encode()).hexdigest()
    assert load({"kind": "pydoc_topics"}, None) == raw


# --- where a file is looked for ---------------------------------------------------------------------------------------


def test_mirror_comes_first(tmp_path: Path, text_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "mine.txt").write_text("from the mirror")
    assert load(spec("mine.txt"), str(mirror)).text == "from the mirror"
    assert load(spec("mine.txt"), None).text == TEXT
    (mirror / "mine.txt").unlink()
    assert load(spec("mine.txt"), str(mirror)).text == TEXT


def test_line_ends_and_marks_are_kept(tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_bytes(b"a\r\nb\rc\n")
    assert load(spec(tmp_path / "odd.txt"), None).text == "a\r\nb\rc\n"


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_missing_file_names_both_places(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(spec("no/such.txt"), str(tmp_path))
    assert str(tmp_path / "no" / "such.txt") in str(caught.value)
    assert "nor at no/such.txt" in str(caught.value)
    with pytest.raises(DataError, match="SEQSCALE_MIRROR"):
        load(spec("no/such.txt"), None)


def test_wrong_checksum(text_path: Path) -> None:
    right = hashlib.sha256(text_path.read_bytes()).hexdigest()
    assert load(spec(text_path, sha256=right.upper()), None).sha256 == right
    with pytest.raises(DataError, match=f"wrong checksum: sha256 {right}, expected {'0' * 64}"):
        load(spec(text_path, sha256="0" * 64), None)


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1") * 100)
    with pytest.raises(DataError, match=r"latin\.txt is not UTF-8 text \(byte 3"):
        load(spec(tmp_path / "latin.txt"), None)


@pytest.mark.parametrize("text", ["", "  \n\t\n"], ids=["nothing", "blanks"])
def test_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "empty.txt").write_text(text)
    with pytest.raises(DataError, match=r"'mine': the text \(.*empty\.txt\) is empty"):
        prepare("mine", spec(tmp_path / "empty.txt"), tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_too_short(tmp_path: Path, text_path: Path) -> None:
    with pytest.raises(DataError, match=r"the valid split has \d+ characters, shorter than one context of 500"):
        prepare("mine", spec(text_path), tmp_path / "out", None, context=500)
    assert not (tmp_path / "out").exists()


def test_a_context_and_one_is_just_enough() -> None:
    def check(valid: int) -> None:
        check_text("x", RawText("ab" * 50, "", "here"), [1 - 2 * valid / 100, valid / 100, valid / 100], 10)

    check(11)
    with pytest.raises(DataError, match="the valid split has 10 characters"):
        check(10)


@pytest.mark.parametrize("damage", ["byte", "cut", "emptied", "grown"])
def test_damaged_token_files_are_noticed(folder: Path, damage: str) -> None:
    path = folder / "train.bin"
    data = bytearray(path.read_bytes())
    if damage == "byte":
        data[100] ^= 1
    changed = {"byte": data, "cut": data[:-3], "emptied": b"", "grown": data + b"\0\0"}[damage]
    path.write_bytes(bytes(changed))
    with pytest.raises(ValueError, match=r"train\.bin.*run again: it will be prepared anew"):
        open_dataset(folder)


def test_damaged_description(folder: Path) -> None:
    path = folder / "meta.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match=r"meta\.json is not valid JSON"):
        open_dataset(folder)
