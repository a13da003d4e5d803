"""Matplotlib, as all figures use it: settings, a sheet of panels, axes, labels at the ends of lines, saving."""

import contextlib
import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from seqscale.files import atomic_write
from seqscale.reporting.catalog import KINDS
from seqscale.reporting.style import ModelStyle, Style

PANEL_INCHES = (5.0, 3.3)  # width with its labels, height
SINGLE_INCHES = (7.0, 3.9)
PNG_DPI = 150


class EndLabel(NamedTuple):
    """A label right of a panel: what it says, how its line looks, where the line ends (data units; NaN: nowhere)."""

    text: str
    look: ModelStyle
    y: float
    hollow: bool = False  # a published series


@contextlib.contextmanager
def look(style: Style) -> Iterator[None]:
    """Matplotlib settings of all figures; DejaVu Sans ships with Matplotlib, so every machine draws the same."""
    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans", "font.size": 8.5, "axes.titlesize": 9.5, "axes.titleweight": "bold",
        "axes.titlelocation": "left", "axes.titlepad": 9, "axes.labelsize": 8.5, "axes.labelcolor": style.ink,
        "axes.titlecolor": style.ink, "text.color": style.ink, "axes.edgecolor": style.muted,
        "axes.linewidth": 0.8, "axes.facecolor": "none", "axes.grid": True, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "grid.color": style.faint, "grid.linewidth": 0.7,
        "xtick.color": style.muted, "ytick.color": style.muted, "xtick.labelsize": 8, "ytick.labelsize": 8,
        "xtick.major.size": 3, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
        "figure.facecolor": style.paper, "savefig.facecolor": style.paper, "lines.linewidth": 1.5,
        "lines.markersize": 4.5, "svg.fonttype": "path", "axes.formatter.useoffset": False, "path.simplify": False,
    }  # fmt: skip
    with mpl.rc_context({**dict(mpl.rcParamsDefault), **settings, "backend": "agg"}):
        yield


def sheet(count: int, height: float | None = None) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, two in a row; one panel alone gets more room. `height` in inches per row."""
    columns = 1 if count == 1 else 2
    rows = math.ceil(count / columns)
    width, default = SINGLE_INCHES if count == 1 else (PANEL_INCHES[0] * 2, PANEL_INCHES[1])
    figure = Figure(figsize=(width, (height or default) * rows), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.08, h_pad=0.08, wspace=0.04, hspace=0.07)
    grid = figure.add_gridspec(rows, columns)
    return figure, [figure.add_subplot(grid[i // columns, i % columns]) for i in range(count)]


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Positions near `wanted` (ascending) that are at least `gap` apart, moved as little as possible, within 0..1.

    Least squares under the spacing constraint: isotonic regression of ``wanted[i] - i * gap``.
    """
    if not wanted:
        return []
    gap = min(gap, 1.0 / max(len(wanted) - 1, 1))
    blocks: list[list[float]] = []  # [mean, count]
    for i, value in enumerate(wanted):
        blocks.append([value - i * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, count = blocks.pop()
            blocks[-1] = [
                (blocks[-1][0] * blocks[-1][1] + mean * count) / (blocks[-1][1] + count),
                blocks[-1][1] + count,
            ]
    flat = [mean for mean, count in blocks for _ in range(int(count))]
    ceiling = 1.0 - (len(wanted) - 1) * gap
    return [min(max(z, 0.0), ceiling) + i * gap for i, z in enumerate(flat)]


def end_labels(axes: Axes, labels: Sequence[EndLabel], style: Style, header: str = "", leaders: bool = True) -> None:
    """Write the labels right of the panel, in the order in which the lines end, each with its marker and dash.

    Call it after the panel's scales and limits are settled.
    """
    if not labels:
        return
    to_fraction = axes.transAxes.inverted()
    x_end = axes.get_xlim()[1]

    def fraction(y: float) -> float:
        if not math.isfinite(y):
            return 0.0
        return float(np.clip(to_fraction.transform(axes.transData.transform((x_end, y)))[1], 0.0, 1.0))

    ordered = sorted(labels, key=lambda label: (fraction(label.y), label.text))
    figure = axes.get_figure(root=True)
    assert figure is not None
    subplot = axes.get_subplotspec()
    rows = subplot.get_gridspec().nrows if subplot else 1
    usable = figure.get_figheight() / rows - 0.95  # inches; titles and ticks take the rest
    places = spread([fraction(label.y) for label in ordered], 0.165 / usable)
    for label, place in zip(ordered, places, strict=True):
        if leaders and math.isfinite(label.y):
            axes.plot([1.0, 1.022], [fraction(label.y), place], transform=axes.transAxes, color=label.look.color,
                      lw=0.7, clip_on=False, solid_capstyle="butt")  # fmt: skip
        axes.plot([1.028, 1.098], [place, place], transform=axes.transAxes, color=label.look.color,
                  ls=label.look.linestyle, lw=1.5, clip_on=False)  # fmt: skip
        axes.plot([1.063], [place], transform=axes.transAxes, color=label.look.color, marker=label.look.marker,
                  ms=5, ls="none", mfc=style.paper if label.hollow else label.look.color, clip_on=False)  # fmt: skip
        axes.text(1.112, place, label.text, transform=axes.transAxes, va="center", ha="left", fontsize=8,
                  color=style.ink)  # fmt: skip
    if header:
        axes.text(1.028, -0.17 / usable, header, transform=axes.transAxes, va="top", ha="left", fontsize=7,
                  color=style.muted, linespacing=1.25)  # fmt: skip


def log_lengths(axes: Axes, lengths: Sequence[float]) -> None:
    """A logarithmic x axis whose ticks are the measured lengths themselves (thinned where they would touch)."""
    axes.set_xscale("log")
    ticks = sorted({float(x) for x in lengths if x > 0})
    if not ticks:
        return
    span = math.log(ticks[-1] / ticks[0]) or 1.0
    subplot = axes.get_subplotspec()
    room = 0.085 if subplot is None or subplot.get_gridspec().ncols == 1 else 0.14  # panels side by side are narrow
    kept: list[float] = []
    for tick in ticks:
        if not kept or math.log(tick / kept[-1]) / span > room:
            kept.append(tick)
    axes.xaxis.set_major_locator(FixedLocator(kept))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: length_text(x)))
    pad = 1.0 if ticks[0] == ticks[-1] else span * 0.04
    axes.set_xlim(ticks[0] / math.exp(pad), ticks[-1] * math.exp(pad))


def log_axis(axes: Axes, which: str, values: Sequence[float], unit: str) -> None:
    """A logarithmic axis (`which`: "x" or "y") in engineering units (1 ms, 20 kB) with enough ticks for its span."""
    good = [v for v in values if math.isfinite(v) and v > 0]
    if not good:
        return
    decades = math.log10(max(good) / min(good))
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    pad = 10 ** max(decades * 0.06, 0.12)
    (axes.set_xlim if which == "x" else axes.set_ylim)(min(good) / pad, max(good) * pad)
    axis.set_major_locator(FixedLocator(log_ticks(min(good) / pad, max(good) * pad, 6 if which == "x" else 9)))
    axis.set_minor_locator(NullLocator())
    plain = not unit and min(good) >= 1e-4 and max(good) < 1e4
    axis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{v:g}") if plain else EngFormatter(unit, sep=" " if unit else "")
    )


TICK_DIGITS = (
    (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0),
    (1.0, 2.0, 3.0, 5.0, 7.0),
    (1.0, 2.0, 5.0),
    (1.0, 3.0),
    (1.0,),
)


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers within [low, high] for a logarithmic axis: as many as there are, at most `most`, at least two.

    Where the range is so short that no round numbers of few digits lie in it, those of a linear axis are taken.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for digits in TICK_DIGITS:
        found = [v for p in powers for d in digits if low <= (v := d * 10.0**p) <= high]
        if len(found) <= most:
            break
    while len(found) > most:  # many decades: every second, every fourth power
        found = found[::2]
    if len(found) >= 2:
        return found
    return [float(v) for v in MaxNLocator(max(2, most - 2)).tick_values(low, high) if low <= v <= high]


def title_of(axes: Axes, text: str, width: int = 50) -> None:
    """Write a panel's title, broken into lines where it is longer than the panel is wide (in letters)."""
    axes.set_title("\n".join(textwrap.wrap(text, width)) or text)


def short_count(value: float) -> str:
    """98688 -> "98.7k": counts in labels."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:g}"


def length_text(value: float) -> str:
    """A sequence length as people write it: 4096; beyond 9999 multiples of 1024 as 16Ki, and of 1000 as 20k."""
    for unit, name in ((1024, "Ki"), (1000, "k")):
        if value >= 10_000 and value % unit == 0:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def save(
    figure: Figure, data: pd.DataFrame, stem: str | Path, title: str, alt: str, kinds: Sequence[str] = KINDS
) -> None:
    """Write ``stem.svg``, ``stem.png`` and ``stem.csv`` (the numbers drawn): no dates, fixed ids, same bytes again."""
    stem = Path(stem)
    with contextlib.ExitStack() as files:
        path = {kind: files.enter_context(atomic_write(stem.with_name(f"{stem.name}.{kind}"))) for kind in kinds}
        if "svg" in path:
            files.enter_context(mpl.rc_context({"svg.hashsalt": stem.name, "svg.fonttype": "path"}))
            vector: Any = FigureCanvasSVG(figure)
            told = {"Date": None, "Creator": None, "Title": title, "Description": alt}
            vector.print_svg(str(path["svg"]), metadata=told)
        if "png" in path:
            figure.set_dpi(PNG_DPI)
            raster: Any = FigureCanvasAgg(figure)
            raster.print_png(str(path["png"]), metadata={"Software": None, "Title": title})
        if "csv" in path:
            data.to_csv(path["csv"], index=False)
