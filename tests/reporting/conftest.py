"""A made-up results folder, its figures and its report, each built once for all tests here, whoever runs them."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import made_up_results
import pytest

from seqscale.reporting import catalog
from seqscale.reporting.catalog import claim_figure
from seqscale.reporting.figures import draw_all
from seqscale.reporting.publish import publish
from seqscale.reporting.source import Tables, load_tables
from seqscale.reporting.style import Style, load_style


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker where the project's settings do not."""
    config.addinivalue_line("markers", "chromium: needs a chromium in PATH")


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """`folder`, made by the first of pytest-xdist's processes that wants it and shared by all; nobody may change it."""
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            begun = folder.with_suffix(".begun")
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir()
            make(begun)
            begun.rename(folder)
    return folder


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with tables, verdicts and the resolved configuration."""
    place = tmp_path_factory.getbasetemp()
    shared = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place

    def make(folder: Path) -> None:
        made_up_results.make_digest(made_up_results.build(folder))

    return once(shared / "made_up", make)


@pytest.fixture(scope="session")
def tables(results: Path) -> Tables:
    """The tables, loaded."""
    return load_tables(results / "tables", made_up_results.resolved_config())


@pytest.fixture(scope="session")
def style(tables: Tables) -> Style:
    """The repository's style with a look for every model of the tables."""
    return load_style(names=tables.model_names)


@pytest.fixture(scope="session")
def figures(results: Path, tables: Tables, style: Style) -> Path:
    """The folder with all figures drawn."""
    measured = made_up_results.verdicts().dropna(subset=["measured"])["claim"].unique()
    known = [name for claim in measured if (name := claim_figure(claim)) in catalog.ALL]
    return once(results / "figures", lambda folder: draw_all(tables, style, folder, [*catalog.NAMES, *known]))


@pytest.fixture(scope="session")
def report(results: Path, figures: Path) -> Path:
    """The report, made by papermill and nbconvert."""

    def make(folder: Path) -> None:
        publish(
            tables=results / "tables", verdicts=results / "verdicts.csv", figures=figures,
            config=results / "config.json", dag=results / "dag.json", out=folder / "report.html",
        )  # fmt: skip

    return once(results / "report", make) / "report.html"


@pytest.fixture(scope="session")
def html(report: Path) -> str:
    """The report's text."""
    return report.read_text(encoding="utf-8")
