"""Two runs side by side: from folders and from a report, with what lies beyond noise marked."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from seqscale.reporting.comparing import compare, load_run
from seqscale.reporting.style import STYLE_FILE

ROOT = STYLE_FILE.parents[1]


@pytest.fixture(scope="module")
def changed(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the results in which Mamba's loss, prefill time and exponent, and one verdict, are others."""
    folder = tmp_path_factory.mktemp("changed")
    for name in ("runs", "bench", "scaling", "models", "search", "verdicts"):
        shutil.copy(results / "tables" / f"{name}.csv", folder)
    runs = pd.read_csv(folder / "runs.csv")
    runs.loc[(runs["model"] == "mamba") & (runs["experiment"] == "text"), "test_loss"] += 0.5
    runs.to_csv(folder / "runs.csv", index=False)
    bench = pd.read_csv(folder / "bench.csv")
    bench.loc[(bench["model"] == "mamba") & (bench["suite"] == "prefill"), ["median", "p20", "p80"]] *= 2
    bench.to_csv(folder / "bench.csv", index=False)
    verdicts = pd.read_csv(folder / "verdicts.csv")
    verdicts.loc[(verdicts["claim"] == "000.order") & (verdicts["protocol"] == "fair"), "verdict"] = "inconclusive"
    verdicts.to_csv(folder / "verdicts.csv", index=False)
    return folder


def different(frame: pd.DataFrame) -> set[tuple[str, str]]:
    return {(row.kind, row.what.split(",")[0]) for row in frame[frame["differs"] == "yes"].itertuples()}


def test_a_run_does_not_differ_from_itself(results: Path) -> None:
    run = load_run(results)
    frame = compare(run, load_run(results), ("a", "b"))
    assert len(frame) > 100
    assert set(frame["differs"]) <= {"no", ""}
    assert {"test_loss", "test_accuracy", "verdict", "exponent of length", "prefill time"} <= set(frame["kind"])


def test_what_was_changed_and_nothing_else_is_marked(results: Path, changed: Path) -> None:
    frame = compare(load_run(results), load_run(changed), ("a", "b"))
    assert different(frame) == {
        ("test_loss", "text: Mamba"), ("prefill time", "Mamba"),
        ("prefill time per token", "Mamba"), ("verdict", "000.order (fair)"),
        ("crossover", "Mamba against Transformer"), ("crossover", "Mamba against Transformer++"),
        ("crossover", "Mamba against Self-attention only"), ("spread between runs", "times on CPU"),
    }  # fmt: skip
    doubled = frame[(frame["kind"] == "prefill time") & frame["what"].str.startswith("Mamba")]
    assert doubled["ratio"].tolist() == pytest.approx([2.0] * len(doubled))


def test_a_report_carries_its_tables(report: Path, results: Path) -> None:
    frame = compare(load_run(results), load_run(report), ("a", "b"))
    assert len(frame) > 100
    assert "yes" not in set(frame["differs"])


def test_the_command_makes_a_page_and_a_table(results: Path, changed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "src" / "compare.py"), "--a", str(results), "--b", str(changed), "--out",
         str(tmp_path / "compare.html")], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "crossovers of the second run lie inside the first's interval" in done.stdout
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "◆ differs" in page
    assert "◆ another verdict" in page
    assert "within noise" in page
    assert len(page) < 1e6
    assert len(pd.read_csv(tmp_path / "compare.csv")) > 100


def test_a_place_without_tables_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no tables"):
        load_run(tmp_path)
    (tmp_path / "page.html").write_text("<p>another page</p>")
    with pytest.raises(ValueError, match="carries no tables"):
        load_run(tmp_path / "page.html")
