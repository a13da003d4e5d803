"""Draws a Chart with Matplotlib: lines and dot plots, on the sheet that canvas lays out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from seqscale.reporting import canvas
from seqscale.reporting.canvas import EndLabel, end_labels, log_axis, log_lengths, short_count, title_of
from seqscale.reporting.chart import Axis, Chart, Dots, Lines, Series, finite
from seqscale.reporting.style import ModelStyle, Style

CROSS = "X"


def figure_of(chart: Chart, style: Style) -> Figure:
    """The chart as a Matplotlib figure."""
    with canvas.look(style):
        if not chart.panels:
            return _empty(chart, style)
        rows = [len(p.rows) for p in chart.panels if isinstance(p, Dots)]
        height = 1.15 + 0.29 * max(rows) if len(rows) == len(chart.panels) else None
        figure, sheets = canvas.sheet(len(chart.panels), height)
        for axes, panel in zip(sheets, chart.panels, strict=True):
            narrow = isinstance(panel, Dots) and len(chart.panels) > 1  # its labels take room of it
            title_of(axes, panel.title, 34 if narrow else 50)
            if isinstance(panel, Lines):
                _lines(axes, panel, style, len(chart.panels) > 1)
            else:
                _dots(axes, panel, style)
        return figure


def _empty(chart: Chart, style: Style) -> Figure:
    figure = Figure(figsize=(canvas.SINGLE_INCHES[0], 1.7), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.62, "Nothing to draw", ha="center", va="center", fontsize=11, weight="bold", color=style.ink)
    axes.text(0.5, 0.34, chart.missing, ha="center", va="center", fontsize=8.5, color=style.muted, wrap=True)
    return figure


def _axis(axes: Axes, which: str, axis: Axis, values: Sequence[float]) -> None:
    mine = axes.xaxis if which == "x" else axes.yaxis
    if axis.lengths and axis.log:
        log_lengths(axes, values)
    elif axis.log:
        log_axis(axes, which, values, axis.unit)
        if not axis.unit and which == "x":
            mine.set_major_formatter(FuncFormatter(lambda v, _: short_count(v)))
    elif axis.share:
        mine.set_major_formatter(PercentFormatter(1.0, decimals=0))
    elif axis.unit:
        mine.set_major_formatter(EngFormatter(unit=axis.unit, sep=" "))
    elif finite(values) and max(map(abs, finite(values))) >= 1e4:
        mine.set_major_formatter(EngFormatter(sep=""))
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(axis.label)


def _rates(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis with a tick at each of a handful of values, as a grid of learning rates has."""
    ticks = sorted(set(finite(values)))
    axes.set_xscale("log")
    axes.set_xlim(ticks[0] / 1.35, ticks[-1] * 1.35)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def _look(series: Series, style: Style) -> ModelStyle:
    return style.model(series.model)


def _view(panel: Lines) -> tuple[list[float], list[float]]:
    """All x and y that decide what is in view."""
    shown = [s for s in panel.series if not s.faint] if panel.clip else panel.series
    shown = shown or panel.series
    xs = [x for s in shown for x in s.x]
    ys = [v for s in shown for v in (*s.y, *(() if panel.clip else (*s.low, *s.high)))]
    if panel.x.lengths:
        xs += [m.x for m in panel.marks]
    return finite(xs), finite(ys)


def _lines(axes: Axes, panel: Lines, style: Style, brief: bool) -> None:
    xs, ys = _view(panel)
    if panel.y.log:
        _axis(axes, "y", panel.y, [y for y in ys if y > 0])
    few = panel.x.log and not panel.x.lengths and not panel.x.unit and 1 < len(set(xs)) <= 6 and max(xs) <= 1
    if few:
        _rates(axes, xs)
        axes.set_xlabel(panel.x.label)
    elif xs:
        _axis(axes, "x", panel.x, xs)
    if not panel.y.log:
        _axis(axes, "y", panel.y, ys)
        if ys:
            margin = 0.06 * (max(ys) - min(ys)) or 0.1
            axes.set_ylim(min(ys) - margin, max(ys) + margin)
    top_marks = [m for m in panel.marks if not math.isfinite(m.y)]
    if top_marks and panel.y.log and ys:  # room for the crosses
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom, top * (top / bottom) ** 0.16)
    if panel.slopes and ys:
        _slopes(axes, min(xs), max(x for s in panel.series for x in s.x), style)
    shifts = _dodge(panel.series)
    labels = [_one(axes, s, k, panel, style, shifts[k]) for k, s in enumerate(panel.series)]
    _marks(axes, panel, style)
    if axes.get_xlim()[1] == axes.get_xlim()[0]:
        axes.margins(x=0.1)
    end_labels(axes, [label for label in labels if label is not None], style, panel.header, leaders=not few)


def _one(axes: Axes, s: Series, k: int, panel: Lines, style: Style, shift: float) -> EndLabel | None:
    look = _look(s, style)
    x, y = np.asarray(s.x, float), np.asarray(s.y, float)
    left, right = axes.get_xlim()
    if shift and panel.x.log:
        x = x * (right / left) ** (0.013 * shift)
    if s.published:
        axes.plot(x, y, marker=look.marker, ms=7, mfc="none", mec=look.color, mew=1.2, color=look.color, lw=0.9,
                  ls=":", zorder=4)  # fmt: skip
        return EndLabel(s.label, look, float(y[-1]) if len(y) else math.nan, hollow=True)
    if s.faint:
        axes.plot(x, y, color=look.color, lw=0.8, ls=look.linestyle, zorder=2)
        return None
    every = max(1, len(x) // 6)
    # Markers start at different points, so that lines lying on each other can still be told apart.
    start = k % every
    axes.plot(x, y, color=look.color, ls=look.linestyle, marker=look.marker, markevery=(start, every), zorder=3)
    if finite(s.low):
        low, high = np.asarray(s.low, float), np.asarray(s.high, float)
        if s.band:
            axes.fill_between(x, low, high, color=look.color, alpha=0.16, lw=0, zorder=2)
        else:
            bars: Any = np.nan_to_num(np.vstack([(y - low).clip(min=0), (high - y).clip(min=0)]))
            axes.errorbar(x, y, yerr=bars, color=look.color, ls="none", elinewidth=1, capsize=2, zorder=3)
    for at, ringed in enumerate(s.ring):
        if ringed:
            axes.plot([x[at]], [y[at]], marker="o", ms=11, mfc="none", mec=look.color, mew=1.3, ls="none", zorder=4)
    good = y[np.isfinite(y)]
    return EndLabel(s.label, look, float(good[-1]) if len(good) else math.nan)


def _slopes(axes: Axes, left: float, right: float, style: Style) -> None:
    """Faint lines of slope 1 and 2 from the panel's lower left, to compare slopes by eye."""
    bottom, top = axes.get_ylim()
    if right <= left or top < 5 * bottom:
        return
    for power in (1, 2):
        x_end = min(right, left * (top / bottom) ** (1 / power))
        axes.plot([left, x_end], [bottom, bottom * (x_end / left) ** power], color=style.faint, lw=1.4, zorder=1)
        axes.annotate(f"slope {power}", (x_end, bottom * (x_end / left) ** power), xytext=(-3, -3),
                      textcoords="offset points", ha="right", va="top", fontsize=7, color=style.muted)  # fmt: skip


def _marks(axes: Axes, panel: Lines, style: Style) -> None:
    """Crosses: where a run ended, and at the top edge what did not fit into memory; words for the first of each."""
    bottom, top = axes.get_ylim()
    left, right = axes.get_xlim()
    heights: dict[str, float] = {}
    for said, mark in enumerate(panel.marks):
        look = style.model(mark.model)
        if not math.isfinite(mark.y):
            first = mark.words not in heights
            height = heights.setdefault(mark.words, 0.965 - 0.062 * len(heights))
            axes.plot([mark.x], [height], marker=CROSS, ms=9, color=look.color, mec=style.paper, mew=0.8, ls="none",
                      transform=axes.get_xaxis_transform(), zorder=6)  # fmt: skip
            if first:
                axes.annotate(mark.words, (mark.x, height), xycoords=axes.get_xaxis_transform(), xytext=(-8, 0),
                              textcoords="offset points", ha="right", va="center", fontsize=7.5,
                              bbox={"fc": style.paper, "ec": "none", "pad": 1}, zorder=5)  # fmt: skip
            continue
        x, y = float(np.clip(mark.x, left, right)), float(np.clip(mark.y, bottom, top))
        axes.plot([x], [y], marker=CROSS, ms=9, mec=style.paper, mew=0.8, color=look.color, ls="none",
                  clip_on=False, zorder=5)  # fmt: skip
        right_half = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0] > 0.5
        axes.annotate(mark.words, (x, y), xytext=(-9 if right_half else 9, -2 - 11 * said),
                      textcoords="offset points", ha="right" if right_half else "left", va="top", fontsize=7.5,
                      color=style.ink, bbox={"fc": style.paper, "ec": "none", "pad": 1}, zorder=4)  # fmt: skip
    axes.set_ylim(bottom, top)
    axes.set_xlim(left, right)


def _dodge(series: Sequence[Series]) -> list[float]:
    """Shift in steps for curves that lie on each other (within 1 % everywhere), so that each can be seen."""
    alike: list[list[int]] = []
    for k, s in enumerate(series):
        for group in alike:
            other = series[group[0]]
            if (
                not s.faint and not s.published and not s.band and list(s.x) == list(other.x) and len(s.y)
                and all(o and abs(v / o - 1) < 0.01 for v, o in zip(s.y, other.y, strict=True))
            ):  # fmt: skip
                group.append(k)
                break
        else:
            alike.append([k])
    return [
        place - (len(group) - 1) / 2
        for k in range(len(series))
        for group in alike
        for place, member in enumerate(group)
        if member == k
    ]


def _dots(axes: Axes, panel: Dots, style: Style) -> None:
    values = finite(
        [v for r in panel.rows for v in (r.value, r.low, r.high, r.published, *r.singles, *(r.region or ()))]
    )
    if panel.view:
        axes.set_xlim(*panel.view)
    elif values:
        low, high = min(values), max(values)
        if panel.x.log and low > 0:
            _axis(axes, "x", panel.x, values)
        else:
            margin = 0.08 * (high - low) or abs(high) * 0.1 or 0.1
            axes.set_xlim(low - margin, high + margin)
    left, right = axes.get_xlim()
    for guide in panel.guides:
        axes.axvline(guide, color=style.muted, lw=0.8, zorder=1)
    for y, row in enumerate(panel.rows):
        look = style.model(row.model)
        if row.region is not None:
            ends = np.clip(np.asarray(row.region, float), left, right)
            axes.plot(ends, [y, y], color=style.faint, lw=9, solid_capstyle="butt", zorder=0)
        if math.isfinite(row.low) and math.isfinite(row.high):
            axes.plot([row.low, row.high], [y, y], color=look.color, lw=3.2, alpha=0.45, solid_capstyle="butt")
        if len(row.singles):
            axes.plot(row.singles, [y] * len(row.singles), ls="none", marker=".", ms=4, color=style.ink, zorder=4)
        if math.isfinite(row.published):
            axes.plot([row.published], [y], ls="none", marker="d", ms=9, mfc="none", mec=style.ink, mew=1.2, zorder=5)
        if math.isfinite(row.value):
            axes.plot([row.value], [y], ls="none", marker=look.marker, ms=7.5, color=look.color, mec=style.paper,
                      mew=0.7, zorder=3)  # fmt: skip
        if row.note:
            axes.plot([0.985], [y], marker=CROSS, ms=8, color=look.color, mec=style.paper, mew=0.8, ls="none",
                      transform=axes.get_yaxis_transform(), zorder=5)  # fmt: skip
            axes.text(0.955, y, row.note, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=7.5,
                      bbox={"fc": style.paper, "ec": "none", "pad": 1.2}, zorder=4)  # fmt: skip
    axes.set_yticks(range(len(panel.rows)), [row.label for row in panel.rows])
    for tick in axes.get_yticklabels():
        tick.set_color(style.ink)
    axes.set_ylim(len(panel.rows) - 0.4, -0.6)
    axes.set_xlabel(panel.x.label)
    if panel.x.share:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    elif panel.x.unit and not panel.x.log:
        axes.xaxis.set_major_formatter(EngFormatter(unit=panel.x.unit, sep=" "))
