"""Files that a reader never meets half of."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqscale.files import atomic_write, read_json, read_table, sha256_of, write_json, write_table, write_text


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_appears_whole_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deep" / "x.csv"
    with atomic_write(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".csv", "writers choose their format by the suffix"
        temporary.write_text("1")
        assert not target.exists()
    assert target.read_text() == "1"
    assert names(target.parent) == ["x.csv"]


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic_write(target) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


def test_a_reader_with_the_old_file_open_keeps_it(tmp_path: Path) -> None:
    """The new file takes the old one's place; it is not written into it."""
    target = tmp_path / "x.txt"
    target.write_text("old")
    with open(target) as reader:
        write_text(target, "new and longer")
        assert reader.read() == "old"
    assert target.read_text() == "new and longer"


def test_killed_while_writing_leaves_the_old_file(tmp_path: Path, root: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    script = textwrap.dedent("""
        import os, signal, sys
        from seqscale.files import atomic_write
        with atomic_write(sys.argv[1]) as temporary:
            temporary.write_text("half of the n")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    result = subprocess.run([sys.executable, "-c", script, str(target)], env=environment)
    assert result.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    write_text(target, "new")  # a stray temporary file is in nobody's way
    assert target.read_text() == "new"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [1.5, None, True, "é"]}, {"b": 1, "a": [1.5, None, True, "é"]}),
        ({"x": float("nan"), "y": [float("inf"), -float("inf")]}, {"x": None, "y": [None, None]}),
        ({"x": np.float32(0.5), "y": np.int64(3), "z": np.bool_(True)}, {"x": 0.5, "y": 3, "z": True}),
        ({"x": np.float64("nan")}, {"x": None}),
        ({1: (1, 2), "p": Path("a/b")}, {"1": [1, 2], "p": "a/b"}),
    ],
    ids=["plain", "not-a-number", "numpy", "numpy-nan", "keys-tuples-paths"],
)
def test_json_round_trip(tmp_path: Path, value: Any, expected: Any) -> None:
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == expected
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == expected


def test_json_keeps_the_last_bit(tmp_path: Path) -> None:
    value = 0.1 + 0.2
    write_json(tmp_path / "x.json", {"x": value})
    assert read_json(tmp_path / "x.json")["x"].hex() == value.hex()


@pytest.mark.parametrize("content", [b'{"a": 1', b"", b"\xff\xfe"], ids=["cut", "empty", "not-utf8"])
def test_broken_json_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.json is not valid JSON .*Delete it and run again"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_round_trip(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame({"model": ["mamba", "é,\n"], "loss": [1 / 3, None], "seed": [1, 2]})
    write_table(tmp_path / "runs.v1", table)
    assert names(tmp_path) == ["runs.v1.csv", "runs.v1.parquet"]
    pd.testing.assert_frame_equal(read_table(tmp_path / f"runs.v1.{suffix}"), table)


def test_table_without_a_value_is_an_empty_field(tmp_path: Path) -> None:
    write_table(tmp_path / "t", pd.DataFrame({"a": [1.5, None], "b": ["x", None]}))
    assert (tmp_path / "t.csv").read_text() == "a,b\n1.5,x\n,\n"


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
