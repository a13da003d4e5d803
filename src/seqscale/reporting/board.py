"""The verdict board: one row per claim, to be sorted and filtered, each with a link to its evidence."""

from typing import Any

import pandas as pd

from seqscale.reporting.claims import UNTESTED, wholes
from seqscale.reporting.html import Cell, esc
from seqscale.reporting.source import Tables, records
from seqscale.reporting.style import VERDICTS, Style
from seqscale.reporting.words import anchor, chip, figure, measured

HEADER = ["Claim", "Published", "As published, here", "Fair protocol, here", "Evidence"]
RANK = {kind: rank for rank, kind in enumerate(VERDICTS)}


def _verdict(rows: list[dict[str, Any]], style: Style) -> Cell:
    """The verdict of one protocol; of each part, where the table has no row for the whole."""
    if not rows:
        return Cell('<span class="muted" data-rank="9">no such test</span>', "judged none")
    rank = max(RANK.get(r["verdict"] or UNTESTED, 8) for r in rows)
    told = [
        chip(r["verdict"] or UNTESTED, style)
        + measured(r)
        + (f' <span class="what">{esc(r["part"])}</span>' if r["part"] else "")
        for r in rows
    ]
    return Cell(f'<div data-rank="{rank}">{"".join(told)}</div>', "judged")


def _only(fair: set[str | None]) -> str:
    """What became of a claim that holds as published, under the fair protocol: refuted, or no more than not known."""
    if fair == {"not reproduced"}:
        return "holds only under its own protocol"
    told = " and ".join(kind for kind in VERDICTS if kind in {v or UNTESTED for v in fair})
    return f"under the fair protocol: {told}"


def _filters(verdicts: pd.DataFrame, style: Style) -> str:
    """Search, source and verdicts; shown by the page's script, which alone can use them."""
    sources = "".join(f"<option>{esc(s)}</option>" for s in verdicts["source"].dropna().unique())
    kinds = "".join(
        f'<button type="button" class="toggle" aria-pressed="false" data-verdict="{kind}">{chip(kind, style)}</button>'
        for kind in VERDICTS
    )
    return (
        '<form class="filters" hidden aria-label="Filter the claims">'
        '<label>Search <input type="search" name="words" autocomplete="off"></label>'
        f'<label>Source <select name="source"><option value="">all</option>{sources}</select></label>'
        f"<fieldset><legend>Verdict under either protocol</legend>{kinds}</fieldset>"
        '<p class="shown" role="status" aria-live="polite"></p></form>'
    )


def board(verdicts: pd.DataFrame, tables: Tables, style: Style) -> str:
    """All claims in one table; parts and reasons stand with the evidence."""
    if verdicts.empty:
        return '<p class="hole">The verdicts table is empty: no claim was judged.</p>'
    whole = wholes(verdicts)
    rows = []
    printed = tables.table("claims", "claim figure").set_index("claim")["figure"].to_dict()
    for claim, group in whole.groupby("claim", sort=False):
        published, fair = (records(group[group["protocol"] == p]) for p in ("published", "fair"))
        first = records(group)[0]
        own, ours = ({r["verdict"] for r in rows_of} for rows_of in (published, fair))
        kinds = " ".join(f"[{v}]" for v in sorted({v for v in own | ours if v}))
        name = (
            f'<a class="claim" href="#{anchor(claim)}">{esc(claim)}</a>'
            f'<span class="what">{esc(first.get("title") or "")}</span>'
        )
        if own == {"reproduced"} and ours and "reproduced" not in ours:
            name += f'<span class="only">{esc(_only(ours))}</span>'
        link = f'<a href="#{anchor(claim)}" aria-label="Evidence for {esc(claim)}">evidence</a>'
        text = printed.get(claim) or first.get("published")
        cells = [figure(text, first.get("unit") if text != printed.get(claim) else ""), _verdict(published, style),
                 _verdict(fair, style), link]  # fmt: skip
        rows.append((esc(first.get("source") or ""), kinds, name, cells))
    head = "".join(
        f'<th scope="col"{" class=sortable" if k != 4 else ""}>{title}</th>' for k, title in enumerate(HEADER)
    )
    body = "".join(_row(*row) for row in rows)
    return (
        f'{_filters(verdicts, style)}<div class="scroll" role="region" tabindex="0" aria-label="Verdict board">'
        f'<table class="board stack" id="board"><caption>Every claim: what was published, and what came of it here '
        f'under two protocols (<a href="#rules">how a verdict is given</a>)</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(source: str, kinds: str, name: str, cells: list[Any]) -> str:
    made = [cell if isinstance(cell, Cell) else Cell(cell) for cell in cells]
    tds = "".join(
        f'<td class="{c.kind}" data-label="{title}">{c.html}</td>' for c, title in zip(made, HEADER[1:], strict=True)
    )
    return f'<tr data-source="{source}" data-kinds="{esc(kinds)}"><th scope="row">{name}</th>{tds}</tr>'
