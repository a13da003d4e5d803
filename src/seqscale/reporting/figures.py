"""Builds and draws the figures of the catalog by name."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from seqscale.reporting import (
    analyses,
    canvas,
    crossing_chart,
    evidence,
    learning,
    printed,
    roofline,
    scaling,
    sweeps,
    tidy,
    utilisation,
)
from seqscale.reporting.catalog import ALL, EVIDENCE, KINDS, claim_figure, entry
from seqscale.reporting.chart import Chart
from seqscale.reporting.draw import figure_of
from seqscale.reporting.source import Tables
from seqscale.reporting.style import Style
from seqscale.reporting.tidy_entries import load_entries

BUILD: dict[str, Callable[[Tables, str], Chart]] = {
    **learning.BUILD,
    **scaling.BUILD,
    **crossing_chart.BUILD,
    **roofline.BUILD,
    **printed.BUILD,
    **utilisation.BUILD,
    **analyses.BUILD,
    **sweeps.BUILD,
    **{e["name"]: tidy.build(e) for e in load_entries()},
    **{e.name: evidence.build(e.name.removeprefix(claim_figure(""))) for e in EVIDENCE},
}


def build(name: str, tables: Tables) -> Chart:
    """The figure called `name` as panels and numbers; ValueError when the catalog has none of that name."""
    title = entry(name).title
    return BUILD[name](tables, title)


def draw_all(
    tables: Tables, style: Style, out: str | Path, names: Iterable[str] = ALL, kinds: Sequence[str] = KINDS
) -> list[Path]:
    """Draw `names` into folder `out`: ``NAME.svg``, ``NAME.png``, ``NAME.csv``, or only `kinds`. Returns SVG paths."""
    out = Path(out)
    made = []
    for name in names:
        chart = build(name, tables)
        figure = figure_of(chart, style)
        with canvas.look(style):
            canvas.save(figure, chart.data, out / name, chart.title, chart.alt, kinds)
        made.append(out / f"{name}.svg")
    return made
