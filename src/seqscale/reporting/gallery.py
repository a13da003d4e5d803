"""The models as cards, and what they write: samples of text side by side, single texts with each model's answer."""

from typing import Any

import pandas as pd

from seqscale.reporting.cards import words_file
from seqscale.reporting.charts import rst
from seqscale.reporting.diagram import block
from seqscale.reporting.html import Cell, data, esc, esc_none, length, share, si, table
from seqscale.reporting.source import Tables, records
from seqscale.reporting.style import Style
from seqscale.reporting.summaries import summary
from seqscale.reporting.svg import marker

NUMBERS = ("d_model n_layers params params_nonembedding forward_flops_per_token state_bytes_short state_length_short "
           "state_bytes_long state_length_long")  # fmt: skip


def cards(tables: Tables, style: Style) -> str:
    """A card per model: its numbers, its block as a diagram, its equations and where it comes from."""
    frame = tables.table("cards", "model title note mixer channel_mixer norm positions experiment", NUMBERS)
    if frame.empty:
        return '<p class="hole">No model is in the tables.</p>'
    return f'<div class="cards">{"".join(_card(r, tables, style) for r in records(frame))}</div>'


def _card(row: dict[str, Any], tables: Tables, style: Style) -> str:
    name = str(row["model"])
    facts: list[tuple[str, str]] = []
    if row["params"] == row["params"]:
        inner = row["params_nonembedding"]
        apart = f" ({data(inner, f'{inner:,.0f}')} without embeddings)" if inner == inner else ""
        facts.append(("Parameters", data(row["params"], f"{row['params']:,.0f}") + apart))
    if row["forward_flops_per_token"] == row["forward_flops_per_token"]:
        where = f" ({esc(tables.experiment_title(str(row['experiment'])))})" if row["experiment"] else ""
        facts.append(("FLOPs per token, forward", si(row["forward_flops_per_token"], "") + where))
    if row["state_bytes_short"] == row["state_bytes_short"]:
        short, long = row["state_bytes_short"], row["state_bytes_long"]
        told = f"{si(short, 'B')} after {length(row['state_length_short'])} tokens"
        if short == long:
            told = f"{si(short, 'B')} at any length measured"
        else:
            told += f", {si(long, 'B')} after {length(row['state_length_long'])}"
        facts.append(("State or cache", told))
    if row["d_model"] == row["d_model"]:
        depth = (
            f", {data(row['n_layers'], str(int(row['n_layers'])))} {'layer' if row['n_layers'] == 1 else 'layers'}"
            if row["n_layers"] == row["n_layers"]
            else ""
        )
        facts.append(("Size", f"width {data(row['d_model'], str(int(row['d_model'])))}{depth}"))
    listed = "".join(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in facts)
    path = words_file(row["mixer"])
    words = rst(path.read_text(encoding="utf-8")) if path else ""
    source = f"<p class=note>Code: <code>src/seqscale/mixers/{esc(row['mixer'])}.py</code></p>" if row["mixer"] else ""
    note = f"<p>{esc(row['note'])}</p>" if row["note"] else ""
    return (
        f'<article class="card" id="model-{esc(name)}" style="{_tone(style, name)}">'
        f"<h3>{marker(style.model(name))}{esc(row['title'] or name)}</h3>{note}"
        f"<dl>{listed or '<dt>Numbers</dt><dd>none in the tables of this run</dd>'}</dl>"
        f'<section class="equations" tabindex="0" aria-label="Equations of {esc(name)}">{words}</section>'
        f"{block(row)}{source}</article>"
    )


def _tone(style: Style, name: str) -> str:
    tone = style.model(name).tone
    return f"--light:{tone.light};--dark:{tone.dark}"


def texts(tables: Tables, style: Style) -> str:
    """Each text that classifiers were asked about, with every model's answer and confidence, a line per seed."""
    frame = tables.table("examples", "experiment model text truth answer", "seed confidence", "correct")
    if frame.empty:
        return ""
    html = []
    for experiment, here in frame.groupby("experiment", sort=False):
        models = list(dict.fromkeys(str(m) for m in here["model"]))
        rows: list[list[Cell | str]] = []
        for (text, truth), part in here.groupby(["text", "truth"], sort=False, dropna=False):
            cells: list[Cell | str] = [f'“{esc(text)}”<span class="what">truly {esc(truth)}</span>']
            for model in models:
                mine = part[part["model"] == model].sort_values("seed")
                cells.append(Cell("".join(_answer(r) for r in records(mine)) or "—"))
            rows.append(cells)
        header = ["Text", *(marker(style.model(m)) + esc(tables.model_title(m)) for m in models)]
        title = esc(tables.experiment_title(str(experiment)))
        html.append(
            f"<h3>{title}: single texts</h3>"
            + table(f"{title}: answer and confidence, a line per seed", header, rows, "stack answers-table")
        )
    return "".join(html)


def _answer(row: dict[str, Any]) -> str:
    sign = "✓" if row["correct"] else "✕"
    sure = f" {share(row['confidence'])}" if row["confidence"] == row["confidence"] else ""
    return f'<span class="answer">{sign} {esc(row["answer"])}{sure}</span>'


def samples(tables: Tables, style: Style) -> str:
    """Generated text of each model side by side, the first seed's, best model first; then classified texts."""
    html = []
    for experiment in dict.fromkeys(tables.samples["experiment"].dropna()):
        here = tables.samples[tables.samples["experiment"] == experiment].dropna(subset=["text"])
        ran = (tables.runs["experiment"] == experiment).any()
        order = summary(tables, str(experiment))["model"].tolist() if ran else []
        made = [
            _sample(here, m, tables, style) for m in [*order, *(m for m in here["model"].unique() if m not in order)]
        ]
        html.append(
            f'<h3 id="samples-{esc(experiment)}">{esc(tables.experiment_title(str(experiment)))}</h3>'
            f'<div class="samples">{"".join(made)}</div>'
        )
    html.append(texts(tables, style))
    return "".join(html) or '<p class="hole">No text was generated in these runs.</p>'


def _sample(here: pd.DataFrame, model: str, tables: Tables, style: Style) -> str:
    mine = here[here["model"] == model].sort_values("seed")
    if mine.empty:
        return ""
    row = mine.iloc[0]
    prompt, text = esc_none(row["prompt"]), str(row["text"])
    if prompt and text.startswith(prompt):
        text = text[len(prompt) :]
    return (
        f'<figure class="sample"><figcaption>{marker(style.model(model))}{esc(tables.model_title(model))}'
        f'<span class="seed">seed {row["seed"]:g}</span></figcaption>'
        f"<blockquote><b>{esc(prompt)}</b>{esc(text)}</blockquote></figure>"
    )
