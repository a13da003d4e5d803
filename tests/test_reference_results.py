"""What .ci/reference.py keeps of a run in parts: what all parts share, and for each commit what came from it."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("reference_script", ROOT / ".ci/reference.py")
assert SPEC and SPEC.loader
reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reference)

GPU = {"device_name": "GPU", "packages": {"torch": "2"}, "python": "3", "threads": 1}
OF_A_RUN = ("seed", "config_digest", "precision", "cuda_graph", "data_sha256", "processes", "time_utc")


def write(path: Path, **origin: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"provenance": GPU | origin}))


def trained(results: Path, experiment: str, **origin: Any) -> None:
    write(results / f"runs/{experiment}/mamba/seed1/summary.json", **dict.fromkeys(OF_A_RUN, 1), **origin)
    write(results / f"runs/{experiment}/mamba/seed1/metrics.json", **origin)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An empty run's folder, with what every run has."""
    folder = tmp_path / "mine"
    write(folder / "config.json")
    (folder / "config.json").write_text(json.dumps({"name": "full", "provenance": {"cpu": "where tables were made"}}))
    (folder / "verdicts.csv").write_text("claim\n")
    return folder


def kept(results: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> dict[str, Any]:
    """The provenance that is kept."""
    root = results.parent
    monkeypatch.setattr(reference, "ROOT", root)
    monkeypatch.setattr("sys.argv", ["reference.py", "--name", "here", "--results", str(results), "--in-parts", *more])
    reference.main()
    found: dict[str, Any] = json.loads((root / "results/reference/here/provenance.json").read_text())
    return found


def test_every_commit_is_told_with_what_came_from_it(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(results, "a", git_commit="111", git_dirty=True, cpu="32 cores")
    trained(results, "b", git_commit="222", git_dirty=False, cpu="16 cores")
    write(results / "bench/decode/mamba.json", git_commit="222", git_dirty=False, cpu="16 cores")
    write(results / "bench/memory/mamba.json", git_commit="333", git_dirty=None)
    found = kept(results, monkeypatch)
    assert found["commits"] == {
        "111 (with uncommitted changes)": {"experiments": ["a"], "suites": [], "cpu": ["32 cores"]},
        "222": {"experiments": ["b"], "suites": ["decode"], "cpu": ["16 cores"]},
        "333 (not known whether with uncommitted changes)": {"experiments": [], "suites": ["memory"], "cpu": []},
    }
    assert (found["experiments"], found["suites"]) == (["a", "b"], ["decode", "memory"])
    assert {k: found[k] for k in GPU} == GPU
    assert not {*OF_A_RUN, "git_commit", "git_dirty", "cpu"} & found.keys()  # of one run, or not of all


def test_benchmarks_alone_can_be_kept(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(results / "bench/decode/mamba.json", git_commit="222", git_dirty=False, cpu="16 cores")
    found = kept(results, monkeypatch)
    assert found["experiments"] == [] and found["suites"] == ["decode"]
    assert found["device_name"] == "GPU" and found["cpu"] == "16 cores"


def test_two_machines_and_nothing_at_all_are_refused(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="nothing to keep"):
        kept(results, monkeypatch)
    trained(results, "a", git_commit="111")
    write(results / "bench/decode/mamba.json", git_commit="111", device_name="another GPU")
    with pytest.raises(SystemExit, match="differ in device_name"):
        kept(results, monkeypatch)
