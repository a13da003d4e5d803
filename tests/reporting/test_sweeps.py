"""Sensitivity and frontier: what is drawn is what the tables and the claims file say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_sweeps import EXPONENTS, history_rows, run_rows

from seqscale.reporting.chart import Lines
from seqscale.reporting.figures import build
from seqscale.reporting.source import COLUMNS, Tables, coerce, load_published
from seqscale.reporting.sweeps import AS_PUBLISHED, FAIR, PRINTED, sweep_points
from seqscale.stats import frontier
from seqscale.tables.columns import as_table
from seqscale.tables.frontier import frontiers

ROOT = Path(__file__).parents[2]
CLAIMS = ROOT / "config" / "claims.yaml"


@pytest.fixture(scope="module")
def swept() -> Tables:
    runs, history = as_table("runs", run_rows()), as_table("history", history_rows())
    points, fits = frontiers(runs, history)
    known = {"runs": runs, "history": history, "frontier": points, "frontier_fits": fits}
    return Tables(
        **{name: coerce(known.get(name, pd.DataFrame()), columns) for name, columns in COLUMNS.items()},
        published=load_published(CLAIMS),
    )


def test_a_frontier_is_what_no_cheaper_point_beats() -> None:
    cost, loss = [4.0, 1.0, 2.0, 3.0, 2.0], [1.0, 3.0, 2.0, 2.0, 2.5]
    assert frontier(cost, loss).tolist() == [True, True, True, False, False]
    with pytest.raises(ValueError, match="2 costs but 1 losses"):
        frontier([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="losses"):
        frontier([1.0], [float("nan")])


@pytest.mark.parametrize("family", EXPONENTS)
def test_the_law_is_fitted_to_the_frontier_alone(swept: Tables, family: str) -> None:
    law = swept.frontier_fits.set_index("family").loc[family]
    assert law["sizes"] == 3
    assert law["exponent"] == pytest.approx(EXPONENTS[family], abs=0.02)
    assert law["ci_low"] <= law["exponent"] <= law["ci_high"]
    marked = swept.frontier[(swept.frontier["family"] == family) & swept.frontier["on_frontier"]]
    assert len(marked) == law["points"]
    assert set(marked.loc[marked["step"] == 2, "model"]) == {f"{family}_w{w}" for w in (32, 64, 128)}


@pytest.mark.parametrize(("protocol", "means"), [("fair", [3.0, 2.0, 1.5]), ("published", [3.0, 2.0, 3.0])])
def test_fair_points_are_means_of_the_lowest_loss_of_each_run(protocol: str, means: list[float]) -> None:
    key = {"experiment": "frontier", "status": "ok", "protocol": protocol}
    runs = [{**key, "model": f"a_w{w}", "seed": s} for w in (1, 2, 3) for s in (1, 2)]
    seen = {1: (3.0, 1.0, 4.0), 2: (3.0, 3.0, 2.0)}
    history = [
        {"experiment": "frontier", "model": run["model"], "seed": run["seed"], "step": step, "flops": 1e9 * step,
         "valid_loss": seen[int(str(run["seed"]))][step - 1]}
        for step in (3, 1, 2) for run in runs
    ]  # fmt: skip
    points, _ = frontiers(as_table("runs", runs), as_table("history", history))
    assert points.loc[points["model"] == "a_w1", "valid_loss"].tolist() == means


def test_two_widths_are_no_family_and_failed_runs_no_points() -> None:
    rows = [row for row in run_rows() if row["experiment"] == "frontier" and "128" not in str(row["model"])]
    points, fits = frontiers(as_table("runs", rows), as_table("history", history_rows()))
    assert points.empty
    assert fits.empty
    rows = [{**row, "status": "diverged"} for row in run_rows() if row["experiment"] == "frontier"]
    points, fits = frontiers(as_table("runs", rows), as_table("history", history_rows()))
    assert points.empty
    assert set(fits["reason"]) == {"no run of it finished"}


def test_sweep_points_are_means_beside_what_was_printed(swept: Tables) -> None:
    points = sweep_points(swept).set_index(["sweep", "protocol", "value"])
    assert points.loc[("attention", AS_PUBLISHED, 4), "test_loss"] == pytest.approx(2.26)
    assert points.loc[("attention", FAIR, 4), "test_loss"] == pytest.approx(2.16)
    assert points.loc[("attention", PRINTED, 4), "test_loss"] == 2.2619
    assert points.loc[("linear", AS_PUBLISHED, 32), "seeds"] == 3
    assert np.isnan(points.loc[("attention", PRINTED, 4), "low"])
    assert ("mlp", PRINTED, 64) not in points.index, "a sweep that nobody ran is no panel"


def test_both_figures_say_their_numbers(swept: Tables) -> None:
    sensitivity = build("sensitivity", swept)
    assert len(sensitivity.panels) == 2
    assert "as printed 4: 2.262" in sensitivity.alt
    law = build("loss_frontier", swept)
    (panel,) = law.panels
    assert isinstance(panel, Lines)
    assert any("FLOPs^-0.0" in series.label for series in panel.series)
    assert len(law.data) == len(swept.frontier)


def test_without_data_they_say_what_is_missing() -> None:
    empty = Tables(**{name: coerce(pd.DataFrame(), columns) for name, columns in COLUMNS.items()})
    assert "no sweep of a setting" in build("sensitivity", empty).alt
    assert "three widths" in build("loss_frontier", empty).alt
