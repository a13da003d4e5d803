"""Sections of the report made from the result tables: results by experiment, Mamba against its reference, samples."""

import math
from typing import NamedTuple

import pandas as pd

from seqscale.reporting.canvas import length_text, short_count
from seqscale.reporting.html import MISSING, Cell, esc, fixed, plural, si, table, with_interval
from seqscale.reporting.intervals import estimate
from seqscale.reporting.learning import finished, summary
from seqscale.reporting.scaling import DIRECTION_WORDS, PLANS
from seqscale.reporting.source import Tables, records
from seqscale.reporting.style import Style
from seqscale.reporting.svg import marker
from seqscale.stats import paired_difference

CONTEST_IDS = {1: "ahead", -1: "behind", 0: "open"}
SUBJECT = "mamba"  # whose part the claims take; its losses are shown as large as its wins


def _name(model: str, tables: Tables, style: Style) -> str:
    note = tables.models.loc[tables.models["model"] == model, "note"].dropna()
    extra = f'<span class="what">{esc(note.iloc[0])}</span>' if len(note) and note.iloc[0] else ""
    return f'{marker(style.model(model))}<span class="model">{esc(tables.model_title(model))}</span>{extra}'


def _ranking(tables: Tables, experiment: str, frame: pd.DataFrame) -> str:
    """One or two sentences that say what the table's order says."""
    good = frame.dropna(subset=["mean"])
    if good.empty:
        return "No run of this experiment finished."
    accuracy = frame["metric"].iloc[0] == "test_accuracy"
    first = good.iloc[0]
    best = f"{first['mean']:.1%} test accuracy" if accuracy else f"{first['mean']:.3f} nats per token on the test split"
    words = [f"Best of {len(good)}: {esc(tables.model_title(first['model']))} with {best}."]
    if len(good) > 1 and first["ci_high"] == first["ci_high"]:
        overlap = [
            esc(tables.model_title(r["model"]))
            for r in records(good.iloc[1:])
            if r["ci_low"] <= first["ci_high"] and r["ci_high"] >= first["ci_low"]
        ]
        if overlap:
            words.append(f"Its interval overlaps with that of {', '.join(overlap)}.")
    return " ".join(words)


def results(tables: Tables, style: Style) -> str:
    """A table for each experiment, best model first."""
    if tables.runs.empty:
        return '<p class="hole">The runs table is empty: nothing was trained.</p>'
    return "".join(_experiment(tables, style, e) for e in tables.experiments if (tables.runs["experiment"] == e).any())


def _experiment(tables: Tables, style: Style, experiment: str) -> str:
    frame = summary(tables, experiment)
    accuracy = frame["metric"].iloc[0] == "test_accuracy"
    runs = tables.runs[tables.runs["experiment"] == experiment]
    ok = finished(tables)
    ok = ok[ok["experiment"] == experiment]
    searched = set(tables.search.loc[tables.search["experiment"] == experiment, "model"])
    has_bits = ok["bits_per_character"].notna().any()
    rows: list[list[Cell | str]] = []
    for place, row in enumerate(records(frame), 1):
        mine, everything = ok[ok["model"] == row["model"]], runs[runs["model"] == row["model"]]
        main = with_interval(row["mean"], row["ci_low"], row["ci_high"], *((1, 100, " %") if accuracy else (3,)))
        loss = estimate((mine["test_loss"] if accuracy else mine["valid_loss"]).tolist())
        seeds = f"{row['seeds']} of {row['seeds_all']}" + (
            f' <span class="flag">✕ {esc(row["broken"])}</span>' if row["broken"] else ""
        )
        cells = [
            Cell(
                f'<span class="place">{place if math.isfinite(row["mean"]) else MISSING}</span>'
                + _name(row["model"], tables, style)
            ),
            Cell(main, "num main"),
            Cell(fixed(loss.mean), "num"),
        ]
        if has_bits:
            cells.append(Cell(fixed(estimate(mine["bits_per_character"].tolist()).mean), "num"))
        cells += [
            Cell(seeds, "num"),
            Cell(_params(everything), "num"),
            Cell(_rate(everything, row["model"] in searched), "num"),
            Cell(si(mine["train_flops"].mean(), ""), "num"),
            Cell(si(mine["train_seconds"].mean(), "s"), "num"),
        ]
        rows.append(list(cells))
    first = runs.iloc[0]
    title = esc(tables.experiment_title(experiment))
    reference = esc(tables.model_title(tables.reference(experiment)))
    header = ["Model", "Test accuracy" if accuracy else "Test loss", "Test loss" if accuracy else "Validation loss"]
    header += (["Bits per character"] if has_bits else []) + [
        "Seeds finished",
        "Parameters",
        "Learning rate",
        "Training FLOPs",
        "Training time",
    ]
    protocol = {"fair": "fair protocol", "published": "as-published protocol"}.get(
        str(first["protocol"]), str(first["protocol"])
    )
    note = (
        f"Mean over the seeds that finished, with its 95 % interval; losses in nats per token. "
        f"Data: {esc(first['dataset'])}; {esc(protocol)}; "
        f"{short_count(float(runs['train_tokens'].max()))} training tokens in each run. "
        f"Parameters without embeddings, beside the ratio to {reference}."
    )
    return (
        f'<h3 id="results-{esc(experiment)}">{title}</h3><p>{_ranking(tables, experiment, frame)}</p>'
        + table(f"{title}, best first", header, rows, "results")
        + f'<p class="note">{note}</p>'
    )


def _params(runs: pd.DataFrame) -> str:
    count, ratio = runs["params_nonembedding"].max(), runs["params_ratio"].max()
    if not math.isfinite(count):
        return MISSING
    text = f"{count:,.0f}"
    if math.isfinite(ratio):
        text += f' <span class="ci">&times;{ratio:.2f}</span>'
        text += "" if runs["matched"].any() else ' <span class="flag">△ not matched</span>'
    return text


def _rate(runs: pd.DataFrame, searched: bool) -> str:
    rates = sorted(runs["lr"].dropna().unique())
    if not rates:
        return MISSING
    text = ", ".join(f"{rate:g}" for rate in rates)
    if runs["lr_at_edge"].any():
        return text + ' <span class="flag">△ at the grid&rsquo;s edge</span>'
    return text + ("" if searched else ' <span class="ci">not searched</span>')


class Contest(NamedTuple):
    """One thing in which Mamba was measured against its reference. `sign`: +1 ahead, -1 behind, 0 not separated."""

    what: str
    detail: str
    sign: int


def contests(tables: Tables) -> list[Contest]:
    """Every comparison of Mamba with its reference that the tables hold: test results first, then the benchmarks.

    Test results: paired over seeds, separated where the 95 % interval excludes zero. Benchmarks: at the greatest length
    that both have, separated where their ranges from the 20th to the 80th percentile do not overlap.
    """
    return [*_trained(tables), *_benched(tables)]


def _trained(tables: Tables) -> list[Contest]:
    found = []
    ok = finished(tables)
    for experiment in tables.experiments:
        accuracy = tables.uses_accuracy(experiment)
        metric, words = ("test_accuracy", "test accuracy") if accuracy else ("test_loss", "test loss")
        other = tables.reference(experiment)
        here = ok[(ok["experiment"] == experiment) & ok[metric].notna()]
        mine, theirs = (
            {int(r["seed"]): float(r[metric]) for r in records(here[here["model"] == m])} for m in (SUBJECT, other)
        )
        if other == SUBJECT or not set(mine) & set(theirs):
            continue
        gap = paired_difference(mine, theirs)
        scale, places, unit = (100, 1, " percentage points") if accuracy else (1, 3, " nats per token")
        interval = "one seed: no interval"
        sign = 0
        if gap.low is not None and gap.high is not None:
            low, high = (f"{bound * scale:+.{places}f}" for bound in (gap.low, gap.high))
            interval = f"95 % interval {low} to {high}, {plural(gap.n, 'seed')}"
            better = 1 if accuracy else -1
            sign = better if gap.low > 0 else -better if gap.high < 0 else 0
        detail = f"{gap.estimate * scale:+.{places}f}{unit} against {tables.model_title(other)} ({interval})"
        found.append(Contest(f"{tables.experiment_title(experiment)}: {words}", detail, sign))
    return found


def _benched(tables: Tables) -> list[Contest]:
    found = []
    keys = ["device", "implementation", "dtype", "batch"]
    for plan in PLANS.values():
        for direction in plan.directions:
            rows = tables.bench
            rows = rows[
                (rows["suite"] == plan.suite) & (rows["quantity"] == plan.quantity) & (rows["direction"] == direction)
            ]
            mine = rows[(rows["model"] == SUBJECT) & ~rows["oom"]]
            theirs = rows[(rows["model"] == "transformer") & ~rows["oom"]]
            shared = [key for key in keys if key != "implementation"]
            pairs = mine.merge(theirs, on=[*shared, "length"], suffixes=("", "_other")).dropna(
                subset=["median", "median_other"]
            )
            if pairs.empty:
                continue
            row = pairs.sort_values("length").iloc[-1]
            a, b = float(row["median"]), float(row["median_other"])
            low, high, low_b, high_b = (
                float(row[c]) if row[c] == row[c] else float(row[m])
                for c, m in (
                    ("p20", "median"),
                    ("p80", "median"),
                    ("p20_other", "median_other"),
                    ("p80_other", "median_other"),
                )
            )
            sign = 1 if high < low_b else -1 if low > high_b else 0
            ratio = (
                f", {max(a, b) / min(a, b):.3g} times {'less' if a < b else 'more'}" if min(a, b) > 0 and a != b else ""
            )
            words = f", {DIRECTION_WORDS[direction]}" if len(plan.directions) > 1 else ""
            detail = f"{si(a, plan.unit)} against {si(b, plan.unit)}{ratio} ({tables.model_title('transformer')})"
            found.append(
                Contest(
                    f"{plan.y_label[:1].upper()}{plan.y_label[1:]}{words}, length {length_text(float(row['length']))}",
                    detail,
                    sign,
                )
            )
    return found


def ahead_and_behind(tables: Tables) -> str:
    """Two lists of one size: where Mamba is ahead and where it is behind; below, what is not separated."""
    found = contests(tables)
    title = esc(tables.model_title(SUBJECT))
    if not found:
        return f'<p class="hole">The tables hold nothing in which {title} and its reference were both measured.</p>'

    def column(sign: int, heading: str) -> str:
        mine = [c for c in found if c.sign == sign]
        items = "".join(
            f'<li><strong>{esc(c.what)}</strong><span class="what">{esc(c.detail)}</span></li>' for c in mine
        )
        count = f'<span class="count">{len(mine)}</span>'
        return (
            f'<div class="column"><h3 id="contest-{CONTEST_IDS[sign]}">{heading} {count}</h3>'
            f"<ul>{items or '<li>nothing</li>'}</ul></div>"
        )

    return (
        '<div class="columns">'
        + column(1, f"{title} is ahead")
        + column(-1, f"{title} is behind")
        + "</div>"
        + (column(0, "Not separated") if any(c.sign == 0 for c in found) else "")
    )


def samples(tables: Tables, style: Style) -> str:
    """Generated text of each model side by side, the first seed's, best model first."""
    html = []
    for experiment in dict.fromkeys(tables.samples["experiment"].dropna()):
        here = tables.samples[tables.samples["experiment"] == experiment].dropna(subset=["text"])
        order = summary(tables, experiment)["model"].tolist() if (tables.runs["experiment"] == experiment).any() else []
        cards = []
        for model in [*order, *(m for m in here["model"].unique() if m not in order)]:
            mine = here[here["model"] == model].sort_values("seed")
            if mine.empty:
                continue
            row = mine.iloc[0]
            prompt, text = row["prompt"] or "", row["text"]
            if prompt and text.startswith(prompt):
                text = text[len(prompt) :]
            cards.append(
                f'<figure class="sample"><figcaption>{marker(style.model(model))}{esc(tables.model_title(model))}'
                f'<span class="seed">seed {row["seed"]:g}</span></figcaption>'
                f"<blockquote><b>{esc(prompt)}</b>{esc(text)}</blockquote></figure>"
            )
        html.append(
            f'<h3 id="samples-{esc(experiment)}">{esc(tables.experiment_title(experiment))}</h3>'
            f'<div class="samples">{"".join(cards)}</div>'
        )
    return "".join(html) or '<p class="hole">No text was generated in these runs.</p>'
