"""Figures about experiments beside the runs: lengths never trained at, HiPPO's memory, S4's kernel."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, PercentFormatter

from seqscale.reporting.canvas import (
    Drawing,
    EndLabel,
    end_labels,
    length_text,
    log_axis,
    log_lengths,
    nothing_to_draw,
    sheet,
    title_of,
)
from seqscale.reporting.intervals import estimate
from seqscale.reporting.source import Tables
from seqscale.reporting.style import ModelStyle, Style

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
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")  # a share: 0.01, not 10m
WINDOW_DASHES = ("solid", "dashed", "dotted", "dashdot")


def extrapolation(tables: Tables, style: Style, title: str) -> Drawing:
    """Accuracy against length, a panel per experiment; the length trained at is marked."""
    found = tables.extrapolation
    experiments = [e for e in tables.experiments if (found["experiment"] == e).any()]
    if not experiments:
        return nothing_to_draw(
            style, title, "the extrapolation table is empty: no task was tested at other lengths than its own."
        )
    figure, panels = sheet(len(experiments))
    alt, data = [f"{title}; higher is better."], []
    for axes, experiment in zip(panels, experiments, strict=True):
        rows = found[found["experiment"] == experiment]
        means = _means(rows)
        labels = []
        for model, line in means.groupby("model", sort=True):
            look = style.model(str(model))
            good = line[line["accuracy"].notna()]
            spread = [(good["accuracy"] - good["ci_low"]).fillna(0), (good["ci_high"] - good["accuracy"]).fillna(0)]
            axes.errorbar(good["length"], good["accuracy"], yerr=np.clip(spread, 0, None), color=look.color,
                          ls=look.linestyle, marker=look.marker, elinewidth=1, capsize=2, zorder=3)  # fmt: skip
            name, lost = tables.model_title(str(model)), line[line["accuracy"].isna()]
            why = f"  {lost['status'].iloc[0]} from {length_text(lost['length'].min())}" if len(lost) else ""
            end = float(good["accuracy"].iloc[-1]) if len(good) else float("nan")
            labels.append(EndLabel(f"{name}{why}", look, end))
            told = f"{100 * end:.1f} % at {length_text(good['length'].max())}" if len(good) else "no number"
            alt.append(f"{tables.experiment_title(experiment)}, {name}: {told}{why}.")
        log_lengths(axes, rows["length"].tolist())
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        for length in rows["train_length"].dropna().unique():
            axes.axvline(length, color=style.muted, lw=0.9, zorder=1)
            axes.annotate("trained at", (length, 0.0), xytext=(4, 2), textcoords="offset points", ha="left",
                          fontsize=7, color=style.muted)  # fmt: skip
        axes.set_xlabel("length of the test (tokens)")
        axes.set_ylabel("test accuracy")
        title_of(axes, tables.experiment_title(experiment))
        end_labels(axes, labels, style, "at the longest length")
        data.append(means)
    return Drawing(figure, pd.concat(data, ignore_index=True), " ".join(alt))


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy and 95 % interval over seeds, per model and length; empty where no seed has a number."""
    means = []
    for (model, length), group in rows.groupby(["model", "length"], sort=True):
        e = estimate(group["accuracy"].tolist())
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


def hippo_memory(tables: Tables, style: Style, title: str) -> Drawing:
    """Error of recall against the size of the state: over the whole past, and under each system's own measure."""
    found = tables.analyses[(tables.analyses["suite"] == "hippo_memory") & tables.analyses["median"].notna()]
    if found.empty:
        return nothing_to_draw(style, title, "the analyses table holds no hippo_memory.")
    panels = [(q, w, found[found["quantity"] == q]) for q, w in (("error", "Over the whole past, each moment alike"),
              ("weighted_error", "Under the measure that each system optimises"))]  # fmt: skip
    figure, sheets = sheet(len(panels), height=3.7)
    windows = sorted({str(w) for w in found["implementation"] if str(w).startswith("window ")}, reverse=True)
    length = length_text(float(found["length"].max()))
    alt = [f"{title}, of a signal of {length} steps; lower is better, 1 is no memory."]
    for axes, (_, heading, rows) in zip(sheets, panels, strict=True):
        labels = []
        for (model, window), line in rows.groupby(["model", "implementation"], sort=True):
            place = windows.index(str(window)) if str(window) in windows else 0
            look = replace(_look(style, str(model)), dash=WINDOW_DASHES[place % len(WINDOW_DASHES)])
            name = WORDS.get(str(model), str(model)) + (f", {window}" if str(window) in windows else "")
            labels.append(_line(axes, line.sort_values("d_state"), "d_state", name, look))
            alt.append(f"{heading}: {name} {labels[-1].y:.2g} at {line['d_state'].max():g}.")
        log_lengths(axes, rows["d_state"].tolist())
        values = rows["median"].clip(lower=1e-4)
        log_axis(axes, "y", values.tolist(), "")
        axes.yaxis.set_major_formatter(PLAIN)
        axes.set_ylim(top=min(axes.get_ylim()[1], 5.0))  # Laguerre's tails reach a million: no memory is no memory
        axes.axhline(1.0, color=style.muted, lw=0.9, zorder=1)
        axes.set_xlabel(f"state size (numbers) for {length} steps")
        axes.set_ylabel("relative error of recall")
        title_of(axes, heading)
        end_labels(axes, labels, style, "error at the largest state")
    return Drawing(figure, found.dropna(axis="columns", how="all"), " ".join(alt))


def s4_kernel(tables: Tables, style: Style, title: str) -> Drawing:
    """Time of the kernel against its length at the largest state, and its error against the size of the state."""
    found = tables.analyses[tables.analyses["suite"] == "nplr_kernel"]
    if found.empty:
        return nothing_to_draw(style, title, "the analyses table holds no nplr_kernel.")
    largest, longest = found["d_state"].max(), found["length"].max()
    times = found[(found["quantity"] == "time") & (found["d_state"] == largest)]
    errors = found[(found["quantity"] == "error") & (found["length"] == longest)]
    figure, (left, right) = sheet(2, height=3.4)
    alt = [f"{title}, both axes logarithmic."]
    for axes, rows, x in ((left, times, "length"), (right, errors, "d_state")):
        useless = rows["median"].isna() | ((x == "d_state") & (rows["median"] > 1))
        good = rows[~useless]
        labels = [
            _line(axes, line.sort_values(x), x, WORDS.get(str(model), str(model)), _look(style, str(model)))
            for model, line in good.groupby("model", sort=True)
        ]
        log_lengths(axes, rows[x].tolist())
        drawn = pd.concat([good[column] for column in ("median", "p20", "p80")]).clip(lower=1e-9)
        log_axis(axes, "y", drawn.tolist(), "s")
        if x == "d_state":
            axes.yaxis.set_major_formatter(PLAIN)
        for model, lost in rows[useless].groupby("model", sort=True):
            look, name = _look(style, str(model)), WORDS.get(str(model), str(model))
            first = float(lost[x].min())
            axes.plot(lost[x], [0.96] * len(lost), marker="X", ms=9, color=look.color, ls="none",
                      transform=axes.get_xaxis_transform(), clip_on=False)  # fmt: skip
            alt.append(f"{name} is useless from {first:g} on: an error above 1, or no number at all.")
            labels = [label for label in labels if label.text != name]
            labels.append(EndLabel(f"{name}  above 1 from {first:g}", look, float("inf")))
        axes.set_xlabel("length of the kernel" if x == "length" else "state size (numbers)")
        axes.set_ylabel("time" if x == "length" else "largest error, share of the largest value")
        setting = f"d_state {largest:g}" if x == "length" else f"length {length_text(float(longest))}"
        devices = ", ".join(sorted({str(d).upper() for d in times["device"].dropna()}))
        title_of(axes, f"{'Time' if x == 'length' else 'Error, float32'} ({setting}, {devices})")
        end_labels(axes, labels, style)
        alt += [f"{'Time' if x == 'length' else 'Error'} of {label.text}: {label.y:.2g}." for label in labels]
    return Drawing(figure, found.dropna(axis="columns", how="all"), " ".join(alt))


def _look(style: Style, name: str) -> ModelStyle:
    """The look of a measure or of a way to compute a kernel."""
    return style.spare(list(WORDS).index(name)) if name in WORDS else style.model(name)


def _line(axes: Axes, line: pd.DataFrame, x: str, name: str, look: ModelStyle) -> EndLabel:
    """A line of medians with bars from the 20th to the 80th percentile; its label."""
    spread: Iterable[pd.Series] = (line["median"] - line["p20"], line["p80"] - line["median"])
    bars = np.vstack([np.nan_to_num(part.clip(lower=0)) for part in spread])
    axes.errorbar(line[x], line["median"], yerr=bars, color=look.color, ls=look.linestyle, marker=look.marker,
                  elinewidth=1, capsize=2, zorder=3)  # fmt: skip
    return EndLabel(name, look, float(line["median"].iloc[-1]))


DRAW: dict[str, Callable[[Tables, Style, str], Drawing]] = {
    "extrapolation": extrapolation,
    "hippo_memory": hippo_memory,
    "s4_kernel": s4_kernel,
}
