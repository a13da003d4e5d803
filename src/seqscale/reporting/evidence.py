"""The figure of a claim: what the source printed drawn on what was measured here, under both protocols.

A claim with figures at several lengths or sizes is drawn as lines over them, any other as rows with the published
figure, the measured one with its interval, and what the claim asks for. Beside it the results and the
benchmark curves that it rests on.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from seqscale.reporting.chart import Axis, Chart, Dot, Dots, Lines, Series, nothing
from seqscale.reporting.intervals import estimate
from seqscale.reporting.scaling import DIRECTION_WORDS, PLANS, device_name, panel
from seqscale.reporting.source import Tables, records
from seqscale.reporting.summaries import finished
from seqscale.reporting.words import LONG, SEEDS, spread_words

WORDS = {"fair": "measured, fair protocol", "published": "measured, as published"}
TEXTS = "claim protocol part published unit verdict expected evidence method"
NUMBER = r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?"


def as_number(text: object) -> float:
    """A published figure as a number ("1.8006", "O(L), exponent 1"); NaN where it is words."""
    try:
        return float(str(text).rpartition("exponent ")[2])
    except ValueError:
        return math.nan


def region(expected: object) -> tuple[float, float] | None:
    """ "1.8 to 2.2", "less than 0", "more than 0.05" as the two ends of an interval; None for other words."""
    text = str(expected or "")
    numbers = [float(n.replace(",", "")) for n in re.findall(NUMBER, text)]
    if re.fullmatch(f"{NUMBER} to {NUMBER}", text):
        return numbers[0], numbers[1]
    if text.startswith("less than") and len(numbers) == 1:
        return -math.inf, numbers[0]
    if text.startswith("more than") and len(numbers) == 1:
        return numbers[0], math.inf
    return None


def selections(evidence: object) -> list[dict[str, str]]:
    """The selections that a verdict's evidence names: table, and the columns with their values, one dict each."""
    found = re.match(r"tables/(\w+)\.csv: (.*)", str(evidence or ""))
    if found is None:
        return []
    parts = found.group(2).split("; ")[0].split(" | ")
    return [{"table": found.group(1), **dict(re.findall(r"(\w+)=([^,|;]+)", part))} for part in parts]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _model(row: dict[str, Any]) -> str:
    models = {s.get("model", "") for s in selections(row["evidence"])}
    return models.pop() if len(models) == 1 and "" not in models else f"@{row['protocol']}"


def _spread(rows: list[dict[str, Any]]) -> str:
    """What the intervals of these rows are, where they are all of one kind."""
    kinds = {kind for r in rows if (kind := spread_words(r))}
    return LONG[kinds.pop()] if len(kinds) == 1 else ""


def _ends(row: dict[str, Any]) -> str:
    """ " [0.91, 1.04] 95 % interval", or nothing where there is none."""
    if row["ci_low"] != row["ci_low"]:
        return ""
    return f" [{row['ci_low']:.4g}, {row['ci_high']:.4g}] {_spread([row])}".rstrip()


def _over_sizes(rows: list[dict[str, Any]], unit: str, title: str) -> Lines:
    """Parts that are numbers (lengths, heads, layers): one line printed, one for each protocol measured."""
    printed = {float(r["part"]): as_number(r["published"]) for r in rows}
    printed = {x: y for x, y in sorted(printed.items()) if math.isfinite(y)}
    series = []
    for protocol, words in WORDS.items():
        mine = sorted((r for r in rows if r["protocol"] == protocol and r["measured"] == r["measured"]),
                      key=lambda r: float(r["part"]))  # fmt: skip
        if mine:
            x, y, low, high = ([float(r[c]) for r in mine] for c in ("part", "measured", "ci_low", "ci_high"))
            series.append(Series(f"@{protocol}", words, x, y, low, high, spread=_spread(mine)))
    if printed:
        series.append(Series("@printed", "published", list(printed), list(printed.values()), published=True))
    lengths = max(float(r["part"]) for r in rows) >= 64
    values = [v for s in series for v in (*s.y, *s.low) if v == v]
    wide = bool(values) and min(values) > 0 and max(values) > 5 * min(values)
    axis = Axis("length (tokens)" if lengths and unit == "times" else "size", log=True, lengths=True)
    return Lines(title, axis, Axis(unit or "value", log=wide), tuple(series))


def _rows(rows: list[dict[str, Any]], unit: str, title: str) -> Dots:
    both = len({r["protocol"] for r in rows}) > 1
    dots = []
    for r in rows:
        label = str(r["part"] or "the claim") + (
            f" ({'fair' if r['protocol'] == 'fair' else 'as published'})" if both else ""
        )
        dots.append(Dot(label, _model(r), r["measured"], r["ci_low"], r["ci_high"], published=as_number(r["published"]),
                        region=region(r["expected"]), spread=_spread([r])))  # fmt: skip
    ends = [v for d in dots for v in (d.value, d.low, d.high, d.published, *(d.region or ())) if math.isfinite(v)]
    log = bool(ends) and min(ends) > 0 and max(ends) / min(ends) > 30
    return Dots(title, Axis(unit or "value", log=log), tuple(dots))


def _curves(rows: list[dict[str, Any]], tables: Tables, claim: str) -> list[Lines]:
    """The benchmark curves that the claim's numbers were read from, with printed curves in the same unit on them."""
    asked: dict[str, set[str]] = {}
    for row in rows:
        for s in selections(row["evidence"]):
            for name, plan in PLANS.items():
                right = plan.suite == s.get("suite") and s.get("quantity", "time").startswith(plan.quantity)
                if s["table"] == "bench" and (right or (plan.suite == s.get("suite") == "prefill")):
                    asked.setdefault(name, set()).add(s.get("model", ""))
    panels = []
    for name, models in asked.items():
        plan = PLANS[name]
        bench = tables.bench
        mine = bench[
            (bench["suite"] == plan.suite) & (bench["quantity"] == plan.quantity) & bench["model"].isin(models)
        ]
        for (device, direction), part in mine.assign(place=mine["device"].map(device_name)).groupby(
            ["place", "direction"], sort=True
        ):
            if direction not in plan.directions:
                continue
            words = f", {DIRECTION_WORDS[str(direction)]}" if len(plan.directions) > 1 else ""
            lines, _ = panel(part, tables, plan, str(direction), _upper(f"{plan.y_label}{words}, {device}"), True)
            extra = _printed(tables, claim, plan.unit)
            panels.append(
                Lines(lines.title, lines.x, lines.y, (*lines.series, *extra), lines.marks, True, lines.header)
            )
    return panels


def _results(rows: list[dict[str, Any]], tables: Tables) -> list[Dots]:
    """What the models reached that a difference, a ratio or an order was computed from: one panel per column."""
    asked: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        found = re.search(r"; column (\w+)", str(row["evidence"] or ""))
        for s in selections(row["evidence"]) if found else []:
            if s["table"] == "runs" and "experiment" in s and "model" in s and found:
                asked.setdefault((s["experiment"], found.group(1)), []).append(s["model"])
    panels = []
    for (experiment, column), names in asked.items():
        models = list(dict.fromkeys(names))
        runs = finished(tables)
        runs = runs[(runs["experiment"] == experiment) & runs["model"].isin(models)]
        if len(models) < 2 or column not in runs or runs.empty:
            continue
        values = {m: pd.to_numeric(runs.loc[runs["model"] == m, column]).dropna().tolist() for m in models}
        dots = [
            Dot(tables.model_title(m), m, e.mean, e.low, e.high, values[m], spread=LONG[SEEDS])
            for m in models
            if (e := estimate(values[m], share=column.endswith("accuracy"))).n
        ]
        axis = Axis(column.replace("_", " "), share=column.endswith("accuracy"))
        panels.append(Dots(f"{_upper(axis.label)}: {tables.experiment_title(experiment)}", axis, tuple(dots)))
    return panels


def _printed(tables: Tables, claim: str, unit: str) -> list[Series]:
    """The curves that a source printed, with a unit, for a claim: table published."""
    frame = tables.table("published", "claim name model unit", "x y")
    frame = frame[(frame["claim"] == claim) & (frame["unit"].fillna("") == unit)]
    return [
        Series(str(line["model"].iloc[0]), f"{name}, published", line["x"].tolist(), line["y"].tolist(), published=True)
        for name, line in frame.groupby("name", sort=False)
    ]


def build(claim: str) -> Callable[[Tables, str], Chart]:
    """The builder of the figure of `claim`, from the tables verdicts (made by the digest), bench and scaling."""

    def make(tables: Tables, title: str) -> Chart:
        frame = tables.table("verdicts", TEXTS, "measured ci_low ci_high")
        frame = frame[(frame["claim"] == claim) & (frame["protocol"].isin(WORDS))]
        rows = [{**r, "part": r["part"] or ""} for r in records(frame)]
        measured = [r for r in rows if math.isfinite(r["measured"])]
        if not measured:
            return nothing(title, "nothing of this claim was measured with this configuration.")
        panels: list[Lines | Dots] = []
        units = list(dict.fromkeys(r["unit"] or "" for r in measured))
        for unit in units:
            mine = [r for r in rows if (r["unit"] or "") == unit and r in measured]
            sized = [r for r in rows if (r["unit"] or "") == unit and re.fullmatch(r"\d+", r["part"])]
            heading = _upper(unit) or "Measured"
            if len({r["part"] for r in sized}) >= 3:
                panels.append(_over_sizes(sized, unit, heading))
                mine = [r for r in mine if r not in sized]
            if mine:
                panels.append(_rows(mine, unit, heading))
        panels += [*_results(measured, tables), *_curves(measured, tables, claim)]
        told = [
            f"{r['part'] or 'The claim'} ({WORDS[r['protocol']]}): {r['measured']:.4g} {r['unit'] or ''}".rstrip()
            + _ends(r)
            + (f", published {r['published']}" if r["published"] else "") + f", {r['verdict']}"
            for r in measured
        ]  # fmt: skip
        kept = pd.DataFrame(rows).drop(columns=["evidence", "expected"], errors="ignore")
        return Chart(title, tuple(panels), kept, f"{title}. " + "; ".join(told) + ".")

    return make
