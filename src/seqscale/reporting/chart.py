"""What a figure is before anybody draws it: panels, series, marks. Two hands draw it, with the same numbers.

canvas draws it with Matplotlib, for files, paper and readers without scripts; the page's script draws it with Plotly,
for readers who point, zoom and toggle. Both take looks from report/style.yaml.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

OVER_SEEDS, OF_REPEATS = "95 % interval", "20th to 80th percentile"
PUBLISHED = "published"  # the look of what a source printed: ink, hollow


@dataclass(frozen=True)
class Axis:
    """An axis: its label, the unit of its values (s, B, FLOP, or nothing), whether it is logarithmic.

    `lengths`: values are sequence lengths, ticks are the measured ones. `share`: values 0 to 1, shown in per cent.
    """

    label: str
    unit: str = ""
    log: bool = False
    lengths: bool = False
    share: bool = False


@dataclass(frozen=True)
class Series:
    """One line: points, and for each the two ends of its interval (NaN or empty: none).

    `model` gives the look. `band`: the intervals are one shaded band, otherwise a bar at each point. `published`: the
    points were printed by a source and are drawn hollow. `faint`: a single run beside means.
    """

    model: str
    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    band: bool = False
    published: bool = False
    faint: bool = False
    ring: Sequence[bool] = ()  # points to be ringed: chosen ones
    name: str = ""  # in legends, where `label` tells more than the name
    spread: str = ""  # what low and high are: "95 % interval", "20th to 80th percentile"


@dataclass(frozen=True)
class Mark:
    """Something that happened: out of memory, diverged. `y` NaN puts it at the top edge."""

    model: str
    label: str
    x: float
    y: float
    words: str


@dataclass(frozen=True)
class Lines:
    """A panel of lines over two number axes."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    slopes: bool = False  # faint lines of slope 1 and 2, on logarithmic axes
    header: str = ""  # what the labels at the lines' ends tell beside the name
    clip: bool = False  # the means, and not marks or faint lines, decide what is in view


@dataclass(frozen=True)
class Dot:
    """One row of a dot plot: a value, its interval, single values behind it, what was published, what was asked for."""

    label: str
    model: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    singles: Sequence[float] = ()
    published: float = math.nan
    region: tuple[float, float] | None = None  # infinities: open
    note: str = ""
    spread: str = ""  # what low and high are


@dataclass(frozen=True)
class Dots:
    """A panel of rows, each a value with its interval on one common axis."""

    title: str
    x: Axis
    rows: tuple[Dot, ...]
    guides: tuple[float, ...] = ()
    view: tuple[float, float] | None = None  # limits of the axis, where intervals may leave it


@dataclass(frozen=True)
class Chart:
    """A figure: panels, the numbers in it (tidy, one row per mark) and a description for those who do not see it.

    `missing`: why there is nothing to draw; then there are no panels.
    """

    title: str
    panels: tuple[Lines | Dots, ...]
    data: pd.DataFrame
    alt: str
    missing: str = field(default="")


def nothing(title: str, why: str) -> Chart:
    """The figure that stands in for one without data: it says what is missing."""
    return Chart(title, (), pd.DataFrame({"missing": [why]}), f"{title}. Nothing to draw: {why}", why)


def finite(values: Sequence[float]) -> list[float]:
    """The finite ones of `values`."""
    return [float(v) for v in values if math.isfinite(v)]


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in values]


def _lines(panel: Lines) -> dict[str, Any]:
    series = []
    for s in panel.series:
        entry: dict[str, Any] = {
            "m": s.model,
            "n": s.label,
            "k": s.name or s.label,
            "x": _numbers(s.x),
            "y": _numbers(s.y),
        }
        if finite([*s.low, *s.high]):
            entry |= {"lo": _numbers(s.low), "hi": _numbers(s.high)} | ({"w": s.spread} if s.spread else {})
        if any(s.ring):
            entry["ring"] = [bool(r) for r in s.ring]
        entry |= {key: True for key in ("band", "published", "faint") if getattr(s, key)}
        series.append(entry)
    marks = [{"m": m.model, "n": m.label, "x": m.x, "y": _numbers([m.y])[0], "t": m.words} for m in panel.marks]
    return {"kind": "lines", "title": panel.title, "x": vars(panel.x), "y": vars(panel.y), "series": series,
            "marks": marks, "slopes": panel.slopes, "clip": panel.clip}  # fmt: skip


def _dots(panel: Dots) -> dict[str, Any]:
    rows = []
    for d in panel.rows:
        region = None if d.region is None else _numbers(d.region)
        value, low, high, published = _numbers([d.value, d.low, d.high, d.published])
        rows.append({"n": d.label, "m": d.model, "v": value, "lo": low, "hi": high, "p": published,
                     "s": _numbers(d.singles), "r": region, "t": d.note, "w": d.spread})  # fmt: skip
    return {"kind": "dots", "title": panel.title, "x": vars(panel.x), "rows": rows, "guides": list(panel.guides),
            "view": panel.view}  # fmt: skip


def as_spec(chart: Chart) -> dict[str, Any]:
    """The chart as plain data (JSON) for the page's script; numbers to six digits."""
    panels = [_lines(p) if isinstance(p, Lines) else _dots(p) for p in chart.panels]
    return {"title": chart.title, "panels": panels}
