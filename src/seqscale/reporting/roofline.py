"""Every scan of a suite of kind "kernels" beside what the device can do at most, measured in the same job.

Two pictures of the same rows. The roofline: FLOPs of a call in a second against FLOPs for each byte that must move,
under a slope (the copy rate) and two flats (special-function unit, multiply-add units). All shapes of a dtype lie at
nearly one place there, so beside it the same against size: state updates in a second, where the ceilings are flats and
a kernel that waits for launches is seen to climb.

What one state update (a token, channel and state) takes at least, from the recurrence and its gradient; softplus, gate
and the sums over channels are left out, which keeps the ceilings ceilings:

    forward     one exponential; delta A, (delta u) B, decay h + ., y + C h: four multiply-add slots
    backward    one exponential, for states are not kept (that would move 4 bytes for each); three slots for the state
                again, two for its gradient, dC, dB, <g, B>, two for g decay h, d delta, dA: twelve slots
    bytes       forward u, delta, z, B, C read, y written; backward those and dy read, du, d delta, dz, dB, dC written

FLOPs are counted as everywhere here: 9 an update forward, and a backward counts twice that.
"""

from typing import Any

import numpy as np
import pandas as pd

from seqscale.reporting.chart import Axis, Chart, Lines, Mark, Series, nothing
from seqscale.reporting.html import si_text
from seqscale.reporting.scaling import DIRECTION_WORDS, device_name
from seqscale.reporting.source import Tables, records
from seqscale.reporting.suites import suites_of

FLOPS = {"forward": 9.0, "forward+backward": 27.0}
EXPONENTIALS = {"forward": 1.0, "forward+backward": 2.0}
SLOTS = {"forward": 4.0, "forward+backward": 16.0}
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
NO_SCAN = ("ceiling", "floor")
RATES = {  # quantity of the ceiling: look, words, unit
    "copy_rate": ("@bytes", "copy rate", "B/s"),
    "exp2_rate": ("@exponentials", "exponentials", "/s"),
    "fma_rate": ("@multiply-adds", "multiply-adds", "/s"),
}


def moved_bytes(tokens: Any, d_inner: Any, d_state: Any, direction: str, item_bytes: Any) -> Any:
    """Bytes that a call moves at least; `tokens` is batch x length."""
    forward = 4 * d_inner + 2 * d_state
    backward = 7 * d_inner + 4 * d_state if direction == "forward+backward" else 0
    return tokens * (forward + backward) * item_bytes


def scans(tables: Tables) -> pd.DataFrame:
    """One row per scan, size, dtype and direction: its time, what it must do, and the least time for each of that."""
    bench = tables.bench
    found = []
    for suite in suites_of("kernels", bench):
        rows = bench[bench["suite"] == suite]
        for device, mine in rows.groupby("device", sort=True):
            rates = {
                q: float(mine.loc[mine["quantity"] == q, "median"].iloc[0])
                for q in RATES
                if len(mine[(mine["quantity"] == q) & mine["median"].notna()])
            }
            timed = mine[(mine["quantity"] == "time") & ~mine["implementation"].isin(NO_SCAN)]
            timed = timed[timed["direction"].isin(FLOPS) & timed["dtype"].isin(ITEM_BYTES)]
            found.append(_with_floors(timed, rates).assign(device=device_name(str(device))))
    found = [frame for frame in found if len(frame)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _with_floors(timed: pd.DataFrame, rates: dict[str, float]) -> pd.DataFrame:
    """Floors are empty where the device's rate was not measured (a CPU has the copy rate alone)."""
    frame = timed.copy()
    tokens = frame["batch"] * frame["length"]
    by = frame["direction"]
    frame["updates"] = tokens * frame["d_inner"] * frame["d_state"]
    frame["flops"] = frame["updates"] * by.map(FLOPS)
    frame["bytes"] = [
        moved_bytes(n, r["d_inner"], r["d_state"], r["direction"], ITEM_BYTES[r["dtype"]])
        for n, r in zip(tokens, records(frame), strict=True)
    ]
    amounts = {"copy_rate": frame["bytes"], "exp2_rate": frame["updates"] * by.map(EXPONENTIALS),
               "fma_rate": frame["updates"] * by.map(SLOTS)}  # fmt: skip
    floors = {q: amounts[q] / rates.get(q, np.nan) for q in RATES}
    frame["floor_bytes"], frame["floor_exponentials"], frame["floor_multiply_adds"] = floors.values()
    frame["floor"] = pd.concat(floors, axis=1).max(axis=1)
    frame["share_of_floor"] = frame["floor"] / frame["median"]  # 1: nothing is left to gain
    frame["updates_per_second"] = frame["updates"] / frame["median"]
    frame["flops_per_second"] = frame["flops"] / frame["median"]
    frame["flops_per_byte"] = frame["flops"] / frame["bytes"]
    return frame.assign(**rates)


def roofline(tables: Tables, title: str) -> Chart:
    """For each direction the roofline, then throughput against size for each dtype."""
    frame = scans(tables)
    if frame.empty or not (~frame["oom"] & frame["median"].notna()).any():
        return nothing(title, "the bench table holds no suite of kind kernels.")
    panels: list[Lines] = []
    told = [f"{title}."]
    several = frame["suite"].nunique() > 1 or frame["device"].nunique() > 1
    for (suite, device, direction), part in frame.groupby(["suite", "device", "direction"], sort=True):
        good = part[~part["oom"] & (part["median"] > 0)]
        if good.empty:
            continue
        where = f", {suite} on {device}" if several else f", {device}"
        words = DIRECTION_WORDS[str(direction)]
        panels.append(_roof(good, str(direction), f"Roofline: {words}{where}"))
        for dtype, of_dtype in part.groupby("dtype", sort=True):
            panels.append(_sizes(of_dtype, str(direction), f"{words[:1].upper()}{words[1:]}, {dtype}{where}"))
        best = good.sort_values("share_of_floor").dropna(subset=["share_of_floor"]).groupby("implementation").tail(1)
        told += [f"{words}{where}: " + ", ".join(
            f"{r['implementation']} reaches {r['share_of_floor']:.0%} of the ceiling at best" for r in records(best)
        ) + "."]  # fmt: skip
    keep = ["suite", "device", "dtype", "direction", "implementation", "batch", "d_inner", "length", "d_state",
            "median", "p20", "p80", "repeats", "oom", "updates", "flops", "bytes", "flops_per_byte", "flops_per_second",
            "updates_per_second", "floor_bytes", "floor_exponentials", "floor_multiply_adds", "floor",
            "share_of_floor", *(q for q in RATES if q in frame)]  # fmt: skip
    return Chart(title, tuple(panels), frame[keep].dropna(axis="columns", how="all"), " ".join(told))


def _roof(rows: pd.DataFrame, direction: str, heading: str) -> Lines:
    """One series for each scan and dtype: the span of its shapes at about one number of FLOPs for each byte."""
    series = []
    for (name, dtype), line in rows.groupby(["implementation", "dtype"], sort=True):
        line = line.sort_values(["flops_per_byte", "flops_per_second"])
        series.append(Series(str(name), f"{name}, {dtype}", line["flops_per_byte"].tolist(),
                             line["flops_per_second"].tolist()))  # fmt: skip
    x = rows["flops_per_byte"]
    ends = np.array([x.min() / 4, x.max() * 4])
    slope = {"copy_rate": ends * _rate(rows, "copy_rate")}
    flat = {
        q: np.full(2, _rate(rows, q) * FLOPS[direction] / each[direction])
        for q, each in (("exp2_rate", EXPONENTIALS), ("fma_rate", SLOTS))
    }
    for q, y in {**slope, **flat}.items():
        if np.isfinite(y).all():
            series.append(Series(RATES[q][0], _told(rows, q), ends.tolist(), y.tolist()))
    x_axis, y_axis = Axis("FLOPs for each byte that must move", log=True), Axis("FLOPs in a second", "FLOP/s", log=True)
    return Lines(heading, x_axis, y_axis, tuple(series), header="ceilings as measured")


def _sizes(rows: pd.DataFrame, direction: str, heading: str) -> Lines:
    series, marks = [], []
    for name, line in rows.groupby("implementation", sort=True):
        line = line.sort_values(["updates", "updates_per_second"])
        for r in records(line[line["oom"]]):
            marks.append(Mark(str(name), str(name), r["updates"], np.nan, f"{name}: out of memory"))
        line = line[~line["oom"] & (line["median"] > 0)]
        if len(line):
            x, y = line["updates"].tolist(), line["updates_per_second"].tolist()
            low, high = ((line["updates"] / line[q].fillna(line["median"])).tolist() for q in ("p80", "p20"))
            series.append(Series(str(name), str(name), x, y, low, high))
    at = rows.drop_duplicates(["updates", "bytes"]).sort_values(["updates", "bytes"])
    beyond = [at["updates"].iloc[0] / 1.5, *at["updates"], at["updates"].iloc[-1] * 1.5]  # a line for one shape, too
    ceilings = {
        "copy_rate": _rate(rows, "copy_rate") * at["updates"] / at["bytes"],
        "exp2_rate": pd.Series(_rate(rows, "exp2_rate") / EXPONENTIALS[direction], index=at.index),
        "fma_rate": pd.Series(_rate(rows, "fma_rate") / SLOTS[direction], index=at.index),
    }
    for q, top in ceilings.items():
        if top.notna().all():
            y = [top.iloc[0], *top, top.iloc[-1]]
            series.append(Series(RATES[q][0], _told(rows, q), beyond, y))
    axis = Axis("state updates in a call (batch × length × d_inner × d_state)", log=True)
    return Lines(heading, axis, Axis("state updates in a second", log=True), tuple(series), tuple(marks))


def _rate(rows: pd.DataFrame, quantity: str) -> float:
    return float(rows[quantity].iloc[0]) if quantity in rows else float("nan")


def _told(rows: pd.DataFrame, quantity: str) -> str:
    _, words, unit = RATES[quantity]
    return f"{words} {si_text(_rate(rows, quantity), unit)}"


BUILD = {"roofline": roofline}
