"""Figures about experiments beside the runs: lengths never trained at, HiPPO's memory, S4's kernel."""

import math
from collections.abc import Callable

import pandas as pd

from seqscale.reporting.canvas import length_text
from seqscale.reporting.chart import OF_REPEATS, OVER_SEEDS, Axis, Chart, Lines, Mark, Series, nothing
from seqscale.reporting.intervals import estimate
from seqscale.reporting.source import Tables, records

WORDS = {
    "legs": "LegS",
    "legt": "LegT",
    "lagt": "LagT",
    "fourier": "Fourier",
    "best_polynomial": "best polynomial",
    "nplr": "S4, NPLR",
    "dense": "dense, by doubling",
    "power_series": "dense, step by step",
    "diagonalised": "diagonalised",
}
MEMORY = (1e-4, 5.0)  # errors that are drawn: beyond lie perfect recall, and Laguerre's tails, which reach a million
USELESS = 1.0  # a relative error above this tells nothing of what was asked


def extrapolation(tables: Tables, title: str) -> Chart:
    """Accuracy against length, a panel per experiment; the length trained at stands in its heading."""
    found = tables.extrapolation
    experiments = [e for e in tables.experiments if (found["experiment"] == e).any()]
    if not experiments:
        return nothing(title, "the extrapolation table is empty: no task was tested at other lengths than its own.")
    panels, data, alt = [], [], [f"{title}; higher is better."]
    for experiment in experiments:
        rows = found[found["experiment"] == experiment]
        means = _means(rows)
        trained = ", ".join(length_text(n) for n in sorted(rows["train_length"].dropna().unique()))
        heading = f"{tables.experiment_title(experiment)} (trained at {trained})"
        series, marks = [], []
        for model, line in means.groupby("model", sort=True):
            name, lost = tables.model_title(str(model)), line[line["accuracy"].isna()]
            good = line[line["accuracy"].notna()]
            x, y, low, high = (good[c].tolist() for c in ("length", "accuracy", "ci_low", "ci_high"))
            series.append(Series(str(model), name, x, y, low, high, spread=OVER_SEEDS))
            told = f"{100 * y[-1]:.1f} % at {length_text(x[-1])}" if y else ""
            for row in records(lost):
                words = f"{name}: {row['status']} from {length_text(lost['length'].min())}"
                marks.append(Mark(str(model), name, float(row["length"]), math.nan, words))
            alt.append(f"{heading}, {name}: {told or 'no number'}{', ' + marks[-1].words if len(lost) else ''}.")
        across, up = Axis("length of the test (tokens)", log=True, lengths=True), Axis("test accuracy", share=True)
        panels.append(Lines(heading, across, up, tuple(series), tuple(marks), header="at the longest length"))
        data.append(means)
    return Chart(title, tuple(panels), pd.concat(data, ignore_index=True), " ".join(alt))


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy and 95 % interval over seeds, per model and length; empty where no seed has a number."""
    means = []
    for (model, length), group in rows.groupby(["model", "length"], sort=True):
        e = estimate(group["accuracy"].tolist(), share=True)
        bad = group.loc[group["accuracy"].isna(), "status"].dropna()
        means.append(
            {
                "experiment": group["experiment"].iloc[0],
                "model": model,
                "length": length,
                "accuracy": e.mean,
                "ci_low": e.low,
                "ci_high": e.high,
                "seeds": e.n,
                "status": "ok" if e.n or bad.empty else bad.iloc[0],
            }
        )
    return pd.DataFrame(means)


def hippo_memory(tables: Tables, title: str) -> Chart:
    """Error of recall against the size of the state: over the whole past, and under each system's own measure."""
    found = tables.analyses[(tables.analyses["suite"] == "hippo_memory") & tables.analyses["median"].notna()]
    if found.empty:
        return nothing(title, "the analyses table holds no hippo_memory.")
    length = length_text(float(found["length"].max()))
    alt = [f"{title}, of a signal of {length} steps; lower is better, 1 is no memory."]
    panels = []
    for quantity, heading in (
        ("error", "Over the whole past, each moment alike"),
        ("weighted_error", "Under the measure that each system optimises"),
    ):
        series = []
        rows = found[found["quantity"] == quantity]
        for (model, window), line in rows.groupby(["model", "implementation"], sort=True):
            of_window = str(window).startswith("window ")
            name = WORDS.get(str(model), str(model)) + (f", {window}" if of_window else "")
            series.append(_line(name, line[line["median"].between(*MEMORY)], "d_state"))
            last = line.sort_values("d_state")["median"].iloc[-1]
            alt.append(f"{heading}: {name} {last:.2g} at {line['d_state'].max():g}.")
        x = Axis(f"state size (numbers) for {length} steps", log=True, lengths=True)
        panels.append(Lines(heading, x, Axis("relative error of recall", log=True), tuple(series)))
    return Chart(title, tuple(panels), found.dropna(axis="columns", how="all"), " ".join(alt))


def s4_kernel(tables: Tables, title: str) -> Chart:
    """Time of the kernel against its length at the largest state, and its error against the size of the state."""
    found = tables.analyses[tables.analyses["suite"] == "nplr_kernel"]
    found = found[found["status"].fillna("ok") != "missing"]
    if found.empty:
        return nothing(title, "the analyses table holds no nplr_kernel.")
    largest, longest = found["d_state"].max(), found["length"].max()
    times = found[(found["quantity"] == "time") & (found["d_state"] == largest)]
    errors = found[(found["quantity"] == "error") & (found["length"] == longest)]
    devices = ", ".join(sorted({str(d).upper() for d in times["device"].dropna()}))
    alt, panels = [f"{title}, both axes logarithmic."], []
    time, error = Axis("time", "s", log=True), Axis("largest error, share of the largest value", log=True)
    at_longest = f"Error, float32 (length {length_text(float(longest))})"
    for rows, column, heading, x, y in (
        (times, "length", f"Time (d_state {largest:g}, {devices})", "length of the kernel", time),
        (errors, "d_state", at_longest, "state size (numbers)", error),
    ):
        useless = rows["median"].isna() | ((column == "d_state") & (rows["median"] > USELESS))
        series, marks = [], []
        for model, line in rows[~useless].groupby("model", sort=True):
            series.append(_line(WORDS.get(str(model), str(model)), line, column))
        for model, lost in rows[useless].groupby("model", sort=True):
            name, first = WORDS.get(str(model), str(model)), float(lost[column].min())
            words = f"{name}: an error above 1, or no number, from {first:g} on"
            marks += [Mark(name, name, float(at), math.nan, words) for at in lost[column]]
            alt.append(f"{words}.")
        panels.append(Lines(heading, Axis(x, log=True, lengths=True), y, tuple(series), tuple(marks)))
        alt += [f"{heading}: {s.label} {s.y[-1]:.2g}." for s in series]
    return Chart(title, tuple(panels), found.dropna(axis="columns", how="all"), " ".join(alt))


def _line(name: str, rows: pd.DataFrame, x: str) -> Series:
    """Medians with bars from the 20th to the 80th percentile; what is no model has a look by its own words."""
    rows = rows[rows["median"] > 0].sort_values(x)
    across, y, low, high = (rows[column].tolist() for column in (x, "median", "p20", "p80"))
    return Series(name, name, across, y, low, high, spread=OF_REPEATS)


BUILD: dict[str, Callable[[Tables, str], Chart]] = {
    "extrapolation": extrapolation,
    "hippo_memory": hippo_memory,
    "s4_kernel": s4_kernel,
}
