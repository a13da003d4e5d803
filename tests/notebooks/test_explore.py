"""The notebook for exploring runs on real tables, and says what is wrong where there are none."""

import json
from pathlib import Path

import pytest

papermill = pytest.importorskip("papermill")


def test_it_opens_tables_and_redraws_figures(root: Path, tmp_path: Path) -> None:
    parameters = {"tables": str(root / "results/reference/two-cores"), "figures": str(tmp_path / "figures")}
    papermill.execute_notebook(
        str(root / "workflow/notebooks/explore.ipynb"), str(tmp_path / "out.ipynb"), parameters, progress_bar=False
    )
    assert {f.name for f in (tmp_path / "figures").glob("*.svg")} == {"final_loss.svg", "prefill_scaling.svg"}
    text = (tmp_path / "out.ipynb").read_text()
    assert "image/svg+xml" in text
    assert "selective_copying" in text
    with pytest.raises(papermill.PapermillExecutionError, match="run the pipeline first"):
        papermill.execute_notebook(
            str(root / "workflow/notebooks/explore.ipynb"), None, {"tables": str(tmp_path)}, progress_bar=False
        )


def test_it_is_committed_without_outputs(root: Path) -> None:
    cells = json.loads((root / "workflow/notebooks/explore.ipynb").read_text())["cells"]
    assert not [cell for cell in cells if cell.get("outputs")]
