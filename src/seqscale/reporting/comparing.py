"""Two runs beside each other: every number that both have, and whether they differ by more than noise.

Test results: Welch's interval of the difference of the means over seeds excludes zero. Benchmarks: the ranges from
the 20th to the 80th percentile do not overlap (same suite, model, implementation or not, device or not: what differs
is told). Exponents: the 95 % intervals do not overlap. Crossovers: the second run's lies outside the first's interval
(`reruns`), which allows for a spread between processes; how large that was is told, too. Verdicts: another word.
"""

import base64
import io
import math
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from seqscale.reporting.html import Cell, data, esc, esc_none, fixed, number, share, si, table
from seqscale.reporting.reruns import KIND, SPREAD, crossover_rows, spread_rows
from seqscale.reporting.source import COLUMNS, VERDICT_COLUMNS, Tables, coerce, records, tables_of
from seqscale.reporting.summaries import finished, metric_of

TABLE = "comparison"
FIELDS = ["kind", "what", "a", "a_low", "a_high", "b", "b_low", "b_high", "unit", "ratio", "differs", "a_words",
          "b_words", "a_name", "b_name"]  # fmt: skip
BENCH_KEY = ["suite", "quantity", "direction", "model", "length", "batch"]


def load_run(place: str | Path) -> Tables:
    """The tables of a run: a results folder, a folder with the tables themselves (results/reference/NAME), or a report.

    A report carries its tables; they are read out of it. FileNotFoundError or ValueError where there are none.
    """
    place = Path(place)
    frames: dict[str, pd.DataFrame] = {}
    if place.is_file():
        text = place.read_text(encoding="utf-8")
        found = re.findall(r'download="(\w+)\.csv" href="data:text/csv;charset=utf-8;base64,([^"]+)"', text)
        for name, content in found:
            frames[name] = pd.read_csv(io.BytesIO(base64.b64decode(unescape(content))))
        if not frames:
            raise ValueError(f"{place} carries no tables; is it a report of this project?")
    else:
        for folder in (place, place / "tables"):
            for path in sorted(folder.glob("*.csv")) if folder.is_dir() else []:
                if path.stat().st_size > 1:
                    frames[path.stem] = pd.read_csv(path)
        if not frames:
            raise FileNotFoundError(
                f"{place}: no tables are there. Name a results folder, results/reference/NAME or a report."
            )
    known = {name: coerce(frames.get(name, pd.DataFrame()), columns) for name, columns in COLUMNS.items()}
    verdicts = coerce(frames.get("verdicts", pd.DataFrame()), VERDICT_COLUMNS)
    verdicts["part"] = verdicts["part"].fillna("")
    titles = known["runs"].dropna(subset=["experiment", "experiment_title"])
    named = {str(r["experiment"]): str(r["experiment_title"]) for r in records(titles)}
    return tables_of(known, {"verdicts": verdicts}, named)


def compare(a: Tables, b: Tables, names: tuple[str, str]) -> pd.DataFrame:
    """Every number that both runs have; columns FIELDS. `differs`: yes, no, or empty where that cannot be told."""
    rows = [*_trained(a, b), *_benched(a, b), *_exponents(a, b), *crossover_rows(a, b), *spread_rows(a, b)]
    rows += _verdicts(a, b)
    frame = pd.DataFrame(rows, columns=FIELDS)
    return frame.assign(a_name=names[0], b_name=names[1])


def _ratio(a: float, b: float) -> float:
    return b / a if a and math.isfinite(a) and math.isfinite(b) else math.nan


def _apart(a: list[float], b: list[float]) -> str:
    """Whether Welch's 95 % interval of the difference of two means excludes zero; empty where a side has one value."""
    if min(len(a), len(b)) < 2:
        return ""
    if len({*a}) == len({*b}) == 1:  # no spread at all, as where the same seeds gave the same bits
        return "no" if a[0] == b[0] else "yes"
    ends = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return "yes" if ends.low > 0 or ends.high < 0 else "no"


def _trained(a: Tables, b: Tables) -> list[dict[str, Any]]:
    rows = []
    for experiment in [e for e in a.experiments if e in b.experiments]:
        metric = metric_of(a, experiment)
        runs = [f[(f["experiment"] == experiment) & f[metric].notna()] for f in (finished(a), finished(b))]
        for model in sorted(set(runs[0]["model"]) & set(runs[1]["model"])):
            values = [r.loc[r["model"] == model, metric].tolist() for r in runs]
            means = [sum(v) / len(v) for v in values]
            differs = _apart(*values)
            rows.append({
                "kind": metric, "what": f"{a.experiment_title(experiment)}: {a.model_title(model)}", "a": means[0],
                "a_low": min(values[0]), "a_high": max(values[0]), "b": means[1], "b_low": min(values[1]),
                "b_high": max(values[1]), "unit": "", "ratio": _ratio(*means), "differs": differs,
                "a_words": f"{len(values[0])} seeds", "b_words": f"{len(values[1])} seeds",
            })  # fmt: skip
    return rows


def _benched(a: Tables, b: Tables) -> list[dict[str, Any]]:
    fastest = []
    for t in (a, b):
        good = t.bench[~t.bench["oom"] & t.bench["median"].notna()].sort_values("median", kind="stable")
        fastest.append(good.drop_duplicates(BENCH_KEY))
    rows = []
    for r in records(fastest[0].merge(fastest[1], on=BENCH_KEY, suffixes=("_a", "_b")).sort_values(BENCH_KEY)):
        low_a, high_a, low_b, high_b = (
            r[f"{q}_{s}"] if r[f"{q}_{s}"] == r[f"{q}_{s}"] else r[f"median_{s}"] for s in "ab" for q in ("p20", "p80")
        )
        rows.append({
            "kind": f"{r['suite']} {r['quantity']}".replace("_", " "),
            "what": f"{a.model_title(str(r['model']))}, {r['direction']}, length {r['length']:g}, batch {r['batch']:g}",
            "a": r["median_a"], "a_low": low_a, "a_high": high_a, "b": r["median_b"], "b_low": low_b, "b_high": high_b,
            "unit": r["unit_a"], "ratio": _ratio(r["median_a"], r["median_b"]),
            "differs": "yes" if low_a > high_b or high_a < low_b else "no",
            "a_words": f"{r['device_a']} {r['implementation_a']} {r['dtype_a']}",
            "b_words": f"{r['device_b']} {r['implementation_b']} {r['dtype_b']}",
        })  # fmt: skip
    return rows


def _exponents(a: Tables, b: Tables) -> list[dict[str, Any]]:
    keys = ["suite", "quantity", "direction", "model", "batch"]
    both = [t.scaling.dropna(subset=["exponent"]).drop_duplicates(keys) for t in (a, b)]
    rows = []
    for r in records(both[0].merge(both[1], on=keys, suffixes=("_a", "_b"))):
        ends = [r["ci_low_a"], r["ci_high_a"], r["ci_low_b"], r["ci_high_b"]]
        known = all(e == e for e in ends)
        rows.append({
            "kind": "exponent of length", "what": f"{a.model_title(str(r['model']))}, {r['suite']} {r['quantity']}, "
            f"{r['direction']}".replace("_", " "), "a": r["exponent_a"], "a_low": ends[0], "a_high": ends[1],
            "b": r["exponent_b"], "b_low": ends[2], "b_high": ends[3], "unit": "", "ratio": math.nan,
            "differs": "" if not known else "yes" if ends[0] > ends[3] or ends[1] < ends[2] else "no",
            "a_words": r["implementation_a"], "b_words": r["implementation_b"],
        })  # fmt: skip
    return rows


def _verdicts(a: Tables, b: Tables) -> list[dict[str, Any]]:
    frames = [t.more["verdicts"] for t in (a, b)]
    keys = ["claim", "protocol", "part"]
    rows = []
    for r in records(frames[0].merge(frames[1], on=keys, suffixes=("_a", "_b"))):
        if {r["verdict_a"], r["verdict_b"]} == {"not tested"}:
            continue
        numbers = [float(v) if isinstance(v, str) and re.fullmatch(r"-?[\d.]+(e[-+]?\d+)?", v) else math.nan
                   for v in (r["measured_a"], r["measured_b"])]  # fmt: skip
        rows.append({
            "kind": "verdict", "what": f"{r['claim']} {r['part']} ({r['protocol']})".replace("  ", " "),
            "a": numbers[0], "a_low": r["ci_low_a"], "a_high": r["ci_high_a"], "b": numbers[1], "b_low": r["ci_low_b"],
            "b_high": r["ci_high_b"], "unit": r["unit_a"], "ratio": math.nan,
            "differs": "yes" if r["verdict_a"] != r["verdict_b"] else "no", "a_words": r["verdict_a"],
            "b_words": r["verdict_b"],
        })  # fmt: skip
    return rows


def _value(row: Mapping[str, Any], side: str) -> str:
    value = row[side]
    words = f'<span class="what">{esc(row[f"{side}_words"])}</span>' if row[f"{side}_words"] else ""
    if value != value:
        return f"—{words}"
    kind = row["kind"]
    if kind == "test_accuracy":
        return share(value) + words
    if kind in ("test_loss", "exponent of length"):
        return fixed(value) + words
    return (number(value) if kind in ("verdict", KIND, SPREAD) else si(value, esc_none(row["unit"]))) + words


def section(tables: Tables) -> str:
    """The comparison as a part of the page; nothing where there is none."""
    frame = tables.table(TABLE, "kind what unit differs a_words b_words a_name b_name",
                         "a a_low a_high b b_low b_high ratio")  # fmt: skip
    if frame.empty:
        return ""
    names = [esc(frame[c].iloc[0]) for c in ("a_name", "b_name")]
    different = int((frame["differs"] == "yes").sum())
    html = [
        f'<h2 id="compare">Beside another run</h2><p>A is {names[0]}, B is {names[1]}. {len(frame)} numbers '
        f"are in both; "
        f"{different} differ by more than noise (marked ◆): test results by Welch’s 95 % interval over seeds, "
        "benchmarks where the ranges from the 20th to the 80th percentile lie apart, exponents where their intervals "
        "do, crossovers where B’s lies outside A’s interval.</p>"
    ]
    for kind, part in frame.groupby("kind", sort=False):
        rows: list[list[Cell | str]] = []
        for r in records(part):
            mark = {"yes": "◆ differs", "no": "within noise"}.get(r["differs"], "one seed: cannot tell")
            mark = ("◆ another verdict" if r["differs"] == "yes" else "same") if kind == "verdict" else mark
            ratio = data(r["ratio"], f"× {r['ratio']:.3g}") if r["ratio"] == r["ratio"] else "—"
            rows.append([esc(r["what"]), Cell(_value(r, "a"), "num"), Cell(_value(r, "b"), "num"), Cell(ratio, "num"),
                         Cell(mark, "differs" if r["differs"] == "yes" else "muted")])  # fmt: skip
        count = int((part["differs"] == "yes").sum())
        name = esc(str(kind).replace("_", " "))
        html.append(
            f"<details{' open' if kind in ('verdict', 'test_loss', 'test_accuracy') else ''}>"
            f"<summary>{name}: {count} of {len(part)} differ</summary>"
            + table(f"{name}: A and B", ["What", "A", "B", "B over A", "Beyond noise?"], rows, "plain compared")
            + "</details>"
        )
    return "".join(html)
