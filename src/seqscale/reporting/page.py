"""What the notebook calls: one object that holds the tables and gives each section of the page as HTML."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from docutils.core import publish_parts  # type: ignore[import-untyped]

from seqscale.files import read_json
from seqscale.reporting import provenance, results, svg, verdicts
from seqscale.reporting.catalog import FIGURES, FigureEntry
from seqscale.reporting.html import Downloads, Html, esc
from seqscale.reporting.source import COLUMNS, Tables, load_tables, load_verdicts
from seqscale.reporting.style import STYLE_FILE, Style, load_style

CAPTIONS = STYLE_FILE.parent / "captions"


def caption_html(path: Path) -> str:
    """A caption file (reStructuredText, the one that Snakemake's report shows, too) as HTML paragraphs."""
    if not path.is_file():
        return ""
    settings = {"file_insertion_enabled": False, "raw_enabled": False, "report_level": 4, "_disable_config": True}
    parts = publish_parts(path.read_text(encoding="utf-8"), writer="html5", settings_overrides=settings)
    return str(parts["body"]).strip()


@dataclass
class Page:
    """The material of the report."""

    tables: Tables
    verdict_table: pd.DataFrame
    style: Style
    config: Mapping[str, Any]
    figures: Path
    tables_folder: Path
    verdicts_file: Path
    captions: Path = CAPTIONS
    downloads: Downloads = field(default_factory=Downloads)

    @classmethod
    def load(
        cls, *, tables: str, verdicts: str, figures: str, config: str = "", style: str = "", captions: str = ""
    ) -> "Page":
        """Read everything from disk. OSError or ValueError name the file that is wrong."""
        resolved = read_json(config) if config else {}
        loaded = load_tables(tables, resolved)
        return cls(
            tables=loaded,
            verdict_table=load_verdicts(verdicts),
            style=load_style(style or None, loaded.model_names),
            config=resolved,
            figures=Path(figures),
            tables_folder=Path(tables),
            verdicts_file=Path(verdicts),
            captions=Path(captions) if captions else CAPTIONS,
        )

    def header(self) -> Html:
        """Title, the sentence that sums the verdicts up, the counts, a line for each source."""
        name = self.config.get("name") or (self.config.get("config") or {}).get("name")
        tail = f": {esc(name)}" if name else ""
        return Html(
            '<header><p class="kicker">Published “Mamba against Transformer” claims, put to the test</p>'
            f"<h1>SeqScale{tail}</h1>"
            f'<p class="lead">{esc(verdicts.sentence(self.verdict_table))}</p>'
            f"{verdicts.summary(self.verdict_table, self.style)}</header>"
        )

    def verdicts(self) -> Html:
        """The verdict board."""
        link = self.downloads.link(self.verdicts_file, self.verdicts_file.name)
        return Html(verdicts.board(self.verdict_table, self.style) + f'<p class="downloads">Save: {link}</p>')

    def ahead_and_behind(self) -> Html:
        """Where Mamba is ahead and where it is behind."""
        return Html(results.ahead_and_behind(self.tables))

    def results(self) -> Html:
        """The results of each experiment, and the tables to save."""
        return Html(results.results(self.tables, self.style))

    def figure(self, name: str) -> Html:
        """One figure of the catalog with its caption and downloads."""
        return Html(self._figure(next(f for f in FIGURES if f.name == name)))

    def all_figures(self) -> Html:
        """Every figure of the catalog by category."""
        html = []
        for category in dict.fromkeys(f.category for f in FIGURES):
            html.append(f'<h3 id="figures-{esc(category.lower().replace(" ", "-"))}">{esc(category)}</h3>')
            html += [self._figure(f) for f in FIGURES if f.category == category]
        return Html("".join(html))

    def _figure(self, entry: FigureEntry) -> str:
        path = self.figures / f"{entry.name}.svg"
        caption = f"<h4>{esc(entry.title)}</h4>{caption_html(self.captions / entry.caption)}"
        if not path.is_file():
            body = f'<p class="hole">This figure was not drawn: {esc(path.name)} is not there.</p>'
            return f'<figure class="chart" id="{entry.name}">{body}<figcaption>{caption}</figcaption></figure>'
        label = svg.description(path) or entry.title
        picture = svg.inline(path.read_text(encoding="utf-8"), f"f-{entry.name}", label)
        links = " ".join(self.downloads.link(path.with_suffix(s), s[1:].upper()) for s in (".svg", ".png", ".csv"))
        return (
            f'<figure class="chart" id="{entry.name}"><figcaption>{caption}</figcaption>'
            f'<div class="scroll" role="region" tabindex="0" aria-label="{esc(entry.title)}">{picture}</div>'
            f'<p class="downloads">Save: {links}</p></figure>'
        )

    def samples(self) -> Html:
        """Generated text side by side."""
        return Html(results.samples(self.tables, self.style))

    def holes(self) -> Html:
        """What failed, diverged or is missing."""
        return Html(provenance.holes(self.tables, self.verdict_table, self.config, self.figures))

    def provenance(self) -> Html:
        """Where everything comes from, and all tables to save."""
        links = " ".join(self.downloads.link(self.tables_folder / f"{name}.csv", f"{name}.csv") for name in COLUMNS)
        return Html(
            f'{provenance.provenance(self.tables, self.config)}<p class="downloads">Save the tables: {links}</p>'
        )
