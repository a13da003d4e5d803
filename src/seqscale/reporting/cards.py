"""The models, one row each: size, state, FLOPs per token, block; and their words from report/mixers/NAME.rst."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from seqscale.reporting.source import Tables, records

CARDS = ["model", "title", "note", "mixer", "d_model", "n_layers", "channel_mixer", "norm", "positions", "params",
         "params_nonembedding", "forward_flops_per_token", "state_bytes_short", "state_length_short",
         "state_bytes_long", "state_length_long", "experiment"]  # fmt: skip
WORDS = Path(__file__).resolve().parents[3] / "report" / "mixers"


def card_table(tables: Tables, config: Mapping[str, Any]) -> pd.DataFrame:
    """One row per model that was asked for or measured; `experiment` is the one that size and FLOPs are taken from.

    `state_bytes_*`: state or cache at the shortest and the longest length measured.
    """
    described = (config.get("config") or {}).get("models") or {}
    used = [m for x in ((config.get("config") or {}).get("experiments") or {}).values() for m in x.get("models") or []]
    frames = (tables.models, tables.runs, tables.bench)
    measured = sorted({str(name) for frame in frames for name in frame["model"].dropna()})
    names = list(dict.fromkeys([*used, *measured]))
    extra = tables.table("models", "channel_mixer norm positions experiment", "forward_flops_per_token")
    states = tables.bench[(tables.bench["quantity"] == "state") & tables.bench["median"].notna()]
    rows = []
    for name in names:
        row: dict[str, Any] = dict.fromkeys(CARDS) | {"model": name, "title": tables.model_title(name)}
        spec = described.get(name) or {}
        row |= {k: spec[k] for k in CARDS if isinstance(spec.get(k), str | int) and k != "experiment"}
        mine = extra[extra["model"] == name]
        if len(mine):
            found = records(mine)[0]
            row |= {k: found[k] for k in CARDS if k in found and found[k] is not None and found[k] == found[k]}
        state = states[states["model"] == name].sort_values("length")
        if len(state):
            for end, at in (("short", state.iloc[0]), ("long", state.iloc[-1])):
                row[f"state_bytes_{end}"] = float(at["median"])
                row[f"state_length_{end}"] = float(at["length"])
        rows.append(row)
    frame = pd.DataFrame(rows, columns=CARDS)
    for column in CARDS:
        if column.startswith(("params", "forward", "state", "d_model", "n_layers")):
            frame[column] = pd.to_numeric(frame[column], errors="coerce").astype(float)
    return frame


def words_file(mixer: str | None) -> Path | None:
    """The description of a mixer, where somebody wrote one."""
    path = WORDS / f"{mixer}.rst"
    return path if mixer and path.is_file() else None


def whole(value: float) -> str:
    """A count as people write it, nothing where there is none."""
    return f"{value:,.0f}" if math.isfinite(value) else ""
