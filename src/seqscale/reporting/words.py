"""Verdicts in words and shapes: what the board, the top of the page and the evidence share."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from seqscale.reporting.claims import UNTESTED
from seqscale.reporting.html import MISSING, data, esc, number
from seqscale.reporting.style import VERDICTS, Style
from seqscale.reporting.svg import shape, tone_variables

PROTOCOLS = {"published": "as published", "fair": "fair protocol"}


def anchor(claim: object) -> str:
    """The id of a claim's evidence on the page."""
    return f"claim-{esc(claim)}"


def chip(verdict: str, style: Style) -> str:
    """A verdict as word, shape and colour."""
    key = verdict if verdict in VERDICTS else UNTESTED
    word = shape(style.shapes[key]) + esc(verdict)
    return f'<span class="chip" style="{tone_variables(style.verdicts[key])}">{word}</span>'


def figure(text: object, unit: object) -> str:
    """A published or measured figure: numbers rounded for reading, everything else as it stands."""
    if text is None or text != text:
        return MISSING
    try:
        value = float(str(text))
    except ValueError:
        return esc(text)
    shown = data(value, esc(text)) if len(str(text).lstrip("-").replace(".", "")) <= 5 else number(value)
    return shown + (f' <span class="unit">{esc(unit)}</span>' if unit else "")


BAND, SEEDS, COUNTED = "p20–p80", "95 %", "counted"  # what the two ends of an interval are; the page's legend says more
LONG = {BAND: "20th to 80th percentile", SEEDS: "95 % interval", COUNTED: "counted, no spread"}


def spread_words(row: Mapping[str, Any]) -> str:
    """What the interval of a verdict is, from its method: of seeds or a fit, of repeated timings, or nothing at all."""
    method = str(row.get("method") or "")
    if row["ci_low"] == row["ci_high"]:
        return COUNTED if method.startswith(("20th", "all values", "least")) else ""
    if method.startswith("20th"):
        return BAND
    return SEEDS if method else ""


def measured(row: dict[str, Any]) -> str:
    """ "1.144 times [1.144, 1.144]", or nothing where nothing was measured."""
    if row["measured"] is None or row["measured"] != row["measured"]:
        return ""
    text = figure(row["measured"], row["unit"])
    if row["ci_low"] == row["ci_low"]:
        kind = spread_words(row)
        ends = "" if kind == COUNTED else f"[{number(row['ci_low'])}, {number(row['ci_high'])}] "
        text += f' <span class="ci">{ends}{kind}</span>'
    return f'<span class="measured">{text}</span>'


def one(part: pd.DataFrame, protocol: str) -> dict[str, Any] | None:
    """The row of a protocol; None where there is none."""
    found = part[part["protocol"] == protocol]
    return {str(k): v for k, v in found.iloc[0].items()} if len(found) else None


def copyable(line: str) -> str:
    """A command with a button that copies it (the button is of use only to scripts and appears with them)."""
    return (
        f'<div class="command"><pre tabindex="0" aria-label="command"><code>{esc(line)}</code></pre>'
        '<button type="button" class="copy" hidden>Copy</button></div>'
    )
