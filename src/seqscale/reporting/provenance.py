"""The report's last sections: what failed or is missing, named one by one, and where everything comes from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from seqscale.reporting.catalog import FIGURES
from seqscale.reporting.html import Cell, esc, number, plural, table
from seqscale.reporting.source import Tables, records
from seqscale.reporting.verdicts import counts


def _run_name(run: Any) -> tuple[str, str, str] | None:
    """(experiment, model, seed) of an entry of the configuration's run list; None if it names no run."""
    if not isinstance(run, Mapping) or "seed" not in run:
        return None
    model = run.get("model")
    model = model.get("name") if isinstance(model, Mapping) else model
    return str(run.get("experiment")), str(model), f"{run['seed']}"


def holes(tables: Tables, verdicts: pd.DataFrame, config: Mapping[str, Any], figures: Path) -> str:
    """Everything that failed, diverged, ran out of memory, is missing or needs a grain of salt."""
    parts = [
        _items("Runs that did not finish", _broken_runs(tables)),
        _items("Runs that were asked for and are not in the tables", _absent_runs(tables, config)),
        _items("Learning rates that failed in the search", _failed_rates(tables)),
        _items("Benchmark points that did not fit into memory", _out_of_memory(tables)),
        _items("Curves without a fitted exponent", _unfitted(tables)),
        _items("Learning rates chosen at their grid's edge (a wider grid may help these models)", _at_edge(tables)),
        _items("Models whose size differs by more than 5 % from the reference", _unmatched(tables)),
        _items("Tables that are missing", [f"{esc(name)}.csv" for name in tables.missing]),
        _items(
            "Figures that are missing", [esc(f.title) for f in FIGURES if not (figures / f"{f.name}.svg").is_file()]
        ),
    ]
    untested = counts(verdicts)["not tested"]
    if untested:
        parts.append(f"<p>{plural(untested, 'verdict')} “not tested”; the reasons stand with the verdicts.</p>")
    text = "".join(parts)
    return text or "<p>Nothing failed, diverged, ran out of memory or is missing.</p>"


def _items(title: str, items: list[str]) -> str:
    if not items:
        return ""
    return (
        f'<h3>{title} <span class="count">{len(items)}</span></h3><ul class="holes">'
        + "".join(f"<li>{i}</li>" for i in items)
        + "</ul>"
    )


def _model(tables: Tables, row: Mapping[str, Any]) -> str:
    return esc(tables.model_title(str(row["model"])))


def _who(tables: Tables, row: Mapping[str, Any]) -> str:
    return f"{esc(tables.experiment_title(str(row['experiment'])))}, {_model(tables, row)}"


def _broken_runs(tables: Tables) -> list[str]:
    bad = tables.runs[tables.runs["status"].fillna("ok") != "ok"]
    return [
        f"{_who(tables, r)}, seed {r['seed']:g}: <strong>{esc(r['status'])}</strong>"
        + (f": {esc(r['reason'])}" if r["reason"] else "")
        for r in records(bad)
    ]


def _absent_runs(tables: Tables, config: Mapping[str, Any]) -> list[str]:
    there = {(str(r["experiment"]), str(r["model"]), f"{r['seed']:g}") for r in records(tables.runs)}
    wanted = [name for run in config.get("runs") or [] if (name := _run_name(run)) is not None]
    return [
        f"{_who(tables, {'experiment': e, 'model': m})}, seed {esc(s)}"
        for e, m, s in dict.fromkeys(wanted)
        if (e, m, s) not in there
    ]


def _failed_rates(tables: Tables) -> list[str]:
    bad = tables.search[tables.search["status"].fillna("ok") != "ok"]
    return [f"{_who(tables, r)}, learning rate {number(r['lr'], 2)}: {esc(r['status'])}" for r in records(bad)]


def _out_of_memory(tables: Tables) -> list[str]:
    bad = tables.bench[tables.bench["oom"]]
    return [
        f"{_model(tables, r)}, suite {esc(r['suite'])}, {esc(r['direction'])}, length {r['length']:g}, "
        + esc(r["device"])
        for r in records(bad.drop_duplicates(["suite", "model", "direction", "length", "device", "implementation"]))
    ]


def _unfitted(tables: Tables) -> list[str]:
    bad = tables.scaling[tables.scaling["exponent"].isna() & tables.scaling["reason"].notna()]
    return [
        f"{_model(tables, r)}, {esc(r['suite'])}, {esc(r['quantity'])}, {esc(r['direction'])}: {esc(r['reason'])}"
        for r in records(bad)
    ]


def _at_edge(tables: Tables) -> list[str]:
    edge = tables.runs[tables.runs["lr_at_edge"]].drop_duplicates(["experiment", "model"])
    return [f"{_who(tables, r)}: {r['lr']:g}" for r in records(edge)]


def _unmatched(tables: Tables) -> list[str]:
    known = tables.runs[tables.runs["params_ratio"].notna() & ~tables.runs["matched"]]
    return [
        f"{_who(tables, r)}: {r['params_ratio']:.2f} times "
        + esc(tables.model_title(tables.reference(str(r["experiment"]))))
        for r in records(known.drop_duplicates(["experiment", "model"]))
    ]


LABELS = {
    "git_commit": "Git commit", "git_dirty": "Uncommitted changes", "config_digest": "Digest of the configuration",
    "python": "Python", "platform": "Operating system", "device": "Device", "cpu": "Processor",
    "threads": "Threads per run",
    "time_utc": "Time (UTC)", "packages": "Packages", "data_sha256": "SHA-256 of the data",
}  # fmt: skip


def provenance(tables: Tables, config: Mapping[str, Any]) -> str:
    """Commit, versions, machine, data checksums and the whole configuration."""
    given: dict[str, Any] = dict(config.get("provenance") or {})
    rows: list[list[Cell | str]] = []
    for key in [*(k for k in LABELS if k in given), *(k for k in given if k not in LABELS)]:
        rows.append([esc(LABELS.get(key, key.replace("_", " "))), Cell(_value(given[key]), "free")])
    for column, title in (
        ("git_commit", "Commits of the runs"),
        ("device", "Devices of the runs"),
        ("config_digest", "Configurations of the runs"),
    ):
        values = sorted(tables.runs[column].dropna().unique())
        if values:
            shown = ", ".join(f"<code>{esc(v[:16])}</code>" if column != "device" else esc(v) for v in values)
            rows.append(
                [title, Cell(shown if len(values) <= 6 else f"{len(values)} different ones (see runs.csv)", "free")]
            )
    html = (
        table("Where the numbers come from", ["What", "Value"], rows, "plain")
        if rows
        else '<p class="hole">No provenance was given.</p>'
    )
    whole = config.get("config")
    if whole:
        text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100)
        listing = f'<pre class="config" tabindex="0">{esc(text)}</pre>'
        html += f"<details><summary>The whole configuration</summary>{listing}</details>"
    return html


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "<br>".join(f"{esc(k)} <code>{esc(v)}</code>" for k, v in sorted(value.items())) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(esc(v) for v in value)
    return esc(value)
