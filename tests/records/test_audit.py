"""Flip a byte in any file of results: the audit names it. Make an input anew, edit the code: it says so."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seqscale.config import Matrix, resolve
from seqscale.records.audit import audit
from seqscale.records.ledger import take_down_the_rest

TEXT = "the quick brown fox jumps over the lazy dog, again and again; " * 60
CONFIG = {
    "name": "audit",
    "compute": {"device": "cpu"},
    "models": {"linear": {"d_model": 8}},
    "experiments": {
        "text": {
            "models": ["linear"],
            "context": 12,
            "batch": 4,
            "steps": 8,
            "checkpoint_every": 4,
            "seeds": [1],
            "learning_rate": 0.01,
        }
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The stages by hand, as the workflow runs them: data, a run, its evaluation, the configuration."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "mine.txt").write_text(TEXT)
    CONFIG["experiments"]["text"]["dataset"] = str(folder / "mine.txt")  # type: ignore[index]
    config = resolve(CONFIG, [], root)
    results, run = folder / "results", "results/runs/text/linear/seed1"
    resolved = {"values": config.values, "models": config.models, "datasets": config.datasets}
    commands = [
        ["resolve", "--resolved", json.dumps(resolved), "--out", "results/config.json"],
        ["prepare", "--name", "mine", "--spec", json.dumps(config.datasets["mine"]), "--out", "results/data/mine"],
        ["train", "--config", json.dumps(Matrix(config).run_config("text", "linear", 1)), "--data", "results/data/mine",
         "--work", "results/work/runs/text/linear/seed1", "--out", run],
        ["evaluate", "--run", run, "--data", "results/data/mine", "--out", f"{run}/metrics.json"],
    ]  # fmt: skip
    environment = {**os.environ, "SEQSCALE_RECORDS": str(results), "PYTHONPATH": str(root / "src")}
    (results / "logs").mkdir(parents=True)
    for name, *arguments in commands:
        done = subprocess.run(
            [sys.executable, str(root / f"src/{name}.py"), *arguments], cwd=folder, env=environment,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (results / f"logs/{name}.log").write_text(done.stderr)
    take_down_the_rest(results, 0)
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy" / "results"


def findings(results: Path) -> set[tuple[str, str]]:
    return {(f.file, f.what) for f in audit(results)[1]}


def test_what_was_just_made_is_on_record(made: Path) -> None:
    count, found = audit(made / "results")
    assert not found
    assert count >= 12


def test_a_flipped_byte_in_any_file_is_named(copy: Path) -> None:
    """Results, data, logs, checkpoints, all at once; and the records themselves, one after the other."""
    files = [f for f in sorted(copy.rglob("*")) if f.is_file() and f.stat().st_size]
    kinds = {f.relative_to(copy).parts[0] for f in files}
    assert {"data", "runs", "work", "logs", "records", "config.json"} <= kinds
    on_record = [file for file in files if file.relative_to(copy).parts[0] != "records"]
    for damaged in (on_record, *([file] for file in files if file not in on_record)):
        before = {file: file.read_bytes() for file in damaged}
        for share in (0.0, 0.5, 1.0):
            for file, content in before.items():
                flipped = bytearray(content)
                flipped[int(share * (len(content) - 1))] ^= 1
                file.write_bytes(flipped)
            told = {(file.relative_to(copy).as_posix(), "changed") for file in damaged}
            assert told <= findings(copy), f"bytes at {share} of the file"
        for file, content in before.items():
            file.write_bytes(content)
    assert not findings(copy)


def test_an_input_made_anew_is_told_of_what_was_made_from_it(copy: Path) -> None:
    metrics = "runs/text/linear/seed1/metrics.json"
    record = copy / "records" / f"{metrics}.json"
    assert "data/mine/meta.json" in json.loads(record.read_text())["inputs"]
    summary = copy / "runs/text/linear/seed1/summary.json"
    summary.write_text(summary.read_text().replace('"ok"', '"fine"'))
    found = findings(copy)
    assert {("runs/text/linear/seed1/summary.json", "changed"), (metrics, "other inputs")} <= found


def test_edited_code_is_told(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqscale.records import audit as module

    monkeypatch.setattr(module, "code_of", lambda script, modules: "another" if script == "train.py" else "0")
    assert ("runs/text/linear/seed1/model.safetensors", "other code") in findings(copy)


def test_another_config_is_told(copy: Path) -> None:
    config = copy / "config.json"
    config.write_text(config.read_text().replace('"steps": 8', '"steps": 9'))
    found = findings(copy)
    assert ("runs/text/linear/seed1/summary.json", "other config") in found
    assert ("config.json", "changed") in found


def test_a_file_from_nowhere_is_told_and_a_lost_one_is_remade_by_snakemake(copy: Path) -> None:
    (copy / "runs/text/linear/seed1/extra.csv").write_text("1\n")
    (copy / "runs/text/.hidden").write_text("1\n")
    (copy / "runs/text/linear/seed1/metrics.json").unlink()
    assert findings(copy) == {(f"runs/text/{name}", "not on record") for name in (".hidden", "linear/seed1/extra.csv")}


def test_the_rest_keeps_what_was_on_record_before(copy: Path) -> None:
    """A log damaged between two runs is not taken down as if it had been written so."""
    log = copy / "logs/train.log"
    log.write_text(log.read_text() + "x")
    take_down_the_rest(copy, since=log.stat().st_mtime + 1)
    assert ("logs/train.log", "changed") in findings(copy)
    take_down_the_rest(copy, since=log.stat().st_mtime - 1)
    assert not findings(copy)


def test_the_command(copy: Path, root: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(root / "src/audit.py"), *arguments], capture_output=True, text=True, timeout=60
        )

    sound = run(str(copy))
    assert (sound.returncode, "all are what the records say" in sound.stdout) == (0, True), sound.stdout
    (copy / "data/mine/train.bin").write_bytes(b"x")
    damaged = run(str(copy), "--json")
    assert damaged.returncode == 1
    assert [f["file"] for f in json.loads(damaged.stdout)["findings"] if f["what"] == "changed"] == [
        "data/mine/train.bin"
    ]
    assert run(str(copy / "nowhere")).returncode == 2
