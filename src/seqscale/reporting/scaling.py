"""Figures about time, memory and FLOPs against length, all from the bench and scaling tables.

Axes are logarithmic, so a power law is a straight line and its exponent the slope. Points are medians, bars the 20th
and 80th percentile. Running out of memory is a point, too: a cross at the top edge.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

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
from seqscale.reporting.source import Tables, records
from seqscale.reporting.style import Style

VARIANTS = ("implementation", "dtype", "batch", "d_state", "d_inner")  # told in a label only where a model has several


class Plan(NamedTuple):
    """What a figure shows: rows of the bench table, and words."""

    suite: str
    quantity: str
    directions: tuple[str, ...]
    y_label: str
    unit: str
    x_label: str


PLANS: dict[str, Plan] = {
    "prefill_scaling": Plan("prefill", "time", ("forward",), "time per forward pass", "s", "sequence length (tokens)"),
    "decode_scaling": Plan("decode", "time_per_token", ("step",), "time per generated token", "s", "context (tokens)"),
    "train_step_scaling": Plan(
        "train_step", "time", ("forward+backward",), "time per training step", "s", "sequence length (tokens)"
    ),
    "memory_scaling": Plan(
        "memory", "peak_memory", ("forward", "forward+backward"), "peak memory", "B", "sequence length (tokens)"
    ),
    "state_size": Plan("memory", "state", ("step",), "state or cache", "B", "tokens read so far"),
    "flops_scaling": Plan(
        "flops", "flops", ("forward", "forward+backward"), "FLOPs per sequence", "", "sequence length (tokens)"
    ),
}
DIRECTION_WORDS = {"forward": "forward", "forward+backward": "forward and backward", "step": "one token at a time"}


def _series(rows: pd.DataFrame, tables: Tables) -> list[tuple[str, str, pd.DataFrame]]:
    """(model, label, rows by length): one per model, or per model and variant where a model was measured in several."""
    found = []
    for model, group in rows.groupby("model", sort=True):
        varying = [column for column in VARIANTS if group[column].nunique(dropna=False) > 1]
        if not varying:
            found.append((str(model), tables.model_title(str(model)), group.sort_values("length")))
            continue
        for key, part in group.groupby(varying, dropna=False, sort=True):
            words = " ".join(f"{k:g}" if isinstance(k, float) else str(k) for k in key)
            found.append((str(model), f"{tables.model_title(str(model))}, {words}", part.sort_values("length")))
    return found


def _exponent(tables: Tables, plan: Plan, line: pd.DataFrame, direction: str, brief: bool) -> str:
    """ "1.02 [0.98, 1.05]" from the scaling table for the curve `line`, or nothing; `brief` leaves the interval out."""
    s = tables.scaling
    row = s[(s["suite"] == plan.suite) & (s["quantity"] == plan.quantity) & s["exponent"].notna()]
    for column in ("model", "implementation", "device", "dtype", "batch"):
        row = row[row[column].isna() | row[column].isin(line[column])]  # a column left empty speaks for all variants
    row = row[row["direction"].isna() | (row["direction"] == direction)]
    if len(row) != 1:
        return ""
    value, low, high = (float(row[c].iloc[0]) for c in ("exponent", "ci_low", "ci_high"))
    exact = brief or not (np.isfinite(low) and np.isfinite(high)) or high - low < 0.005
    text = f"{value:.2f}" if exact else f"{value:.2f} [{low:.2f}, {high:.2f}]"
    return text.replace("-0.00", "0.00") + (" ↑" if bool(row["still_rising"].iloc[0]) else "")


def _guides(axes: Axes, lengths: pd.Series, style: Style) -> None:
    """Faint lines of slope 1 and 2 from the panel's lower left, to compare slopes by eye."""
    left, right = float(lengths.min()), float(lengths.max())
    bottom, top = axes.get_ylim()
    if right <= left:
        return
    for power in (1, 2):
        x_end = min(right, left * (top / bottom) ** (1 / power))
        axes.plot([left, x_end], [bottom, bottom * (x_end / left) ** power], color=style.faint, lw=1.4, zorder=1)
        axes.annotate(f"slope {power}", (x_end, bottom * (x_end / left) ** power), xytext=(-3, -3),
                      textcoords="offset points", ha="right", va="top", fontsize=7, color=style.muted)  # fmt: skip


def _draw_oom(axes: Axes, series: list[tuple[str, str, pd.DataFrame]], style: Style) -> list[str]:
    """A cross at the top edge for every point that did not fit into memory; returns what it says."""
    said, height = [], 0.965
    for model, label, rows in series:
        failed = rows[rows["oom"]]
        if failed.empty:
            continue
        look, x = style.model(model), float(failed["length"].min())
        axes.plot(failed["length"], [height] * len(failed), marker="X", ms=9, color=look.color, mec=style.paper,
                  mew=0.8, ls="none", transform=axes.get_xaxis_transform(), zorder=6)  # fmt: skip
        axes.annotate(f"{label}: out of memory at {length_text(x)}", (x, height), xycoords=axes.get_xaxis_transform(),
                      xytext=(-8, 0), textcoords="offset points", ha="right", va="center", fontsize=7.5,
                      bbox={"fc": style.paper, "ec": "none", "pad": 1}, zorder=5)  # fmt: skip
        said.append(f"{label} ran out of memory at {length_text(x)}")
        height -= 0.062
    return said


def _panel(
    axes: Axes, rows: pd.DataFrame, tables: Tables, style: Style, plan: Plan, direction: str, brief: bool
) -> str:
    """Draw one panel; return its description. `brief`: labels without intervals, where panels are narrow."""
    series = _series(rows, tables)
    good = rows[~rows["oom"] & (rows["median"] > 0)]
    log_axis(axes, "y", [*good["median"], *good["p20"].dropna(), *good["p80"].dropna()], plan.unit)
    if rows["oom"].any():  # room for the crosses
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom, top * (top / bottom) ** 0.16)
    log_lengths(axes, rows["length"].tolist())
    if len(good):
        _guides(axes, good["length"], style)
    labels, told, zeros = [], [], []
    shifts, (left, right) = _dodge(series), axes.get_xlim()
    for model, label, line in series:
        look = style.model(model)
        line = line[~line["oom"] & line["median"].notna()]
        if len(line) and (line["median"] <= 0).all():
            zeros.append(label)
            continue
        line = line[line["median"] > 0]
        if line.empty:
            labels.append(EndLabel(f"{label}  no point", look, float("nan")))
            continue
        spread = np.vstack([(line["median"] - line["p20"]).clip(lower=0), (line["p80"] - line["median"]).clip(lower=0)])
        x = line["length"] * (right / left) ** (0.013 * shifts[label])
        axes.errorbar(x, line["median"], yerr=np.nan_to_num(spread), color=look.color, ls=look.linestyle,
                      marker=look.marker, elinewidth=1, capsize=2, zorder=3)  # fmt: skip
        exponent = _exponent(tables, plan, line, direction, brief)
        labels.append(EndLabel(f"{label}  {exponent}".rstrip(), look, float(line["median"].iloc[-1])))
        told.append(f"{label} {'exponent ' + exponent if exponent else 'no exponent fitted'}")
    axes.set_xlabel(plan.x_label)
    axes.set_ylabel(plan.y_label)
    if zeros:
        axes.text(0.02, 0.97, f"none at all: {', '.join(zeros)}", transform=axes.transAxes, va="top", fontsize=7.5,
                  color=style.muted)  # fmt: skip
        told.append(f"none at all: {', '.join(zeros)}")
    said = _draw_oom(axes, series, style)
    header = "fitted exponent" if brief else "fitted exponent [95 %]"
    if any("↑" in each.text for each in labels):
        header += "\n↑ still rising: at least this"
    end_labels(axes, labels, style, header)
    return "; ".join([*told, *said]) + "."


def _device(name: str | None) -> str:
    return "unknown device" if not name else "CPU" if name.lower() == "cpu" else name


def _dodge(series: list[tuple[str, str, pd.DataFrame]]) -> dict[str, float]:
    """Shift in steps for curves that lie on each other (within 1 % everywhere), so that each can be seen."""
    alike: list[list[tuple[str, pd.Series]]] = []
    for _, label, line in series:
        values = line[~line["oom"] & (line["median"] > 0)].set_index("length")["median"]
        for group in alike:
            other = group[0][1]
            if values.index.equals(other.index) and len(values) and bool(((values / other - 1).abs() < 0.01).all()):
                group.append((label, values))
                break
        else:
            alike.append([(label, values)])
    return {label: k - (len(group) - 1) / 2 for group in alike for k, (label, _) in enumerate(group)}


def _bench_figure(name: str) -> Callable[[Tables, Style, str], Drawing]:
    plan = PLANS[name]

    def draw(tables: Tables, style: Style, title: str) -> Drawing:
        rows = tables.bench
        rows = rows[(rows["suite"] == plan.suite) & (rows["quantity"] == plan.quantity)]
        rows = rows[rows["length"].notna() & (rows["oom"] | rows["median"].notna())]
        panels = [
            (str(device), direction, part)
            for device, at in rows.assign(device=rows["device"].map(_device)).groupby("device", sort=True)
            for direction in plan.directions
            if len(part := at[at["direction"] == direction])
        ]
        if not panels:
            why = f"the bench table holds no {plan.quantity.replace('_', ' ')} of the suite {plan.suite}."
            return nothing_to_draw(style, title, why)
        figure, sheets = sheet(len(panels))
        alt = [f"{title}, both axes logarithmic."]
        for axes, (device, direction, part) in zip(sheets, panels, strict=True):
            batches = ", ".join(f"{b:g}" for b in sorted(part["batch"].dropna().unique()))
            words = [DIRECTION_WORDS[direction]] if len(plan.directions) > 1 else []
            heading = ", ".join([*words, device] + ([f"batch {batches}"] if batches else []))
            title_of(axes, heading[:1].upper() + heading[1:])
            alt.append(f"{heading}: {_panel(axes, part, tables, style, plan, direction, len(panels) > 1)}")
        data = pd.concat([part for _, _, part in panels], ignore_index=True)
        return Drawing(figure, data.dropna(axis="columns", how="all"), " ".join(alt))

    draw.__doc__ = f"{plan.y_label} against {plan.x_label}."
    return draw


def scaling_exponents(tables: Tables, style: Style, title: str) -> Drawing:
    """Dot plot of every fitted exponent with its interval; guides at 0 (constant), 1 (linear) and 2 (quadratic)."""
    fits = tables.scaling.dropna(subset=["exponent"])
    groups = [
        (plan, direction, part)
        for plan in PLANS.values()
        for direction in plan.directions
        if len(part := fits[(fits["suite"] == plan.suite) & (fits["quantity"] == plan.quantity)
                            & (fits["direction"].fillna(direction) == direction)])
    ]  # fmt: skip
    if not groups:
        return nothing_to_draw(style, title, "no exponent was fitted (the scaling table is empty).")
    groups = [(plan, direction, _labelled(part, tables)) for plan, direction, part in groups]
    fits = pd.concat([part for _, _, part in groups], ignore_index=True)
    figure, panels = sheet(len(groups), height=1.05 + 0.21 * max(len(part) for _, _, part in groups))
    low = min(0.0, float(fits["exponent"].min()))
    high = max(2.0, float(fits["exponent"].max()))
    alt = [f"{title} with 95 % intervals; 0 is constant, 1 linear, 2 quadratic."]
    for axes, (plan, direction, part) in zip(panels, groups, strict=True):
        for power in (0, 1, 2):
            axes.axvline(power, color=style.muted, lw=0.8, zorder=1)
        for y, row in enumerate(records(part)):
            look = style.model(str(row["model"]))
            if math.isfinite(row["ci_low"]):
                axes.plot(
                    [row["ci_low"], row["ci_high"]], [y, y], color=look.color, lw=3, alpha=0.45, solid_capstyle="butt"
                )
            axes.plot(
                [row["exponent"]], [y], marker=look.marker, ms=6.5, color=look.color, mec=style.paper, mew=0.6, zorder=3
            )
        axes.set_yticks(range(len(part)), part["label"].tolist())
        for tick in axes.get_yticklabels():
            tick.set_color(style.ink)
        axes.set_ylim(len(part) - 0.4, -0.6)
        axes.set_xlim(low - 0.25, high + 0.25)  # wide intervals may leave the panel
        heading = plan.y_label + (f", {DIRECTION_WORDS[direction]}" if len(plan.directions) > 1 else "")
        title_of(axes, heading[:1].upper() + heading[1:])
        axes.set_xlabel("exponent of length: 0 constant, 1 linear, 2 quadratic")
        alt.append(f"{heading}: " + ", ".join(f"{r['label']} {r['exponent']:.2f}" for r in records(part)) + ".")
    return Drawing(figure, fits.drop(columns="label").dropna(axis="columns", how="all"), " ".join(alt))


def _labelled(part: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """Rows of one panel, least exponent first, with a label that tells variants of a model and rising curves apart."""
    part = part.sort_values(["exponent", "model"]).reset_index(drop=True)
    varying = [c for c in ("implementation", "device", "dtype", "batch") if part[c].nunique(dropna=False) > 1]
    labels = []
    for row in records(part):
        words = [tables.model_title(str(row["model"])), *(str(row[c]) for c in varying if row[c] is not None)]
        labels.append(", ".join(words) + (" ↑" if row["still_rising"] else ""))
    return part.assign(label=labels)


DRAW: dict[str, Callable[[Tables, Style, str], Drawing]] = {
    **{name: _bench_figure(name) for name in PLANS},
    "scaling_exponents": scaling_exponents,
}
