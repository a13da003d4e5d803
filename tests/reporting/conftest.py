"""A made-up results folder, its figures and its report, each built once for all tests here."""

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


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with tables, verdicts and the resolved configuration."""
    root = made_up_results.build(tmp_path_factory.mktemp("results"))
    made_up_results.make_digest(root)
    return root


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
    draw_all(tables, style, results / "figures", [*catalog.NAMES, *known])
    return results / "figures"


@pytest.fixture(scope="session")
def report(results: Path, figures: Path) -> Path:
    """The report, made by papermill and nbconvert."""
    return publish(
        tables=results / "tables", verdicts=results / "verdicts.csv", figures=figures,
        config=results / "config.json", dag=results / "dag.json", out=results / "report.html",
    )  # fmt: skip


@pytest.fixture(scope="session")
def html(report: Path) -> str:
    """The report's text."""
    return report.read_text(encoding="utf-8")
