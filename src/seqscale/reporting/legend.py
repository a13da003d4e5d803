"""The rules by which verdicts are given, as a short legend beside the board: every chip on the page leads there."""

from seqscale.reporting.html import data, esc, number
from seqscale.reporting.source import Tables, records
from seqscale.reporting.style import Style
from seqscale.reporting.words import chip

ID = "rules"
RULES = {
    "reproduced": "the whole interval lies where the claim asks it to, and clear of the line by the margin",
    "not reproduced": "the whole interval lies on the other side, and clear of the line by the margin",
    "inconclusive": "the interval straddles the line; or lies closer to it than the margin; or the measurement cannot "
    "bear it: one seed, a run that diverged, lengths too short, models too small, a disturbed timing, a model without "
    "a fused kernel",
    "not tested": "these runs hold nothing that could bear the claim; the reason says what is missing",
}
WORDS = {"time": "times", "mean_time": "mean times", "time_per_token": "times per token", "peak_memory": "peak memory",
         "error": "errors of analyses", "exponent": "exponents of length", "score": "log odds"}  # fmt: skip


def _margins(tables: Tables) -> str:
    frame = tables.table("margins", "what kind", "margin")
    if frame.empty:
        return ""
    told: dict[tuple[str, float], list[str]] = {}
    for r in records(frame):
        name = WORDS.get(str(r["what"]), str(r["what"]).replace("_", " "))
        told.setdefault((str(r["kind"]), float(r["margin"])), []).append(name)
    items = [
        (data(margin, f"{margin * 100:g} %") + " of the line" if kind == "share" else number(margin, 1))
        + f" for {esc(', '.join(names))}"
        for (kind, margin), names in told.items()
    ]
    return (
        "<p><strong>Margins.</strong> What is closer to the line than this decides nothing, however narrow its "
        f"interval: {'; '.join(items)}. A claim “near” a figure has its own tolerance, so there the margin is asked of "
        "a refutation alone. What is counted (state, FLOPs) has none.</p>"
    )


def legend(tables: Tables, style: Style) -> str:
    """What the four words mean, what the intervals are, and the margins."""
    rules = "".join(f"<dt>{chip(kind, style)}</dt><dd>{text}.</dd>" for kind, text in RULES.items())
    return (
        f'<section class="rules" id="{ID}" aria-labelledby="rules-title">'
        '<h3 id="rules-title">How a verdict is given</h3>'
        f"<dl>{rules}</dl><p><strong>Intervals.</strong> “95 %” is an interval over seeds, or of a fitted exponent; "
        "“p20–p80” is the range of repeated timings from their 20th to their 80th percentile (of a ratio, the worst "
        "case of both); what is counted has none. Where a claim has parts, all must hold: one that is refuted refutes "
        "it, one that is inconclusive or not tested leaves it open.</p>"
        f"{_margins(tables)}</section>"
    )
