"""Draws the figures of the catalog by name."""

from collections.abc import Iterable
from pathlib import Path

from seqscale.reporting import analyses, canvas, learning, scaling
from seqscale.reporting.canvas import Drawing
from seqscale.reporting.catalog import NAMES, entry
from seqscale.reporting.source import Tables
from seqscale.reporting.style import Style

DRAW = {**learning.DRAW, **scaling.DRAW, **analyses.DRAW}


def draw(name: str, tables: Tables, style: Style) -> Drawing:
    """Draw the figure called `name`; ValueError when the catalog has none of that name."""
    title = entry(name).title
    with canvas.look(style):
        return DRAW[name](tables, style, title)


def draw_all(tables: Tables, style: Style, out: str | Path, names: Iterable[str] = NAMES) -> list[Path]:
    """Draw `names` into folder `out`: ``NAME.svg``, ``NAME.png`` and ``NAME.csv`` each. Returns the SVG paths."""
    out = Path(out)
    made = []
    for name in names:
        drawing = draw(name, tables, style)
        with canvas.look(style):
            canvas.save(drawing, out / name, entry(name).title)
        made.append(out / f"{name}.svg")
    return made
