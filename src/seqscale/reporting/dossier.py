"""The evidence for each claim, on its own anchor: verdicts with their reasons, numbers, figure, protocol, command."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from seqscale.reporting.catalog import claim_figure
from seqscale.reporting.claims import UNTESTED, wholes
from seqscale.reporting.html import MISSING, Cell, data, esc, fold, number, plural, table
from seqscale.reporting.scale import measured_at
from seqscale.reporting.source import Tables, records
from seqscale.reporting.style import Style
from seqscale.reporting.words import PROTOCOLS, anchor, chip, copyable, figure, measured, one

NAMES = {"published": "As published", "fair": "Fair protocol"}


def dossiers(verdicts: pd.DataFrame, tables: Tables, style: Style, chart: Callable[[str], str]) -> str:
    """All claims by source. `chart` gives the figure called by name as HTML, empty where it shows nothing."""
    if verdicts.empty:
        return '<p class="hole">The verdicts table is empty: there is no claim to give evidence for.</p>'
    told = {str(r["source"]): r for r in records(tables.table("sources", "source id title kind protocol defects"))}
    claims = {
        str(r["claim"]): r
        for r in records(tables.table("claims", "claim figure corpus command configuration scale", "runs benchmarks"))
    }
    html = []
    for i, (source, group) in enumerate(verdicts.groupby("source", sort=False)):
        html.append(f'<h3 id="evidence-{i}">{esc(source)}</h3>{_source(told.get(str(source)))}')
        for claim, rows in group.groupby("claim", sort=False):
            html.append(_claim(str(claim), rows, claims.get(str(claim), {}), style, chart, tables))
    return "".join(html)


def _source(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    kind = f"<p class=note>{esc(row['kind'])}</p>" if row["kind"] else ""
    protocol = f"<p><strong>Their protocol.</strong> {esc(row['protocol'])}</p>" if row["protocol"] else ""
    defects = f"<p><strong>Known defects of the original.</strong> {esc(row['defects'])}</p>" if row["defects"] else ""
    return kind + protocol + defects


def _claim(
    claim: str, rows: pd.DataFrame, about: dict[str, Any], style: Style, chart: Callable[[str], str], tables: Tables
) -> str:  # fmt: skip
    first = records(rows)[0]
    untested = bool((rows["verdict"] == UNTESTED).all())
    printed = about.get("figure") or first["published"]
    judged = "".join(
        _judged(one(rows[rows["part"] == ""], p), rows, p, style, tables)
        for p in NAMES
        if (rows["protocol"] == p).any()
    )
    picture = "" if untested else chart(claim_figure(claim))
    corpus = f' <span class="muted">({esc(about["corpus"])})</span>' if about.get("corpus") else ""
    body = (
        f"<p><strong>Published:</strong> {figure(printed, '')}{corpus}</p>{_printed_at(about)}"
        f'<div class="judgements">{judged}</div>{picture}{"" if untested else _numbers(claim, rows, style)}'
        f"{_rerun(about)}"
    )
    return (
        f'<article class="dossier{" idle" if untested else ""}" id="{anchor(claim)}">'
        f'<h4><span class="claim">{esc(claim)}</span> {esc(first["title"] or "")}</h4>'
        f"{fold(f'Evidence<span class=chips>{_chips(rows, style)}</span>', body, not untested)}</article>"
    )


def _chips(rows: pd.DataFrame, style: Style) -> str:
    """The verdicts of a claim in a line, for when its evidence is folded away."""
    return "".join(
        f'<span class="of">{NAMES.get(str(r["protocol"]), "")}</span>{chip(r["verdict"] or UNTESTED, style)}'
        for r in records(wholes(rows))
    )


def _printed_at(about: dict[str, Any]) -> str:
    """How large what was published was, as far as the source says."""
    size = about.get("scale")
    return f'<p class="sizes"><strong>Published at:</strong> {esc(size)}.</p>' if size and size == size else ""


def _judged(whole: dict[str, Any] | None, rows: pd.DataFrame, protocol: str, style: Style, tables: Tables) -> str:
    mine = rows[rows["protocol"] == protocol]
    here = measured_at(records(mine), tables)
    sizes = f'<p class="sizes"><strong>Measured on</strong> {here}.</p>' if here else ""
    if whole is None:
        told = "".join(
            f'{chip(r["verdict"] or UNTESTED, style)}<p class="reason">{esc(r["part"])}: {esc(r["reason"])}</p>'
            for r in records(mine)
        )
        return f"<div><h5>{NAMES[protocol]}</h5>{told}{sizes}</div>"
    reason = f'<p class="reason">{esc(whole["reason"])}</p>' if whole["reason"] else ""
    return (
        f"<div><h5>{NAMES[protocol]}</h5>{chip(whole['verdict'] or UNTESTED, style)}<p>{measured(whole)}</p>{reason}"
        f"{_basis(whole)}{sizes}</div>"
    )


def _basis(row: dict[str, Any]) -> str:
    """What a number was asked to be, how many values it rests on, and which data."""
    if row["measured"] is None or row["measured"] != row["measured"]:
        return ""
    told = [f"asked for: {esc(row['expected'])}"] if row.get("expected") else []
    told += [f"margin {data(row['margin'], format(row['margin'], '.2g'))}"] if row["margin"] == row["margin"] else []
    told += [f"n = {number(row['n'], 1)}"] if row["n"] == row["n"] else []
    told += [esc(row["data"])] if row["data"] else []
    told += [f"tolerance: {esc(row['because'])}"] if row.get("because") else []
    return f'<span class="basis">{"; ".join(told)}</span>'


def _numbers(claim: str, rows: pd.DataFrame, style: Style) -> str:
    """A row for every part of the claim: figures, interval, what it rests on, why. A single part is told above."""
    shown = rows[rows["part"] != ""]
    if shown.empty:
        return ""
    body: list[list[Cell | str]] = [
        [f'{esc(r["part"])} <span class="muted">{PROTOCOLS.get(r["protocol"], "")}</span>',
         Cell(chip(r["verdict"] or UNTESTED, style)), Cell(figure(r["published"], "")),
         Cell(measured(r) or MISSING), Cell(f'<span class="reason">{esc(r["reason"])}</span>{_basis(r)}')]
        for r in records(shown)
    ]  # fmt: skip
    header = ["Part", "Verdict", "Published", "Measured, with its interval (95 % or p20–p80)", "Why, and on what"]
    return (
        f"<details{' open' if len(body) <= 4 else ''}><summary>The {len(body)} parts of {esc(claim)}</summary>"
        + table(
            f"Parts of {esc(claim)}; n counts seeds, repeats of a timing, or lengths of a fitted curve",
            header,
            body,
            "numbers stack",
        )
        + "</details>"
    )


def _rerun(about: dict[str, Any]) -> str:
    if not about.get("command"):
        return '<p class="note">No configuration that is shipped runs this claim yet.</p>' if about else ""
    runs, benches = (int(about[k]) if about[k] == about[k] else 0 for k in ("runs", "benchmarks"))
    what = f"this configuration does not run it; {about['configuration']} does"
    if runs + benches:
        counted = [plural(n, word) for n, word in ((runs, "run"), (benches, "benchmark")) if n]
        what = f"{' and '.join(counted)} of this configuration"
    elif "--forcerun analyse" in about["command"]:
        what = "all analyses of this configuration"
    return f'<p class="note">Rerun just this ({esc(what)}):</p>{copyable(str(about["command"]))}'
