"""The verdict board: what was published, what was measured, and what that says, all from the verdicts table."""

import pandas as pd

from seqscale.reporting.html import MISSING, Cell, esc, listed, number, plural, table
from seqscale.reporting.style import VERDICTS, Style
from seqscale.reporting.svg import shape, tone_variables

UNTESTED = "not tested"


def chip(verdict: str, style: Style) -> str:
    """A verdict as word, shape and colour."""
    key = verdict if verdict in VERDICTS else UNTESTED
    word = shape(style.shapes[key]) + esc(verdict)
    return f'<span class="chip" style="{tone_variables(style.verdicts[key])}">{word}</span>'


def wholes(verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row per claim and protocol: the row without a part, or, where there is none, the rows of the parts."""
    whole = verdicts["part"] == ""
    pair = [verdicts["claim"], verdicts["protocol"]]
    return verdicts[whole | ~whole.groupby(pair, sort=False).transform("any")]


def counts(verdicts: pd.DataFrame) -> dict[str, int]:
    """How many verdicts of each kind on whole claims, in the fixed order, zeros included."""
    found = wholes(verdicts)["verdict"].value_counts()
    return {kind: int(found.get(kind, 0)) for kind in VERDICTS}


def _said(numbers: dict[str, int]) -> str:
    parts = [f"{n} {kind}" for kind, n in numbers.items() if n]
    return listed(parts) if parts else "no verdict"


def sentence(verdicts: pd.DataFrame) -> str:
    """One sentence on all verdicts."""
    if verdicts.empty:
        return "No claim has been judged: the verdicts table is empty."
    numbers, judged = counts(verdicts), wholes(verdicts)
    claims = plural(verdicts["claim"].nunique(), "published claim")
    if numbers[UNTESTED] == len(judged):
        return f"None of {claims} was tested by these runs."
    return (
        f"{claims}, each under up to two protocols, give {plural(len(judged), 'verdict')}: "
        + listed([f"{n} {kind}" for kind, n in numbers.items()])
        + "."
    )


def summary(verdicts: pd.DataFrame, style: Style) -> str:
    """The four counts, all in one size, and one line for each source."""
    numbers = counts(verdicts)
    tiles = "".join(
        f'<li style="{tone_variables(style.verdicts[kind])}">{shape(style.shapes[kind])}'
        f"<strong>{n}</strong> {kind}</li>"
        for kind, n in numbers.items()
    )
    sources = "".join(
        f"<li><strong>{esc(source)}</strong>: {_said(counts(part))}.</li>"
        for source, part in verdicts.groupby("source", sort=False)
    )
    return f'<ul class="tiles">{tiles}</ul><ul class="sources">{sources}</ul>'


def _figure(text: object, unit: object) -> str:
    """A published or measured figure: numbers rounded for reading, everything else as it stands."""
    if text is None:
        return MISSING
    try:
        value = float(str(text))
    except ValueError:
        return esc(text)
    shown = esc(text) if len(str(text).lstrip("-").replace(".", "")) <= 5 else number(value)
    return shown + (f' <span class="unit">{esc(unit)}</span>' if unit else "")


def _judged(row: pd.Series | None, style: Style) -> Cell:
    """The cell of one protocol: verdict, measured with interval, what it rests on, why."""
    if row is None:
        return Cell('<span class="muted">no such test</span>', "judged none")
    parts = [chip(row["verdict"] or UNTESTED, style)]
    if row["measured"] is not None:
        interval = (
            f' <span class="ci">[{number(row["ci_low"])}, {number(row["ci_high"])}]</span>'
            if row["ci_low"] == row["ci_low"]
            else ""
        )
        parts.append(f'<span class="measured">{_figure(row["measured"], row["unit"])}{interval}</span>')
    basis = [esc(row["data"])] if row["data"] else []
    basis += [f"n = {row['n']:g}"] if row["n"] == row["n"] else []
    if basis and row["verdict"] != UNTESTED:
        parts.append(f'<span class="basis">{", ".join(basis)}</span>')
    if row["reason"]:
        parts.append(f'<span class="reason">{esc(row["reason"])}</span>')
    return Cell("".join(parts), "judged")


def _one(part: pd.DataFrame, protocol: str) -> pd.Series | None:
    found = part[part["protocol"] == protocol]
    return found.iloc[0] if len(found) else None


def _rows(verdicts: pd.DataFrame, style: Style) -> list[list[Cell | str]]:
    """A row for each claim and part; parts follow their claim, which is not named again."""
    rows: list[list[Cell | str]] = []
    heads = verdicts[verdicts["part"] == ""]
    whole_figure = dict(zip(heads["claim"], heads["published"], strict=True))
    for (claim, part), group in verdicts.groupby(["claim", "part"], sort=False):
        fair, published = _one(group, "fair"), _one(group, "published")
        first = group.iloc[0]
        below = part != "" and bool(((verdicts["claim"] == claim) & (verdicts["part"] == "")).any())
        name = f'<span class="claim">{esc(claim)}</span>' + (f' <span class="part">{esc(part)}</span>' if part else "")
        if below:
            name = f'<span class="sr">{esc(claim)}, </span>{esc(part)}'
        elif first["title"]:
            name += f'<span class="what">{esc(first["title"])}</span>'
        held = [row is not None and row["verdict"] == "reproduced" for row in (fair, published)]
        if held == [False, True]:
            name += '<span class="only">holds only under its own protocol</span>'
        figure = Cell(_figure(first["published"], first["unit"]), "published")
        if below and first["published"] == whole_figure.get(claim):
            figure = Cell('<span class="muted">as above</span>', "published")
        rows.append([Cell(name, "below" if below else ""), figure, _judged(fair, style), _judged(published, style)])
    return rows


def board(verdicts: pd.DataFrame, style: Style) -> str:
    """All claims by source: those of which anything was tested in full, the rest folded but counted."""
    if verdicts.empty:
        return '<p class="hole">The verdicts table is empty: no claim was judged.</p>'
    header = ["Claim", "Published", "Measured, fair protocol", "Measured, as published"]
    html = []
    for i, (source, group) in enumerate(verdicts.groupby("source", sort=False)):
        # Parts right after their claim, whatever the order of protocols in the table.
        order = {claim: k for k, claim in enumerate(dict.fromkeys(group["claim"]))}
        group = group.sort_values(
            ["claim", "part"], key=lambda c: c.map(order) if c.name == "claim" else c != "", kind="stable"
        )
        tested = group.groupby("claim")["verdict"].transform(lambda v: (v != UNTESTED).any()).astype(bool)
        html.append(f'<h3 id="verdicts-{i}">{esc(source)}</h3><p>{_said(counts(group))}.</p>')
        if tested.any():
            html.append(table(f"Tested claims of {esc(source)}", header, _rows(group[tested], style), "board stack"))
        left = wholes(group[~tested])
        if len(left):
            few = plural(left["claim"].nunique(), "claim")
            html.append(
                f"<details><summary>{few} not tested, with the reason for each</summary>"
                + table(f"Not tested: {esc(source)}", header, _rows(left, style), "board stack")
                + "</details>"
            )
    return "".join(html)
