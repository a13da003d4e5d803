"""Claims and tables -> one row per trial and one per claim -> verdicts.csv and verdicts.json.

A claim with several figures gives one row per figure (`part` names it) and one for the whole (`part` empty); a claim
with one figure gives just the latter. So the rows with an empty `part` are one per claim and protocol. `parts` is
their number in the row of a whole, and empty in a row that was measured. A part that no run could ever test (`untested`
in the claims file) is listed but does not keep the others from bearing the verdict on the whole.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from seqscale.claims.load import Claim, Claims, Trial
from seqscale.claims.measurement import Measurement
from seqscale.claims.measures import MEASURES
from seqscale.claims.predicate import (
    INCONCLUSIVE,
    NOT_REPRODUCED,
    NOT_TESTED,
    REPRODUCED,
    VERDICTS,
    Region,
    combine,
    number,
    verdict,
)
from seqscale.claims.select import Notes, Tables, Untestable, as_text
from seqscale.files import atomic_write, read_table, write_json
from seqscale.tables.columns import TABLES, as_table, with_types

LARGEST_FIXED_SHARE = 0.2  # of the time at the longest length; above it an exponent is bounded from below only
COLUMNS = (
    *("claim", "protocol", "published", "measured", "ci_low", "ci_high", "unit", "verdict", "reason"),  # DESIGN.md
    *("part", "source", "title", "data", "n", "evidence"),
    *("expected", "method", "because", "parts", "margin"),
)


def read_tables(folder: str | Path) -> Tables:
    """The tables in `folder`, parquet before CSV; FileNotFoundError if there is none at all.

    A table that is not there is taken as empty, which leaves its claims not tested.
    """
    folder = Path(folder)
    tables: Tables = {}
    found = False
    for name in TABLES:
        files = [path for suffix in (".parquet", ".csv") if (path := folder / f"{name}{suffix}").is_file()]
        found = found or bool(files)
        tables[name] = with_types(name, read_table(files[0])) if files else as_table(name, [])
    if not found:
        raise FileNotFoundError(f"{folder} holds none of the tables {', '.join(TABLES)}; make them with src/tables.py.")
    return tables


def judge(claims: Claims, tables: Tables) -> list[dict[str, Any]]:
    """One dict per row of verdicts.csv, in the order of the claims file, "published" before "fair"."""
    rows: list[dict[str, Any]] = []
    for claim in claims.claims:
        for protocol in ("published", "fair"):
            source = f"{claim.source} · {claims.sources[claim.source]['title']}"
            parts = [_row(claim, source, trial, tables) for trial in claim.trials if trial.protocol == protocol]
            if len(parts) == 1:
                parts[0]["part"] = ""
            elif parts:
                idle = {t.part for t in claim.trials if t.protocol == protocol and t.untested}
                rows.append(_whole(claim, source, protocol, parts, idle))
            rows.extend(parts)
    for fair in rows:
        for own in rows:
            if (
                (own["claim"], own["part"], own["protocol"]) == (fair["claim"], fair["part"], "published")
                and fair["protocol"] == "fair"
                and own["verdict"] == REPRODUCED != fair["verdict"]
            ):
                refuted = fair["verdict"] == NOT_REPRODUCED  # "not tested" and "inconclusive" say nothing against it
                own["reason"] += (
                    " It holds only as published: not reproduced under the fair protocol."
                    if refuted
                    else f" Under the fair protocol: {fair['verdict']}."
                )
    return rows


def decide(region: Region, found: Measurement) -> tuple[str, str]:
    """The verdict on a measurement and why, as the end of a sentence."""
    each = []
    for low, high, refute_low, refute_high in found.checks:
        held, fell = verdict(region, low, high), verdict(region, refute_low, refute_high)
        each.append(held if held == REPRODUCED else fell if fell == NOT_REPRODUCED else INCONCLUSIVE)
    result = combine(each, "all")
    asked = f"the claim asks for {region}"
    if result == REPRODUCED:
        if _past(region, found):
            return INCONCLUSIVE, f"{asked}, which holds here, but it is still {found.trend} and leaving that range"
        why = f"{asked}, and the whole interval lies there"
    elif result == NOT_REPRODUCED:
        if _on_its_way(region, found):
            return (
                INCONCLUSIVE,
                f"{asked}; it is still {found.trend} towards that, so the lengths measured are too short",
            )
        if bound := _only_a_bound(region, found):
            return INCONCLUSIVE, f"{asked}; {bound}"
        why = f"{asked}, and the interval lies wholly outside"
    elif found.low is None:
        return result, f"{asked}, and one seed has no interval to hold against that"
    elif near := _too_near(region, found):
        why = f"{asked}; {near}"
    else:
        why = f"{asked}, and the interval straddles the line"
    if found.notes.doubts:
        return INCONCLUSIVE, f"{why}; yet {'; '.join(found.notes.doubts)}"
    return result, why


def _too_near(region: Region, found: Measurement) -> str:
    """Why an interval on one side of the line decides nothing: it is closer to it than the margin."""
    plain, _ = decide(replace(region, margin=0.0), replace(found, notes=Notes())) if region.margin else ("", "")
    side = {REPRODUCED: "there", NOT_REPRODUCED: "outside"}.get(plain)
    if side is None:
        return ""
    return f"the interval lies {side}, but closer to the line than {number(region.margin)}, the least that matters"


def _past(region: Region, found: Measurement) -> bool:
    """Whether an exponent that lies inside on average has already left the region at the longest lengths."""
    return (found.trend == "rising" and found.local_last > region.high) or (
        found.trend == "falling" and found.local_last < region.low
    )


def _on_its_way(region: Region, found: Measurement) -> bool:
    """Whether an exponent outside the region still moves towards it: the asymptote has not been measured."""
    return (found.trend == "rising" and found.estimate < region.low) or (
        found.trend == "falling" and found.estimate > region.high
    )


def _only_a_bound(region: Region, found: Measurement) -> str:
    """Why a number outside the region does not refute the claim: it bounds the true one from the wrong side."""
    if found.estimate < region.low and found.fixed_share > LARGEST_FIXED_SHARE:
        return (
            f"but {found.fixed_share:.0%} of the time at the longest length is spent at the shortest one, too: fixed "
            "costs hide how the rest grows, and the lengths measured are too short"
        )
    slow = found.unfused_lowers if found.estimate > region.high else ""
    slow = slow or (found.unfused_raises if found.estimate < region.low else "")
    if slow:
        return (
            f"but {slow} ran as PyTorch operations, without a fused kernel, while attention had one: its cost is an "
            "upper bound and cannot refute the claim"
        )
    return ""


def _row(claim: Claim, source: str, trial: Trial, tables: Tables) -> dict[str, Any]:
    row: dict[str, Any] = {
        **dict.fromkeys(COLUMNS),
        "claim": claim.id,
        "protocol": trial.protocol,
        "published": trial.published,
        "unit": trial.unit,
        "part": trial.part,
        "source": source,
        "title": claim.title,
        "verdict": NOT_TESTED,
        "because": trial.because,
        "expected": "" if trial.untested else str(trial.region),
        "margin": trial.region.margin or None,
    }
    if trial.untested:
        return row | {"reason": _sentence(trial.untested)}
    row["evidence"] = (
        f"tables/{trial.select['table']}.csv: {as_text({k: v for k, v in trial.select.items() if k != 'table'})}"
    )
    notes = Notes()
    try:
        found = MEASURES[trial.measure](tables, trial, notes)
    except Untestable as why:
        return row | {"reason": _sentence(str(why))}
    result, why_so = decide(trial.region, found)
    reason = [_sentence(f"{found.phrase}; {why_so}"), *notes.caveats, *([trial.caveat] if trial.caveat else [])]
    return row | {
        "measured": found.estimate,
        "ci_low": found.low,
        "ci_high": found.high,
        "n": found.n,
        "verdict": result,
        "reason": " ".join(reason),
        "data": found.data,
        "evidence": found.evidence,
        "method": found.method,
    }


def _whole(claim: Claim, source: str, protocol: str, parts: list[dict[str, Any]], idle: set[str]) -> dict[str, Any]:
    """The row of a whole claim, from those of its parts; those in `idle` can never be tested."""
    counted = [part["verdict"] for part in parts if part["part"] not in idle]
    result = combine(counted or [NOT_TESTED], claim.combine)
    told = []
    for kind in VERDICTS:
        names = [part["part"] or "unnamed part" for part in parts if part["verdict"] == kind]
        if names:
            told.append(f"{kind}: {', '.join(names)}")
    reasons = list(dict.fromkeys(part["reason"] for part in parts if part["part"] not in idle))
    why = f" {reasons[0]}" if result == NOT_TESTED and reasons else ""
    rule = "all parts must hold" if claim.combine == "all" else "one part that holds is enough"
    return {
        **dict.fromkeys(COLUMNS),
        "claim": claim.id,
        "protocol": protocol,
        "published": claim.figure,
        "unit": "",
        "verdict": result,
        "reason": _sentence(f"of {len(parts)} parts ({rule}), " + "; ".join(told)) + why,
        "part": "",
        "source": source,
        "title": claim.title,
        "data": "; ".join(dict.fromkeys(part["data"] for part in parts if part["data"])) or None,
        "expected": rule,
        "parts": len(parts),
    }


def _sentence(text: str) -> str:
    """`text` with a capital at its start (unless that is a name of a column) and a full stop at its end."""
    first = text.split(" ", 1)[0]
    return (text if "_" in first else text[:1].upper() + text[1:]).rstrip(". ") + "."


def write_verdicts(folder: str | Path, rows: list[dict[str, Any]], claims: Claims) -> None:
    """Write FOLDER/verdicts.csv (numbers to 6 digits) and FOLDER/verdicts.json (in full, with the published data)."""
    folder = Path(folder)
    table = pd.DataFrame([{**row, "published": _cell(row["published"])} for row in rows], columns=list(COLUMNS))
    for column in ("n", "parts"):
        table[column] = table[column].astype("Int64")
    with atomic_write(folder / "verdicts.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    count = {kind: sum(row["verdict"] == kind for row in rows if row["part"] == "") for kind in VERDICTS}
    write_json(
        folder / "verdicts.json",
        {
            "count": count,
            "verdicts": rows,
            "sources": claims.sources,
            "published": {claim.id: claim.published for claim in claims.claims if claim.published is not None},
            "anchors": list(claims.anchors),
            "margins": dict(claims.margins),
        },
    )


def _cell(value: float | str) -> str:
    """A published figure as text: 1.8006 stays 1.8006, whatever the format of the measured numbers."""
    return f"{value:.10g}" if isinstance(value, int | float) else str(value)
