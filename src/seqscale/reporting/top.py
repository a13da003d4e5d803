"""The top of the page: the result in a sentence for each source, and the three things that readers ask first."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from seqscale.reporting.claims import UNTESTED, counts, wholes
from seqscale.reporting.crossovers import ALWAYS, CROSSES, FEW, LOSES, answers
from seqscale.reporting.html import esc, length, listed, number, plural
from seqscale.reporting.origins import GRAVE, KINDS, UNLISTED
from seqscale.reporting.source import Tables, records
from seqscale.reporting.style import VERDICTS, Style
from seqscale.reporting.svg import shape, tone_variables
from seqscale.reporting.words import PROTOCOLS, anchor, copyable

ASKED = ("prefill", "train_step", "decode", "memory")  # the crossovers that the top tells; the table has all


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


def _linked(part: pd.DataFrame) -> str:
    names = [f'<a href="#{anchor(r["claim"])}">{esc(r["title"] or r["claim"])}</a>' for r in records(part)]
    return "; ".join(names)


def source_sentence(verdicts: pd.DataFrame) -> str:
    """What came of one source's claims, the fair protocol first, with links to what held and what did not."""
    whole = wholes(verdicts).drop_duplicates(["claim", "protocol"])
    words = []
    for protocol, name in (("fair", "Under the fair protocol"), ("published", "as published")):
        part = whole[whole["protocol"] == protocol]
        numbers = {kind: part[part["verdict"] == kind] for kind in VERDICTS}
        tested = len(part) - len(numbers[UNTESTED])
        if not len(part):
            continue
        if not tested:
            words.append(f"{name} none of {plural(len(part), 'claim')} was tested")
            continue
        told = [f"{len(rows)} {kind} ({_linked(rows)})" for kind, rows in numbers.items()
                if len(rows) and kind != UNTESTED]  # fmt: skip
        left = f", {len(numbers[UNTESTED])} not tested" if len(numbers[UNTESTED]) else ""
        words.append(f"{name}, of {plural(len(part), 'claim')}: {listed(told)}{left}")
    text = "; ".join(words)
    return text[:1].upper() + text[1:] + "."


def _held(rows: pd.DataFrame) -> str:
    """The claims that got one verdict, each once, by id, title and the protocols that gave it, with links."""
    items = []
    for claim, mine in rows.groupby("claim", sort=False):
        protocols = listed([PROTOCOLS.get(p, p) for p in dict.fromkeys(mine["protocol"])])
        title = mine["title"].iloc[0] or claim
        items.append(
            f'<li><a href="#{anchor(claim)}"><span class="claim">{esc(claim)}</span> <span class="told">{esc(title)}'
            f"</span></a> <span class=told>({esc(protocols)})</span></li>"
        )
    return f"<ul>{''.join(items)}</ul>" if items else '<p class="none">none</p>'


def what_held(verdicts: pd.DataFrame, style: Style) -> str:
    """What held and what did not, all verdicts in one size: the count of each and its claims by name.

    Claims that nothing here could test are counted; the board lists them.
    """
    whole, found = wholes(verdicts), counts(verdicts)
    tiles = []
    for kind, n in found.items():
        claims = '<p class="none"><a href="#verdicts">on the board</a></p>' if n else '<p class="none">none</p>'
        if kind != UNTESTED:
            claims = _held(whole[whole["verdict"] == kind])
        tiles.append(
            f'<li style="{tone_variables(style.verdicts[kind])}">{shape(style.shapes[kind])}'
            f"<strong>{n}</strong> <em>{kind}</em>{claims}</li>"
        )
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def by_source(verdicts: pd.DataFrame) -> str:
    """One sentence for each source."""
    sources = "".join(
        f"<li><strong>{esc(source)}.</strong> {source_sentence(part)}</li>"
        for source, part in verdicts.groupby("source", sort=False)
    )
    return f'<ul class="sources">{sources}</ul>'


def partial(tables: Tables, lacking: Sequence[str] = ()) -> str:
    """A box that says what is not there, where something is not; nothing in a whole report.

    `lacking`: files that the report itself did not find.
    """
    frame = tables.table("missing", "kind what reason")
    told = [_not_there(tables, frame[frame["kind"] == kind], kind) for kind in GRAVE if (frame["kind"] == kind).any()]
    told += [f"not there: {', '.join(lacking)}"] if lacking else []
    if not told:
        return ""
    return (
        '<div class="partial" role="note"><strong>This report is partial.</strong> '
        f'{"; ".join(esc(t) for t in told)}. <a href="#holes">What is missing, one by one</a>. Verdicts rest on '
        "what is there; what needs the missing parts is “not tested” or “inconclusive”.</div>"
    )


def _not_there(tables: Tables, rows: pd.DataFrame, kind: str) -> str:
    """How much of a kind is not there, "555 of 795 runs are not there", and of how many where that is known."""
    many = {"run": ("run", ["experiment", "model", "seed"]), "bench": ("benchmark", ["suite", "model"])}
    if kind not in many:
        words = KINDS[kind].split(":")[0]
        return f"{len(rows)} × {words[:1].lower()}{words[1:]}"
    word, key = many[kind]
    listed = len((tables.runs if kind == "run" else tables.bench)[key].drop_duplicates())
    total = listed + int((rows["reason"] == UNLISTED[kind]).sum())
    return f"{len(rows)} of {plural(total, word)} {'is' if len(rows) == 1 else 'are'} not there"


def failed(verdicts: pd.DataFrame) -> str:
    """Every claim that was not reproduced, with the reason of each part that fell."""
    whole = wholes(verdicts)
    lost = whole[whole["verdict"] == "not reproduced"]
    if lost.empty:
        return "<p>None of the claims that were tested was refuted.</p>"
    items = []
    for row in records(lost):
        parts = verdicts[
            (verdicts["claim"] == row["claim"]) & (verdicts["protocol"] == row["protocol"])
            & (verdicts["verdict"] == "not reproduced") & (verdicts["part"] != "")
        ]  # fmt: skip
        if row["part"] or parts.empty:
            why = f'<span class="why">{esc(row["reason"])}</span>'
        else:
            why = "".join(
                f'<span class="why"><em>{esc(p["part"])}</em>: {esc(p["reason"])}</span>' for p in records(parts)
            )
        items.append(
            f'<li><a href="#{anchor(row["claim"])}"><strong>{esc(row["claim"])}</strong> {esc(row["title"])}</a> '
            f"({PROTOCOLS.get(row['protocol'], row['protocol'])}){why}</li>"
        )
    return f'<ul class="failed">{"".join(items)}</ul>'


def crossing_words(row: Mapping[str, Any]) -> str:
    """From which length, as a clause: "from 1,200 tokens", or why there is none."""
    if row["status"] == CROSSES:
        low, high = row["ci_low"], row["ci_high"]  # empty: beyond the lengths measured
        first = f"at the earliest {length(low)}" if low == low else f"below {length(row['length_min'])} at the earliest"
        last = f"at the latest {length(high)}" if high == high else f"beyond {length(row['length_max'])} at the latest"
        spread = "" if low == high else f"{first}, {last}"
        return f"from <strong>{length(row['length'])} tokens</strong>" + (f" ({spread})" if spread else "")
    if row["status"] == ALWAYS:
        ends = [length(row[key]) for key in ("length_min", "length_max")]
        return f"at <strong>every length</strong> measured ({' to '.join(ends)} tokens)"
    if row["status"] == LOSES:
        return (
            f"<strong>only up to {length(row['length'])} tokens</strong>; at {length(row['length_max'])}, the longest "
            f"measured, it needs {number(row['ratio_longest'], 3)} times as much"
        )
    if row["status"] == FEW:
        return "<strong>unknown</strong>: too few lengths that both could run"
    full = row["other_out_of_memory_at"]
    oom = f"; attention ran out of memory at {length(full)}" if full == full else ""
    return (
        f"<strong>not up to {length(row['length_max'])} tokens</strong> (the longest measured; there Mamba needs "
        f"{number(row['ratio_longest'], 3)} times as much{oom})"
    )


def crossings(tables: Tables) -> str:
    """Where Mamba overtakes attention, one line for each cost, every pair with its size."""
    frame = tables.table(
        "crossovers", "suite kind size what device subject model status unit",
        "batch length ci_low ci_high length_min length_max ratio_longest other_out_of_memory_at",
    )  # fmt: skip
    sizes = frame["size"].fillna("")
    kind = frame["kind"].fillna(frame["suite"])
    named = "_" + sizes.str.lower()  # the suite of a size is called prefill_130m, and its Mamba mamba_130m
    plain = (frame["subject"] == "mamba") & (frame["suite"] == kind)
    sized = (frame["subject"] == "mamba" + named) & (frame["suite"] == kind + named)
    frame = frame[(plain | sized) & kind.isin(ASKED)]
    if frame.empty:
        return "<p>Mamba and an attention model were not measured at the same lengths here.</p>"
    items: dict[tuple[str, str, float], list[str]] = {}
    for row in answers(frame):
        what = str(row["what"]).removesuffix(f" ({row['suite']})")
        size = esc(row["size"] or "")
        name = esc(tables.model_title(str(row["model"]))).replace(f", {size} shape", "")
        told = f"than {name}{f' ({size})' if size else ''}: {crossing_words(row)}"
        items.setdefault((what, str(row["device"]), float(row["batch"])), []).append(told)
    several = len({key[2] for key in items}) > 1
    lines = [
        f"<li><strong>{esc(what[:1].upper() + what[1:])}</strong> ({esc(device)}"
        f"{f', batch {number(batch, 1)}' if several else ''}): cheaper {'; '.join(told)}.</li>"
        for (what, device, batch), told in items.items()
    ]
    return f"<ul>{''.join(lines)}</ul>"


def answers_box(tables: Tables, verdicts: pd.DataFrame, machine: str) -> str:
    """The three questions with their answers, each linked to where more is told."""
    claims = tables.table("claims", "claim command")
    able = claims[claims["command"].fillna("") != ""]
    tested = able[able["claim"].isin(verdicts.loc[verdicts["verdict"] != UNTESTED, "claim"])]
    example = records(tested if len(tested) else able)[:1]
    rerun = (
        f"<p>Each claim’s evidence ends with its command; it reruns what that claim rests on and nothing else. "
        f"For {esc(example[0]['claim'])}:</p>{copyable(str(example[0]['command']))}"
        if example
        else "<p>No command is known: the table of claims is not there.</p>"
    )
    where = f" ({esc(machine)})" if machine else ""
    return (
        '<div class="answers">'
        f'<section aria-labelledby="answer-failed"><h3 id="answer-failed">Which claims failed, and why?</h3>'
        f"{failed(verdicts)}</section>"
        f'<section aria-labelledby="answer-length"><h3 id="answer-length">From what length is Mamba cheaper than '
        f"attention?</h3><p>On the machine of this run{where}:</p>{crossings(tables)}"
        '<p><a href="#crossovers-table">All costs and models</a></p></section>'
        f'<section aria-labelledby="answer-rerun"><h3 id="answer-rerun">How do I rerun one claim?</h3>{rerun}</section>'
        "</div>"
    )
