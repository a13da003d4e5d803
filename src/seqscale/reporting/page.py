"""What the notebook calls: one object that holds the tables and gives each section of the page as HTML."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from seqscale.files import read_json
from seqscale.reporting import (
    board,
    checkpoints,
    comparing,
    dossier,
    gallery,
    legend,
    lists,
    provenance,
    results,
    scale,
    top,
)
from seqscale.reporting.catalog import FIGURES
from seqscale.reporting.charts import Charts, in_script, looks
from seqscale.reporting.html import Downloads, Html, esc, fold, plural
from seqscale.reporting.names import DIGESTS
from seqscale.reporting.source import COLUMNS, Tables, load_tables, load_verdicts, no_verdicts
from seqscale.reporting.style import STYLE_FILE, Style, load_style

CAPTIONS = STYLE_FILE.parent / "captions"


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
    edges: tuple[tuple[str, str], ...] = ()
    downloads: Downloads = field(default_factory=Downloads)

    @classmethod
    def load(
        cls, *, tables: str, verdicts: str, figures: str, config: str = "", style: str = "", captions: str = "",
        dag: str = "",
    ) -> "Page":  # fmt: skip
        """Read everything from disk. OSError or ValueError name the file that is wrong."""
        resolved = read_json(config) if config else {}
        loaded = load_tables(tables, resolved)
        return cls(
            tables=loaded,
            verdict_table=load_verdicts(verdicts) if Path(verdicts).is_file() else no_verdicts(),
            style=load_style(style or None, loaded.model_names),
            config=resolved,
            figures=Path(figures),
            tables_folder=Path(tables),
            verdicts_file=Path(verdicts),
            captions=Path(captions) if captions else CAPTIONS,
            edges=tuple((a, b) for a, b in read_json(dag)["edges"]) if dag and Path(dag).is_file() else (),
        )

    @property
    def lacking(self) -> list[str]:
        """Files that a whole report has and this one has not, by name."""
        tables = [f"{n}.csv" for n in (*COLUMNS, *DIGESTS) if not (self.tables_folder / f"{n}.csv").is_file()]
        verdicts = [] if self.verdicts_file.is_file() else [self.verdicts_file.name]
        figures = [f"{f.name}.svg" for f in FIGURES if not (self.figures / f"{f.name}.svg").is_file()]
        return [*verdicts, *tables, *figures]

    @cached_property
    def charts(self) -> Charts:
        """The figures."""
        return Charts(self.tables, self.style, self.figures, self.captions)

    @property
    def machine(self) -> str:
        """The machine of this run in a few words."""
        frame = self.tables.table("provenance", "key value").set_index("key")["value"]
        if "runs.machine" in frame.index:  # where it was trained and timed, which need not be where the page was made
            return str(frame["runs.machine"])
        return ", ".join(str(frame[key]) for key in ("cpu", "device") if key in frame.index and frame[key])

    def header(self) -> Html:
        """Title, the sentence that sums the verdicts up, the counts, a sentence for each source."""
        name = self.config.get("name") or (self.config.get("config") or {}).get("name")
        tail = f": {esc(name)}" if name else ""
        return Html(
            '<header><p class="kicker">Published “Mamba against Transformer” claims, put to the test</p>'
            f"<h1>SeqScale{tail}</h1>"
            f'<p class="lead">{esc(top.sentence(self.verdict_table))}</p>'
            f"{top.what_held(self.verdict_table, self.style)}{top.partial(self.tables, self.lacking)}"
            f'<p class="note"><a href="#{legend.ID}">How a verdict is given</a></p>'
            f'<h2 id="scale">How large it was</h2>{scale.at_the_top(self.tables)}'
            f'<h2 id="sources">Source by source</h2>{top.by_source(self.verdict_table)}</header>'
        )

    def answers(self) -> Html:
        """What readers ask first: what failed and why, where Mamba overtakes, how to rerun."""
        return Html(top.answers_box(self.tables, self.verdict_table, self.machine))

    def verdicts(self) -> Html:
        """The verdict board."""
        link = self.downloads.link(self.verdicts_file, self.verdicts_file.name)
        text = board.board(self.verdict_table, self.tables, self.style)
        rules = legend.legend(self.tables, self.style)
        return Html(f'{rules}{text}<p class="downloads">Save: {link}</p>')

    def crossovers(self) -> Html:
        """Where Mamba overtakes attention."""
        return Html(fold("All costs and models", results.crossover_table(self.tables)))

    def ahead_and_behind(self) -> Html:
        """Where Mamba is ahead and where it is behind."""
        return Html(lists.ahead_and_behind(self.tables))

    def evidence(self) -> Html:
        """Every claim with its evidence."""
        return Html(dossier.dossiers(self.verdict_table, self.tables, self.style, self.charts.shown))

    def results(self) -> Html:
        """The results of each experiment."""
        return Html(fold("All tables", results.results(self.tables, self.style)))

    def all_figures(self) -> Html:
        """Every figure of the catalog by category."""
        html, charts = [], self.charts
        for category in dict.fromkeys(f.category for f in FIGURES):
            mine = [f for f in FIGURES if f.category == category]
            there = [f for f in mine if not charts.empty(f.name)]
            lacking = [f for f in mine if f not in there]
            html.append(f'<h3 id="figures-{esc(category.lower().replace(" ", "-"))}">{esc(category)}</h3>')
            html.append(fold(plural(len(there), "figure"), "".join(charts.html(f.name) for f in there)))
            html.append(charts.without_data([f.name for f in lacking]))
        return Html("".join(html))

    def models(self) -> Html:
        """A card per model."""
        return Html(fold("All cards", gallery.cards(self.tables, self.style)))

    def samples(self) -> Html:
        """Generated text side by side, and single texts with every model's answer."""
        return Html(fold("All samples", gallery.samples(self.tables, self.style)))

    def checkpoints(self) -> Html:
        """Evaluations of published checkpoints, where there are any; nothing otherwise."""
        return Html(checkpoints.section(self.tables))

    def comparison(self) -> Html:
        """This run beside another one, where one was named; nothing otherwise."""
        return Html(comparing.section(self.tables))

    def holes(self) -> Html:
        """What failed, diverged or is missing."""
        return Html(fold("All of it", provenance.holes(self.tables, self.figures)))

    def provenance(self) -> Html:
        """Where everything comes from, what the jobs took, and all tables to save."""
        names = [*COLUMNS, *(n for n in self.tables.more if n not in COLUMNS), *DIGESTS]
        there = [n for n in dict.fromkeys(names) if (self.tables_folder / f"{n}.csv").is_file()]
        links = " ".join(self.downloads.link(self.tables_folder / f"{n}.csv", f"{n}.csv") for n in there)
        return Html(
            f'{provenance.origin(self.tables)}<h3 id="settings">Configuration</h3>'
            f'{provenance.settings(self.tables, self.config)}<h3 id="jobs">Jobs</h3>'
            f'{provenance.jobs(self.tables, self.edges)}<p class="downloads">Save the tables: {links}</p>'
            f'<script type="application/json" id="looks">{in_script(looks(self.style, self.tables))}</script>'
        )
