"""Where everything comes from, as tables: provenance, settings beside their defaults, holes, cost of the jobs."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from seqscale.files import read_json
from seqscale.reporting.html import esc_none, plural
from seqscale.reporting.source import Tables, records

MISSING = ["kind", "what", "reason"]
JOBS = ["rule", "job", "seconds", "cpu_seconds", "peak_memory_bytes"]
KINDS = {
    "experiment": "Experiments without a single run: not run in this part, failed, or lost",
    "run": "Runs that are not there: not run in this part, failed, or lost",
    "broken": "Runs that did not finish",
    "bench": "Benchmarks that are not there: not run in this part, failed, or lost",
    "file": "Files that could not be read",
    "rate": "Learning rates that failed in the search",
    "untried": "Learning rates without a result: not run in this part, failed, or lost",
    "memory": "Benchmark points that did not fit into memory",
    "fit": "Curves without a fitted exponent",
    "edge": "Learning rates chosen at their grid’s edge (a wider grid may help these models)",
    "size": "Models whose size differs by more than 5 % from the reference",
    "table": "Tables that are missing",
    "figure": "Figures that are missing",
}  # the order in which the page tells them; up to "table" it is what a reader must know first
UNLISTED = {"run": "not in the runs table", "bench": "not in the bench table"}  # the reasons of what has no row there
GRAVE = ("run", "bench", "file", "table", "figure")  # what makes a report partial


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested mappings as (dotted key, text); lists are one leaf."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        yield key, ", ".join(str(v) for v in value)
    else:
        yield key, "" if value is None else str(value)


def settings(config: Mapping[str, Any], default: Mapping[str, Any] | None) -> pd.DataFrame:
    """key, value, default, differs (same, changed, added, left out): the whole configuration beside the default one."""
    given = config.get("config")
    mine, base = (dict(_flat(values)) if values else {} for values in (given, default))
    rows = []
    for key in [*mine, *(k for k in base if k not in mine)]:
        how = "added" if key not in base else "left out" if key not in mine else "same"
        if how == "same" and mine[key] != base[key]:
            how = "changed"
        rows.append((key, mine.get(key), base.get(key), how if base else "same"))
    return pd.DataFrame(rows, columns=["key", "value", "default", "differs"])


def provenance(tables: Tables, config: Mapping[str, Any], data: Path | None = None) -> pd.DataFrame:
    """key, value: commit, versions, machine, checksums of the corpora, and what the runs themselves carry.

    `data`: the folder of the prepared corpora, each with a meta.json.
    """
    rows = list(_flat(config.get("provenance") or {}))
    if config.get("name"):
        rows.insert(0, ("configuration", str(config["name"])))
    for column in ("git_commit", "device", "machine", "config_digest"):
        if column not in tables.runs:  # of an older run
            continue
        values = sorted(str(v) for v in tables.runs[column].dropna().unique())
        if values:
            shown = ", ".join(values) if len(values) <= 6 else f"{len(values)} different ones, see runs.csv"
            rows.append((f"runs.{column}", shown))
    wanted = {x.get("dataset") for x in ((config.get("config") or {}).get("experiments") or {}).values()}
    for path in sorted(data.glob("*/meta.json")) if data else []:
        if path.parent.name in wanted:
            meta = read_json(path)
            sums = {"data_sha256": meta.get("sha256"), "data_files_sha256": meta.get("files_sha256")}
            rows += [(f"{key}.{path.parent.name}{'.' + k if k else ''}", v)
                     for key, value in sums.items() if value for k, v in _flat(value)]  # fmt: skip
    return pd.DataFrame(rows, columns=["key", "value"])


def _asked_for(config: Mapping[str, Any]) -> dict[str, set[str]]:
    """The names of the jobs that the configuration has, by rule; rules that are not here are taken as they come."""
    runs = {f"{e}/{m}/seed{s}" for e, m, s in _wanted(config)}
    search = {f"{s['experiment']}/{s['model']}/lr{s['lr']}" for s in config.get("search") or []}
    bench = {f"{b['suite']}/{b['model']}" for b in config.get("bench") or []}
    return {"train": runs, "evaluate": runs, "search": search, "bench": bench} if config else {}


def jobs(folder: Path | None, config: Mapping[str, Any]) -> pd.DataFrame:
    """Time and memory of every job, from the files that Snakemake's `benchmark:` leaves in results/jobs.

    Files of jobs that the configuration does not have (yesterday's) are passed over.
    """
    rows, wanted = [], _asked_for(config)
    for path in sorted(folder.rglob("*.tsv")) if folder and folder.is_dir() else []:
        frame = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        if frame.empty or "s" not in frame:
            continue
        last = frame.iloc[-1]
        relative = path.relative_to(folder) if folder else path
        memory, cpu = (float(last[name]) if name in last else math.nan for name in ("max_rss", "cpu_time"))
        rule, job = relative.parts[0].removesuffix(".tsv"), "/".join(relative.with_suffix("").parts[1:])
        if job not in wanted.get(rule, {job}):
            continue
        rows.append((rule, job, float(last["s"]), cpu, memory * 2**20))
    return pd.DataFrame(rows, columns=JOBS)


def missing(tables: Tables, config: Mapping[str, Any], unread: list[str]) -> pd.DataFrame:
    """kind, what, reason: everything that failed, is not there, or weakens a comparison. Kinds are those of KINDS."""

    def who(row: Mapping[str, Any]) -> str:
        return f"{tables.experiment_title(str(row['experiment']))}, {tables.model_title(str(row['model']))}"

    rows: list[tuple[str, str, str | None]] = []
    runs, bench = tables.runs, tables.bench
    gone = runs["status"] == "missing"
    rows += [("run", f"{who(r)}, seed {r['seed']:g}", r["reason"]) for r in records(runs[gone])]
    there = {(str(r["experiment"]), str(r["model"]), f"{r['seed']:g}") for r in records(runs)}
    for e, m, s in _wanted(config):
        if (e, m, s) not in there:
            rows.append(("run", f"{who({'experiment': e, 'model': m})}, seed {s}", UNLISTED["run"]))
    empty = runs[~runs["experiment"].isin(runs.loc[~gone, "experiment"])]
    for experiment, lost in empty.groupby("experiment", sort=False):
        counted = f"{plural(len(lost), 'run')} of {plural(lost['model'].nunique(), 'model')}"
        rows.append(("experiment", tables.experiment_title(str(experiment)), counted))
    bad = runs[~gone & (runs["status"].fillna("ok") != "ok")]
    rows += [
        ("broken", f"{who(r)}, seed {r['seed']:g}", f"{r['status']}: {esc_none(r['reason'])}") for r in records(bad)
    ]
    status = bench["status"] if "status" in bench else pd.Series("", index=bench.index)
    absent = bench[status == "missing"]
    rows += [
        ("bench", f"{r['suite']}, {tables.model_title(str(r['model']))}", r.get("reason")) for r in records(absent)
    ]
    measured = {(str(r["suite"]), str(r["model"])) for r in records(bench)}
    for job in config.get("bench") or []:
        if (str(job["suite"]), str(job["model"])) not in measured:
            rows.append(("bench", f"{job['suite']}, {tables.model_title(str(job['model']))}", UNLISTED["bench"]))
    rows += [("file", line, None) for line in unread]
    lost = tables.search[tables.search["status"].fillna("ok") != "ok"]
    rows += [
        ("rate", f"{who(r)}, learning rate {r['lr']:g}", str(r["status"]))
        if r["status"] != "missing"
        else ("untried", f"{who(r)}, learning rate {r['lr']:g}", None)
        for r in records(lost)
    ]
    full = bench[bench["oom"]].drop_duplicates(["suite", "model", "direction", "length", "device", "implementation"])
    rows += [
        ("memory", f"{tables.model_title(str(r['model']))}, suite {r['suite']}, {r['direction']}, "
         f"length {r['length']:g}, {r['device']}", None)
        for r in records(full)
    ]  # fmt: skip
    unfit = tables.scaling[tables.scaling["exponent"].isna() & tables.scaling["reason"].notna()]
    rows += [
        ("fit", f"{tables.model_title(str(r['model']))}, {r['suite']}, {r['quantity']}, {r['direction']}", r["reason"])
        for r in records(unfit)
    ]
    edge = runs[runs["lr_at_edge"]].drop_duplicates(["experiment", "model"])
    rows += [("edge", f"{who(r)}: {r['lr']:g}", None) for r in records(edge)]
    known = runs[runs["params_ratio"].notna() & ~runs["matched"]].drop_duplicates(["experiment", "model"])
    rows += [
        ("size", f"{who(r)}: {r['params_ratio']:.2f} times "
         f"{tables.model_title(tables.reference(str(r['experiment'])))}", None)
        for r in records(known)
    ]  # fmt: skip
    rows += [("table", f"{name}.csv", "the tables stage did not write it") for name in tables.missing]
    return pd.DataFrame(rows, columns=MISSING)


def _wanted(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(experiment, model, seed) of every run that the configuration asks for."""
    for run in config.get("runs") or []:
        if isinstance(run, Mapping) and "seed" in run:
            model = run.get("model")
            yield (str(run.get("experiment")), str(model.get("name") if isinstance(model, Mapping) else model),
                   f"{run['seed']}")  # fmt: skip
