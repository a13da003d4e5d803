"""Copies of the repository to run real DAGs in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_copy import Pipeline


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The tiny configuration, run whole. Tests may dry-run in it, and must leave its files as they were."""
    pipeline = Pipeline(tmp_path_factory.mktemp("finished") / "repo")
    done = pipeline.run("--keep-going")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A fresh copy with nothing run yet."""
    return Pipeline(tmp_path / "repo")


@pytest.fixture
def edited(finished: Pipeline) -> Iterator[Pipeline]:
    """The finished run, with source files restored afterwards."""
    kept = {
        f: f.read_bytes()
        for part in ("config", "src", "workflow")
        for f in (finished.folder / part).rglob("*")
        if f.is_file()
    }
    yield finished
    for file, content in kept.items():
        if file.read_bytes() != content:
            file.write_bytes(content)
