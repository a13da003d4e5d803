"""A figure on the page: its caption, the picture for paper and for readers without scripts, and its numbers for the
page's script, which draws the same panels so that they can be pointed at, zoomed and toggled."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docutils.core import publish_parts  # type: ignore[import-untyped]

from seqscale.reporting import svg
from seqscale.reporting.catalog import ALL, entry
from seqscale.reporting.chart import Chart, Lines, as_spec
from seqscale.reporting.figures import build
from seqscale.reporting.html import esc
from seqscale.reporting.source import Tables
from seqscale.reporting.style import ModelStyle, Style

# Matplotlib's markers in Plotly's words
SYMBOLS = {"o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "h": "hexagon",
           "<": "triangle-left", ">": "triangle-right", "P": "cross", "p": "pentagon", "*": "star",
           "d": "diamond-tall", "H": "hexagon2", (4, 1, 45.0): "star-square", (6, 1, 0.0): "hexagram",
           (7, 0, 0.0): "octagon", "_": "line-ew"}  # fmt: skip
DASHES = {"solid": "solid", "dashed": "dash", "long": "longdash", "dashdot": "dashdot", "dotted": "dot"}


def rst(text: str) -> str:
    """reStructuredText (captions, descriptions of mixers; formulas become MathML) as HTML."""
    settings = {"file_insertion_enabled": False, "raw_enabled": False, "report_level": 4, "_disable_config": True,
                "math_output": "MathML", "initial_header_level": 5}  # fmt: skip
    parts = publish_parts(text, writer="html5", settings_overrides=settings)
    return str(parts["body"]).strip()


def in_script(value: Any) -> str:
    """JSON that may stand inside <script>: nothing in it can end the element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")


def looks(style: Style, tables: Tables) -> dict[str, dict[str, str]]:
    """Every look by name, in the words of the page's script."""

    def words(name: str, look: ModelStyle) -> dict[str, str]:
        return {"light": look.tone.light, "dark": look.tone.dark, "symbol": SYMBOLS.get(look.marker, "circle"),
                "dash": DASHES[look.dash], "title": tables.model_title(name),
                "path": svg.marker_path(look)}  # fmt: skip

    return {name: words(name, look) for name, look in style.given().items()}


@dataclass
class Charts:
    """Gives figures as HTML. `folder` holds what the figures stage drew."""

    tables: Tables
    style: Style
    folder: Path
    captions: Path
    made: dict[str, Chart] = field(default_factory=dict)

    def chart(self, name: str) -> Chart:
        """The figure called `name` as panels and numbers, built once."""
        if name not in self.made:
            self.made[name] = build(name, self.tables)
        return self.made[name]

    def html(self, name: str, level: int = 4) -> str:
        """The figure called `name` with heading and caption (level 0: neither); says so where there is none."""
        known = entry(name)
        path = self.folder / f"{name}.svg"
        words = self.captions / known.caption
        caption = rst(words.read_text(encoding="utf-8")) if level and words.is_file() else ""
        heading = f"<h{level}>{esc(known.title)}</h{level}>" if level else ""
        if not path.is_file():
            hole = f'<p class="hole">This figure was not drawn: {esc(path.name)} is not there.</p>'
            return f'<figure class="chart" id="{esc(name)}"><figcaption>{heading}</figcaption>{hole}</figure>'
        chart = self.chart(name)
        for panel in chart.panels:  # lines that are no models, too, have a look that the page's script must know
            for item in panel.series if isinstance(panel, Lines) else panel.rows:
                self.style.model(item.model)
        if not chart.panels:
            hole = f'<p class="hole">Nothing to draw: {esc(chart.missing)}</p>'
            return f'<figure class="chart" id="{esc(name)}"><figcaption>{heading}</figcaption>{hole}</figure>'
        label = svg.description(path) or chart.alt
        picture = svg.inline(path.read_text(encoding="utf-8"), f"f{ALL.index(name)}", label)
        numbers = path.with_name(f"{name}.csv")
        csv = numbers.read_text(encoding="utf-8") if numbers.is_file() else chart.data.to_csv(index=False)
        spec: Mapping[str, Any] = {**as_spec(chart), "name": name, "alt": label, "csv": csv}
        return (
            f'<figure class="chart" id="{esc(name)}"><figcaption>{heading}{caption}</figcaption>'
            '<div class="tools" hidden></div>'
            f'<div class="still scroll" role="region" tabindex="0" aria-label="{esc(known.title)}">{picture}</div>'
            '<div class="live" hidden></div><div class="values" hidden></div>'
            f'<script type="application/json" class="spec">{in_script(spec)}</script>'
            '<noscript><p class="downloads">As SVG, PNG and CSV: results/figures/'
            + esc(name)
            + ".*</p></noscript></figure>"
        )

    def empty(self, name: str) -> bool:
        """Whether the figure was drawn and shows nothing, for want of data."""
        return (self.folder / f"{name}.svg").is_file() and not self.chart(name).panels

    def without_data(self, names: Sequence[str]) -> str:
        """The figures that have nothing to show, in one list with the reason of each; they need no box of their own."""
        if not names:
            return ""
        items = "".join(
            f'<li id="{esc(n)}"><strong>{esc(entry(n).title)}</strong>: {esc(self.chart(n).missing)}</li>'
            for n in names
        )
        return f'<div class="hole"><p>Nothing to draw with this configuration:</p><ul>{items}</ul></div>'

    def shown(self, name: str) -> str:
        """As `html` without a heading; nothing where there is nothing to show (claims that were not measured)."""
        if not (self.folder / f"{name}.svg").is_file():
            return self.html(name, 0)
        return self.html(name, 0) if self.chart(name).panels else ""
