"""Training runs and learning-rate searches -> runs, history, search, samples, models.

A run that diverged or ran out of memory is a row like any other, with its status, its reason and empty results. A
file that the matrix asks for and that is not there is an error, or, where the caller allows it, a row with status
"missing". A file that is there but broken is an error always.
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from seqscale.files import read_json, read_table
from seqscale.tables.columns import COLUMNS, MISSING, OK
from seqscale.tables.labels import label_tables
from seqscale.tables.matrix import Matrix, RunKey, best_file

STATUSES = (OK, "diverged", "out of memory")
MATCHED_WITHIN = 0.05  # DESIGN, fair protocol: non-embedding parameters agree within 5 %

Rows = list[dict[str, Any]]


class Reader:
    """Reads files and gathers what is wrong with them, so that all problems are told at once."""

    def __init__(self, allow_missing: bool) -> None:
        self.allow_missing = allow_missing
        self.problems: list[str] = []

    def absent(self, path: Path) -> bool:
        """Whether `path` is not there; noted as a problem unless missing files are allowed."""
        if path.is_file():
            return False
        if not self.allow_missing:
            self.problems.append(f"{path}: no such file, though the configuration asks for it.")
        return True

    def json(self, path: Path, needed: tuple[str, ...]) -> dict[str, Any] | None:
        """The object in `path`, which has the keys `needed`; None (and a problem noted) if it is broken."""
        try:
            content = read_json(path)
        except (OSError, ValueError) as error:
            self.problems.append(str(error))
            return None
        if not isinstance(content, dict):
            self.problems.append(f"{path}: holds {type(content).__name__}, not an object.")
            return None
        if lacking := [key for key in needed if key not in content]:
            self.problems.append(f"{path}: lacks {', '.join(lacking)}. Delete it and run again: it will be remade.")
            return None
        return content

    def csv(self, path: Path, needed: list[str]) -> pd.DataFrame | None:
        """The table in `path`, which has the columns `needed`; None (and a problem noted) if it is broken."""
        try:
            table = read_table(path)
        except (OSError, ValueError) as error:  # pandas' EmptyDataError and ParserError are ValueErrors
            self.problems.append(f"{path}: cannot be read as CSV ({error}). Delete it and run again.")
            return None
        if lacking := [column for column in needed if column not in table]:
            self.problems.append(
                f"{path}: lacks the column {', '.join(lacking)}; it has {', '.join(map(str, table.columns))}."
            )
            return None
        return table


def collect_runs(
    results: Path, matrix: Matrix, reader: Reader
) -> tuple[Rows, list[pd.DataFrame], Rows, Rows, dict[str, Rows]]:
    """Rows of runs, pieces of history, rows of samples, rows of models, rows of the tables of classifiers."""
    runs: Rows = []
    histories: list[pd.DataFrame] = []
    samples: Rows = []
    models: dict[tuple[str, str], dict[str, Any]] = {}
    labels: dict[RunKey, dict[str, Any]] = {}
    searched = {(key.experiment, key.model) for key in matrix.search}
    edges = {pair: _at_edge(results, pair, reader) for pair in sorted(searched)}
    for key in matrix.runs:
        folder = key.folder(results)
        absent = [name for name in ("summary.json", "metrics.json", "history.csv") if reader.absent(folder / name)]
        if absent:
            reason = f"{' and '.join(absent)} of {key} not there: not run, failed, or lost"
            runs.append({**_identity(key), "status": MISSING, "reason": reason})
            continue
        summary = reader.json(folder / "summary.json", ("config", "status", "params", "params_nonembedding"))
        metrics = reader.json(folder / "metrics.json", ("status", "valid", "test"))
        history = reader.csv(folder / "history.csv", list(COLUMNS["history"])[3:])
        if summary is None or metrics is None or history is None:
            continue
        experiment_labels, model_labels = matrix.labels(key)
        summary["config"] = {**summary["config"], **experiment_labels}
        summary["config"]["model"] = {**summary["config"]["model"], **model_labels}
        if wrong := _wrong(summary, metrics, key):
            reader.problems.append(f"{folder}: {wrong}")
            continue
        runs.append(_run_row(key, summary, metrics, edges.get((key.experiment, key.model))))
        history = history[list(COLUMNS["history"])[3:]]
        histories.append(history.assign(experiment=key.experiment, model=key.model, seed=key.seed))
        if metrics.get("labels"):
            labels[key] = {**metrics["labels"], "dataset": summary["config"]["dataset"]}
        if metrics.get("sample"):
            sample = metrics["sample"]
            samples.append({**_identity(key), "prompt": sample.get("prompt"), "text": sample.get("text")})
        models.setdefault((key.experiment, key.model), _model_row(key, summary))
    _compare_params(runs)
    shown = {(row["experiment"], row["model"]): row for row in runs if row["status"] != MISSING}
    for pair, row in models.items():
        row.update({name: shown[pair].get(name) for name in ("params_ratio", "matched", "lr")})
    return runs, histories, samples, list(models.values()), label_tables(labels)


def collect_extrapolation(results: Path, matrix: Matrix, reader: Reader) -> Rows:
    """Rows of extrapolation: every length at which a run was tested beyond its own, from its metrics.json."""
    rows: Rows = []
    for key in matrix.runs:
        files = [key.folder(results) / name for name in ("metrics.json", "summary.json")]
        if not all(file.is_file() for file in files):  # collect_runs has told of it
            continue
        metrics, summary = (reader.json(f, k) for f, k in zip(files, (("status",), ("config",)), strict=True))
        if metrics is None or summary is None:
            continue
        for entry in metrics.get("lengths") or ():
            row = {name: entry.get(name) for name in ("length", "status", "reason")}
            row |= {"train_length": summary["config"].get("context"), "answers": entry.get("tokens")}
            rows.append({**_identity(key), **row, **{n: _number(entry.get(n)) for n in ("accuracy", "loss")}})
    return rows


def collect_search(results: Path, matrix: Matrix, reader: Reader) -> Rows:
    """Rows of search: every learning rate tried, with the chosen one marked."""
    rows: Rows = []
    for key in matrix.search:
        path = key.folder(results) / "summary.json"
        base = {"experiment": key.experiment, "model": key.model, "lr": float(key.lr)}
        if reader.absent(path):
            rows.append({**base, "status": MISSING, "reason": f"{path.name} of the search run is not there"})
            continue
        summary = reader.json(path, ("config", "status", "valid_loss"))
        if summary is None:
            continue
        best_path = best_file(results, key.experiment, key.model)
        best = reader.json(best_path, ("learning_rate", "at_edge")) if best_path.is_file() else None
        chosen = best is not None and _number(best["learning_rate"]) == base["lr"]
        rows.append(
            {
                **base,
                "seed": summary["config"].get("seed"),
                "valid_loss": _number(summary["valid_loss"]),
                "status": summary["status"],
                "reason": summary.get("reason"),
                "chosen": chosen if best else None,
                "at_edge": best["at_edge"] if best and chosen else None,
            }
        )
    return rows


def _identity(key: RunKey) -> dict[str, Any]:
    return {"experiment": key.experiment, "model": key.model, "seed": key.seed}


def _number(value: Any) -> float | None:
    """A finite number or nothing (a broken one has no place in an average)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _at_edge(results: Path, pair: tuple[str, str], reader: Reader) -> bool | None:
    path = best_file(results, *pair)
    best = None if reader.absent(path) else reader.json(path, ("learning_rate", "at_edge"))
    return None if best is None else bool(best["at_edge"])


def _wrong(summary: dict[str, Any], metrics: dict[str, Any], key: RunKey) -> str | None:
    """What makes these files unfit as the results of run `key`, in words; None if nothing."""
    config = summary["config"]
    model = config.get("model")
    name = model.get("name") if isinstance(model, dict) else None
    found = (config.get("experiment"), name, config.get("seed"))
    if found != (key.experiment, key.model, key.seed):
        return f"summary.json is of {found[0]}/{found[1]}/seed{found[2]}. A file was copied here; delete the folder."
    for file, status in (("summary.json", summary["status"]), ("metrics.json", metrics["status"])):
        if status not in STATUSES:
            return f"{file} has status {status!r}; allowed: {', '.join(STATUSES)}."
    if summary["status"] == metrics["status"] == OK:
        for split in ("test",) if config.get("protocol") == "published" else ("valid", "test"):
            if _number((metrics[split] or {}).get("loss")) is None:
                return f"metrics.json says ok but has no finite {split} loss. Delete it: it will be remade."
    return None


def _run_row(key: RunKey, summary: dict[str, Any], metrics: dict[str, Any], edge: bool | None) -> dict[str, Any]:
    config, provenance = summary["config"], summary.get("provenance") or {}
    failed = next((source for source in (summary, metrics) if source["status"] != OK), None)
    valid, test = ({}, {}) if failed else (metrics["valid"] or {}, metrics["test"])
    return {
        **_identity(key),
        "protocol": config.get("protocol"),
        "dataset": config.get("dataset"),
        "params": summary["params"],
        "params_nonembedding": summary["params_nonembedding"],
        "train_tokens": summary.get("train_tokens"),
        "train_flops": _number(summary.get("train_flops")),
        "train_seconds": _number(summary.get("train_seconds")),
        "valid_loss": _number(valid.get("loss")),
        "test_loss": _number(test.get("loss")),
        "test_accuracy": _number(test.get("accuracy")),
        "valid_accuracy": _number(valid.get("accuracy")),
        "perplexity": _number(test.get("perplexity")),
        "bits_per_character": _number(test.get("bits_per_character")),
        "lr": _number((config.get("optimizer") or {}).get("learning_rate")),
        "lr_at_edge": edge,
        "steps": summary.get("steps_done"),
        "status": failed["status"] if failed else OK,
        "reason": (failed.get("reason") or failed["status"]) if failed else None,
        "peak_memory_bytes": _number(summary.get("peak_memory_bytes")),
        "device": provenance.get("device"),
        "config_digest": provenance.get("config_digest"),
        "git_commit": provenance.get("git_commit"),
        "title": config["model"].get("title"),
        "experiment_title": config.get("title"),
        "reference_model": config.get("reference_model"),
        "context": config.get("context"),
        "batch": config.get("batch"),
        "forward_flops_per_token": _number(summary.get("forward_flops_per_token")),
        "published_flops": _number(summary.get("published_flops")),
        "chosen_step": summary.get("chosen_step"),
        "cuda_graph": provenance.get("cuda_graph"),
        "machine": provenance.get("device_name") or provenance.get("cpu"),
    }


def _model_row(key: RunKey, summary: dict[str, Any]) -> dict[str, Any]:
    names = ("title", "note", "mixer", "d_model", "n_layers", "channel_mixer", "norm", "positions")
    model = summary["config"]["model"]
    return {
        "experiment": key.experiment,
        "model": key.model,
        **{name: model.get(name) for name in names},
        "params": summary["params"],
        "params_nonembedding": summary["params_nonembedding"],
        "forward_flops_per_token": _number(summary.get("forward_flops_per_token")),
    }


def _compare_params(runs: Rows) -> None:
    """Fill params_ratio and matched, against the reference model of the same experiment where it is there."""
    size = {(r["experiment"], r["model"]): r["params_nonembedding"] for r in runs if r["status"] != MISSING}
    for row in runs:
        reference = size.get((row["experiment"], row.get("reference_model") or ""))
        if row["status"] != MISSING and reference:
            row["params_ratio"] = row["params_nonembedding"] / reference
            row["matched"] = abs(row["params_ratio"] - 1.0) <= MATCHED_WITHIN
