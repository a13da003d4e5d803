"""Figures about experiments beside the runs: what the tables say, and what could not be measured."""

import pytest

from seqscale.reporting.figures import draw
from seqscale.reporting.source import Tables
from seqscale.reporting.style import Style


def words(name: str, tables: Tables, style: Style) -> list[str]:
    return [text.get_text() for axes in draw(name, tables, style).figure.axes for text in axes.texts]


def test_accuracy_by_length_is_the_mean_of_the_table(tables: Tables, style: Style) -> None:
    data = draw("extrapolation", tables, style).data.set_index(["model", "length"])
    assert data.loc[("mamba", 65536), "accuracy"] == pytest.approx(0.99)
    assert data.loc[("mamba", 65536), "seeds"] == 3
    assert data.loc[("mamba", 64), "ci_low"] < 0.99 < data.loc[("mamba", 64), "ci_high"]


def test_a_model_without_positions_ends_where_it_ends(tables: Tables, style: Style) -> None:
    assert "Transformer  out of range from 1024" in words("extrapolation", tables, style)
    drawing = draw("extrapolation", tables, style)
    assert drawing.data.query("model == 'transformer' and length > 256")["accuracy"].isna().all()
    assert "96.0 % at 256" in drawing.alt


def test_memory_shows_every_measure_and_window(tables: Tables, style: Style) -> None:
    said = words("hippo_memory", tables, style)
    for label in ("LegS", "LegT, window 1", "LegT, window 0.1", "LagT, window 1", "Fourier, window 1"):
        assert said.count(label) == 2, "once in each panel"
    assert said.count("best polynomial") == 1


def test_a_kernel_that_is_no_number_is_crossed_and_named(tables: Tables, style: Style) -> None:
    assert "diagonalised  above 1 from 64" in words("s4_kernel", tables, style)
    left, right = draw("s4_kernel", tables, style).figure.axes
    crosses = [[line for line in axes.lines if line.get_marker() == "X"] for axes in (left, right)]
    # the label's own marker is none of them: a cross stands in the panel
    assert not crosses[0]
    assert len(crosses[1]) == 1
