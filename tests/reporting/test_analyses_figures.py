"""Figures about experiments beside the runs: what the tables say, and what could not be measured."""

import pytest

from seqscale.reporting.chart import Lines
from seqscale.reporting.figures import build
from seqscale.reporting.source import Tables


def panels(name: str, tables: Tables) -> list[Lines]:
    found = build(name, tables).panels
    assert found
    assert all(isinstance(panel, Lines) for panel in found)
    return [panel for panel in found if isinstance(panel, Lines)]


def test_accuracy_by_length_is_the_mean_of_the_table(tables: Tables) -> None:
    data = build("extrapolation", tables).data.set_index(["model", "length"])
    assert data.loc[("mamba", 65536), "accuracy"] == pytest.approx(0.99)
    assert data.loc[("mamba", 65536), "seeds"] == 3
    assert data.loc[("mamba", 64), "ci_low"] < 0.99 < data.loc[("mamba", 64), "ci_high"]
    (panel,) = panels("extrapolation", tables)
    mamba = next(series for series in panel.series if series.model == "mamba")
    assert mamba.y[list(mamba.x).index(65536)] == pytest.approx(0.99)
    assert "trained at 256" in panel.title


def test_a_model_without_positions_ends_where_it_ends(tables: Tables) -> None:
    chart = build("extrapolation", tables)
    (panel,) = panels("extrapolation", tables)
    lost = [mark for mark in panel.marks if mark.model == "transformer"]
    assert lost
    assert all(mark.words == "Transformer: out of range from 1024" for mark in lost)
    assert chart.data.query("model == 'transformer' and length > 256")["accuracy"].isna().all()
    assert "96.0 % at 256" in chart.alt


def test_memory_shows_every_measure_and_window(tables: Tables) -> None:
    shown = [[series.label for series in panel.series] for panel in panels("hippo_memory", tables)]
    for label in ("LegS", "LegT, window 1", "LegT, window 0.1", "LagT, window 1", "Fourier, window 1"):
        assert [labels.count(label) for labels in shown] == [1, 1], "once in each panel"
    assert sum(labels.count("best polynomial") for labels in shown) == 1


def test_a_kernel_that_is_no_number_is_crossed_and_named(tables: Tables) -> None:
    left, right = panels("s4_kernel", tables)
    assert not left.marks
    assert [mark.words for mark in right.marks] == ["diagonalised: an error above 1, or no number, from 64 on"]


def test_a_kernel_that_was_not_measured_is_no_figure(tables: Tables) -> None:
    lost = tables.analyses.assign(status="missing", median=float("nan"), d_state=float("nan"))
    chart = build("s4_kernel", Tables(**{**vars(tables), "analyses": lost}))
    assert not chart.panels
    assert "nplr_kernel" in chart.missing
