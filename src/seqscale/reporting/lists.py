"""The two lists of one size: where Mamba is ahead of the Transformers and where it is behind (table contests)."""

import math
from typing import Any

from seqscale.reporting.contests import AHEAD, BEHIND, OPEN, SPENT, SUBJECT
from seqscale.reporting.html import data, esc, number, si
from seqscale.reporting.source import Tables, records


def _interval(r: dict[str, Any], ends: tuple[str, str]) -> str:
    if not math.isfinite(r["ci_low"]):
        return "one seed: no interval"
    seeds = f", {number(r['seeds'], 1)} seeds" if r["seeds"] == r["seeds"] else ""
    return f"95 % interval {ends[0]} to {ends[1]}{seeds}"


def _detail(r: dict[str, Any], tables: Tables) -> str:
    """The numbers of one pair as a line."""
    other, subject = (esc(tables.model_title(str(r[k]))) for k in ("other", "subject"))
    against = f"against {other}" if r["subject"] == SUBJECT else f"{subject} against {other}"
    if math.isfinite(r["difference"]):
        scale, places, unit = (
            (100, 1, " percentage points") if r["kind"] == "test_accuracy" else (1, 3, " nats per token")
        )
        shown = {k: data(r[k], f"{r[k] * scale:+.{places}f}") for k in ("difference", "ci_low", "ci_high")
                 if math.isfinite(r[k])}  # fmt: skip
        ends = shown.get("ci_low", ""), shown.get("ci_high", "")
        return f"{against}: {shown['difference']}{unit} ({_interval(r, ends)})"
    unit = str(r["unit"] or "")
    pair = f"{si(r['mine'], unit)} and {si(r['theirs'], unit)}"
    times = ""
    if math.isfinite(r["ratio"]) and f"{r['ratio']:.3g}" != "1":
        times = f", {number(r['ratio'], 3)} times {'less' if r['mine'] < r['theirs'] else 'more'}"
    spread = ""
    if r["kind"] in SPENT and r["ci_low"] != r["ci_high"]:
        ends = (number(r["ci_low"], 3), number(r["ci_high"], 3))
        spread = f" (ratio to it: {_interval(r, ends)})" if math.isfinite(r["ci_low"]) else f" ({_interval(r, ends)})"
    caution = f"; {esc(r['caution'])}" if r["caution"] else ""
    return f"{against}: {pair}{times}{spread}{caution}"


def ahead_and_behind(tables: Tables) -> str:
    """A quantity stands where the strongest forms of both sides put it; the other pairs are told below."""
    frame = tables.table("contests", "what kind subject other outcome unit caution",
                         "difference ci_low ci_high seeds length mine theirs ratio", "strongest")  # fmt: skip
    title = esc(tables.model_title(SUBJECT))
    if frame.empty:
        return f'<p class="hole">The tables hold nothing in which {title} and a Transformer were both measured.</p>'
    rows = records(frame)

    def item(row: dict[str, Any]) -> str:
        pairs = sorted((r for r in rows if r["what"] == row["what"]), key=lambda r: not r["strongest"])
        told = "".join(
            f'<span class="what">{_detail(r, tables)}'
            + ("" if r["outcome"] == row["outcome"] else f": <strong>{esc(r['outcome'])}</strong>")
            + "</span>"
            for r in pairs
        )
        return f"<li><strong>{esc(row['what'])}</strong>{told}</li>"

    def column(outcome: str, name: str, heading: str) -> str:
        mine = [r for r in rows if r["outcome"] == outcome and r["strongest"]]
        items = "".join(item(r) for r in mine)
        return (
            f'<div class="column"><h3 id="contest-{name}">{heading} <span class="count">({len(mine)})</span></h3>'
            f"<ul>{items or '<li>nothing</li>'}</ul></div>"
        )

    open_too = any(r["outcome"] == OPEN and r["strongest"] for r in rows)
    return (
        '<div class="columns">'
        + column(AHEAD, "ahead", f"{title} is ahead")
        + column(BEHIND, "behind", f"{title} is behind")
        + "</div>"
        + (column(OPEN, "open", "Not separated") if open_too else "")
    )
