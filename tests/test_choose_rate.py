"""The choice of a learning rate: by validation loss alone, with its edge flagged."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "src" / "choose_rate.py"


def choose(folder: Path, losses: dict[float, float | None]) -> dict[str, Any]:
    files = []
    for index, (rate, loss) in enumerate(losses.items()):
        file = folder / f"{index}.json"
        status = "ok" if loss is not None else "diverged"
        content = {"config": {"optimizer": {"learning_rate": rate}}, "valid_loss": loss, "status": status}
        file.write_text(json.dumps(content))
        files.append(str(file))
    out = folder / "best.json"
    subprocess.run([sys.executable, str(SCRIPT), *files, "--out", str(out)], check=True, timeout=60)
    return json.loads(out.read_text())


@pytest.mark.parametrize(
    ("losses", "rate", "at_edge"),
    [
        ({1e-3: 2.0, 3e-3: 1.5, 1e-2: 1.8}, 3e-3, False),
        ({1e-2: 1.4, 1e-3: 2.0, 3e-3: 1.5}, 1e-2, True),
        ({1e-3: 1.0, 3e-3: 1.5, 1e-2: 1.8}, 1e-3, True),
        ({1e-3: 2.0, 3e-3: 1.9, 1e-2: None}, 3e-3, False),
    ],
    ids=["inside", "upper edge, in any order", "lower edge", "a diverged rate is passed over"],
)
def test_lowest_validation_loss(tmp_path: Path, losses: dict[float, float | None], rate: float, at_edge: bool) -> None:
    best = choose(tmp_path, losses)
    assert (best["learning_rate"], best["at_edge"]) == (rate, at_edge)
    assert [t["learning_rate"] for t in best["tried"]] == sorted(losses)


def test_all_failed_says_so_and_goes_on(tmp_path: Path) -> None:
    best = choose(tmp_path, {1e-3: None, 1e-2: None})
    assert best["learning_rate"] == 1e-3
    assert "every search run failed" in best["reason"]
    assert best["valid_loss"] is None
