"""Sections of the report made from the result tables: results by experiment, Mamba against its reference, samples."""

import math

import pandas as pd

from seqscale.reporting.crossovers import answers
from seqscale.reporting.html import (
    MISSING,
    Cell,
    data,
    esc,
    esc_none,
    fixed,
    interval,
    length,
    number,
    share,
    si,
    table,
)
from seqscale.reporting.source import Tables, records
from seqscale.reporting.style import Style
from seqscale.reporting.summaries import summary, with_runs
from seqscale.reporting.svg import marker
from seqscale.reporting.top import crossing_words


def _name(model: str, tables: Tables, style: Style) -> str:
    note = tables.models.loc[tables.models["model"] == model, "note"].dropna()
    extra = f'<span class="what">{esc(note.iloc[0])}</span>' if len(note) and note.iloc[0] else ""
    return f'{marker(style.model(model))}<span class="model">{esc(tables.model_title(model))}</span>{extra}'


def _ranking(tables: Tables, frame: pd.DataFrame) -> str:
    """One or two sentences that say what the table's order says."""
    good = frame.dropna(subset=["mean"])
    if good.empty:
        return "No run of this experiment finished."
    first = good.iloc[0]
    accuracy = first["metric"] == "test_accuracy"
    best = (
        f"{share(first['mean'])} test accuracy"
        if accuracy
        else f"{fixed(first['mean'])} nats per token on the test split"
    )
    words = [f"Best: {esc(tables.model_title(first['model']))} with {best}."]
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
    there = with_runs(tables)
    if not there:
        return '<p class="hole">No run is there; <a href="#holes">what is missing, one by one</a>.</p>'
    return "".join(_experiment(tables, style, e) for e in there)


def _experiment(tables: Tables, style: Style, experiment: str) -> str:
    frame = summary(tables, experiment)
    accuracy = bool(frame["metric"].iloc[0] == "test_accuracy")
    runs = tables.runs[tables.runs["experiment"] == experiment]
    searched = set(tables.search.loc[tables.search["experiment"] == experiment, "model"])
    has_bits = bool(frame["mean_bits_per_character"].notna().any())
    rows: list[list[Cell | str]] = []
    for row in records(frame):
        mine = runs[runs["model"] == row["model"]]
        main = (share if accuracy else fixed)(row["mean"])
        main += " " + interval(row["ci_low"], row["ci_high"], 1 if accuracy else 3, accuracy) if main != MISSING else ""
        seeds = f"{data(row['seeds'], str(row['seeds']))} of {data(row['seeds_all'], str(row['seeds_all']))}" + (
            f' <span class="flag">✕ {esc(row["broken"])}</span>' if row["broken"] else ""
        )
        cells: list[Cell | str] = [
            Cell(_name(row["model"], tables, style)),
            Cell(main, "num main"),
            Cell(fixed(row["mean_test_loss" if accuracy else "mean_valid_loss"]), "num"),
            *([Cell(fixed(row["mean_bits_per_character"]), "num")] if has_bits else []),
            Cell(seeds, "num"),
            Cell(_params(row, mine), "num"),
            Cell(_rate(mine, row["model"] in searched), "num"),
            Cell(si(row["mean_train_flops"], ""), "num"),
            Cell(si(row["mean_train_seconds"], "s"), "num"),
        ]
        rows.append(cells)
    first = runs.iloc[0]
    title = esc(tables.experiment_title(experiment))
    reference = esc(tables.model_title(tables.reference(experiment)))
    header = [
        "Model",
        "Test accuracy [95 %]" if accuracy else "Test loss [95 %]",
        "Test loss" if accuracy else "Validation loss",
    ]
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
    tokens = si(float(runs["train_tokens"].max()), "")
    share_words = (
        " That of an accuracy is Wilson’s at the seeds’ effective number of answers, which stays within 0 and 100 % "
        "without being cut off there."
    )
    note = (
        f"Mean over the seeds that finished, with its 95 % interval; losses in nats per token."
        f"{share_words if accuracy else ''} "
        f"Data: {esc(first['dataset'])}; {esc(protocol)}; {tokens} training tokens in each run. "
        f"Parameters without embeddings, beside the ratio to {reference}."
    )
    return (
        f'<h3 id="results-{esc(experiment)}">{title}</h3><p>{_ranking(tables, frame)}</p>'
        + table(f"{title}, best first", header, rows, "results")
        + f'<p class="note">{note}</p>'
    )


def _params(row: dict[str, object], runs: pd.DataFrame) -> str:
    count, ratio = float(str(row["params_nonembedding"])), float(str(row["params_ratio"]))
    if not math.isfinite(count):
        return MISSING
    text = data(count, f"{count:,.0f}")
    if math.isfinite(ratio):
        text += f' <span class="ci">&times;{data(ratio, f"{ratio:.2f}")}</span>'
        text += "" if runs["matched"].any() else ' <span class="flag">△ not matched</span>'
    return text


def _rate(runs: pd.DataFrame, searched: bool) -> str:
    rates = sorted(runs["lr"].dropna().unique())
    if not rates:
        return MISSING
    text = ", ".join(data(rate, f"{rate:g}") for rate in rates)
    if runs["lr_at_edge"].any():
        return text + ' <span class="flag">△ at the grid&rsquo;s edge</span>'
    return text + ("" if searched else ' <span class="ci">not searched</span>')


def crossover_table(tables: Tables) -> str:
    """Every crossover, and every pair that never crosses, with the cost of both at the longest length."""
    frame = tables.table(
        "crossovers", "suite what device subject model status unit",
        "batch length ci_low ci_high length_min length_max subject_longest other_longest ratio_longest "
        "other_out_of_memory_at between",
    )  # fmt: skip
    if frame.empty:
        return (
            '<p class="hole">The bench table holds no length at which Mamba and an attention model were measured.</p>'
        )
    rows: list[list[Cell | str]] = []
    for r in answers(frame):
        unit, what = esc_none(r["unit"]), str(r["what"])
        subject, other = (esc(tables.model_title(str(r[k]))) for k in ("subject", "model"))
        rows.append([
            f"{esc(what[:1].upper() + what[1:])}: {subject} against {other}", esc(r["device"]),
            Cell(crossing_words(r)),
            Cell(f"{length(r['length_min'])} to {length(r['length_max'])}", "num"),
            Cell(si(r["subject_longest"], unit), "num"), Cell(si(r["other_longest"], unit), "num"),
            Cell(number(r["ratio_longest"], 3), "num"),
        ])  # fmt: skip
    header = ["Cost", "Device", "Mamba is cheaper", "Lengths measured", "Mamba, longest", "Attention, longest", "Ratio"]
    words = "Where Mamba becomes cheaper than attention on this machine"
    return interval_note(frame) + table(words, header, rows, "stack crossovers")


def interval_note(frame: pd.DataFrame) -> str:
    """What the earliest and the latest length allow for, the per cents from the crossovers table itself."""
    timed = frame[frame["between"] > 0].drop_duplicates(["device", "between"])
    shares = [(float(r["between"]), esc(r["device"])) for r in records(timed)]
    told = [f"{data(part, f'{100 * part:.3g} %')} ({device})" for part, device in shares]
    spread = f" and for a stated spread between one process and another: {', '.join(told)}" if told else ""
    return (
        '<p class="note">“At the earliest” and “at the latest” are the ends of where a rerun’s crossing is expected '
        f"(95 %). They allow for the spread of the repeats{spread}.</p>"
    )
