"""Model FLOP utilisation: the counted FLOPs of a training step over its time, as a share of what the device can do."""

import pandas as pd

from seqscale.reporting.chart import Axis, Chart, Lines, Series, nothing
from seqscale.reporting.scaling import batch_words, device_name, series_of
from seqscale.reporting.source import Tables
from seqscale.reporting.suites import suites_of


def utilisation(tables: Tables, title: str) -> Chart:
    """One panel for each suite of training steps and device; a device without a measured ceiling (a CPU) has none."""
    rows = tables.bench[(tables.bench["quantity"] == "mfu") & ~tables.bench["oom"] & tables.bench["median"].notna()]
    panels, kept, told = [], [], [f"{title}."]
    for suite in suites_of("train_step", tables.bench):
        for device, part in rows[rows["suite"] == suite].groupby("device", sort=True):
            heading = ", ".join([device_name(str(device)), *batch_words(part)])
            heading = heading[:1].upper() + heading[1:] if suite == "train_step" else f"{suite}: {heading}"
            series = []
            for model, label, line in series_of(part, tables):
                x, y, low, high = (line[c].tolist() for c in ("length", "median", "p20", "p80"))
                series.append(Series(model, label, x, y, low, high))
            x_axis = Axis("sequence length (tokens)", log=True, lengths=True)
            panels.append(Lines(heading, x_axis, Axis("share of the matrix-product rate", share=True), tuple(series)))
            kept.append(part)
            most = [f"{s.label} at most {max(s.y):.1%}" for s in series]
            told.append(f"{heading}: {', '.join(most)}.")
    if not panels:
        return nothing(title, "the bench table holds no mfu: it is measured on GPUs, in suites of kind train_step.")
    return Chart(
        title, tuple(panels), pd.concat(kept, ignore_index=True).dropna(axis="columns", how="all"), " ".join(told)
    )


BUILD = {"mfu": utilisation}
