"""What should be there: the run matrix of a configuration, and where each of its files lies.

The matrix is one JSON file, written by whoever resolved the configuration:

    {"runs":   [{"experiment": "text", "model": "mamba", "seed": 1}, ...],
     "search": [{"experiment": "text", "model": "mamba", "lr": "0.001"}, ...],     lr as in the folder's name
     "bench":  [{"suite": "prefill", "model": "mamba"}, ...],
     "analyses": [{"name": "hippo_memory"}, ...]}

Tables are made from this list and not from what happens to lie in the folder: a run of yesterday's configuration must
not slip into today's averages, and a run that is not there must be missed.
"""

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqscale.files import read_json

SECTIONS: dict[str, dict[str, type]] = {
    "runs": {"experiment": str, "model": str, "seed": int},
    "search": {"experiment": str, "model": str, "lr": str},
    "bench": {"suite": str, "model": str},
    "analyses": {"name": str},
}
# The resolved configuration around the lists (results/config.json): told in the report, no matter for tables.
PASSED_OVER = {"name", "config", "config_digest", "provenance"}


class TablesError(ValueError):
    """Files that cannot be put into tables, all problems at once, in words for people."""

    def __init__(self, problems: list[str]) -> None:
        shown = problems[:20]
        more = f"\n  ... and {len(problems) - 20} more" if len(problems) > 20 else ""
        super().__init__("The tables were not made:\n" + "\n".join(f"  - {p}" for p in shown) + more)
        self.problems = problems


@dataclass(frozen=True)
class RunKey:
    """One training run."""

    experiment: str
    model: str
    seed: int

    def folder(self, results: Path) -> Path:
        return results / "runs" / self.experiment / self.model / f"seed{self.seed}"

    def __str__(self) -> str:
        return f"{self.experiment}/{self.model}/seed{self.seed}"


@dataclass(frozen=True)
class SearchKey:
    """One run of a learning-rate search; `lr` is the text in the folder's name."""

    experiment: str
    model: str
    lr: str

    def folder(self, results: Path) -> Path:
        return results / "search" / self.experiment / self.model / f"lr{self.lr}"


@dataclass(frozen=True)
class BenchKey:
    """One benchmark file."""

    suite: str
    model: str

    def file(self, results: Path) -> Path:
        return results / "bench" / self.suite / f"{self.model}.csv"


@dataclass(frozen=True)
class AnalysisKey:
    """One analysis."""

    name: str

    def file(self, results: Path) -> Path:
        return results / "analyses" / f"{self.name}.csv"


@dataclass(frozen=True)
class Matrix:
    """All runs, searches and benchmarks that a configuration asks for."""

    runs: tuple[RunKey, ...]
    search: tuple[SearchKey, ...]
    bench: tuple[BenchKey, ...]
    analyses: tuple[AnalysisKey, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)

    def labels(self, key: RunKey) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the configuration says of a run's experiment and of its model, for people: titles, notes, reference.

        A run's own config leaves these out, so that a new title reruns nothing.
        """
        experiment = self.config.get("experiments", {}).get(key.experiment, {})
        model = self.config.get("models", {}).get(key.model, {})
        return (
            {name: experiment[name] for name in ("title", "reference_model") if name in experiment},
            {name: model[name] for name in ("title", "note") if name in model},
        )


def best_file(results: Path, experiment: str, model: str) -> Path:
    """Where the chosen learning rate of a model lies."""
    return results / "search" / experiment / model / "best.json"


def load_matrix(path: str | Path) -> Matrix:
    """Read the run matrix; TablesError lists every entry that is not as described at the head of this file."""
    path = Path(path)
    if not path.is_file():
        raise TablesError([f"{path}: no such file. It is the run matrix; the pipeline writes it from the config."])
    try:
        content = read_json(path)
    except ValueError as error:
        raise TablesError([str(error)]) from error
    problems: list[str] = []
    if not isinstance(content, dict):
        raise TablesError([f"{path}: holds {type(content).__name__}; it is an object with {', '.join(SECTIONS)}."])
    for key in content.keys() - SECTIONS.keys() - PASSED_OVER:
        near = difflib.get_close_matches(str(key), list(SECTIONS), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Allowed: {', '.join(SECTIONS)}."
        problems.append(f"{path}: unknown key {key!r}.{hint}")
    rows = {name: _entries(path, name, content.get(name, []), problems) for name in SECTIONS}
    if problems:
        raise TablesError(problems)
    return Matrix(
        tuple(RunKey(**row) for row in rows["runs"]),
        tuple(SearchKey(**row) for row in rows["search"]),
        tuple(BenchKey(**row) for row in rows["bench"]),
        tuple(AnalysisKey(**row) for row in rows["analyses"]),
        content.get("config", {}),
    )


def _entries(path: Path, name: str, entries: Any, problems: list[str]) -> list[dict[str, Any]]:
    """The good entries of one section; what is wrong with the others goes to `problems`."""
    wanted = SECTIONS[name]
    if not isinstance(entries, list):
        problems.append(f"{path}, {name}: is {type(entries).__name__}; it is a list of {{{', '.join(wanted)}}}.")
        return []
    good: list[dict[str, Any]] = []
    for number, entry in enumerate(entries):
        where = f"{path}, {name}[{number}]"
        if not isinstance(entry, dict) or entry.keys() != wanted.keys():
            problems.append(f"{where}: is {entry!r}; its keys are exactly {', '.join(wanted)}.")
            continue
        wrong = [k for k, t in wanted.items() if not isinstance(entry[k], t) or isinstance(entry[k], bool)]
        if wrong:
            problems.append(f"{where}, {wrong[0]}: is {entry[wrong[0]]!r}, not {wanted[wrong[0]].__name__}.")
        elif entry in good:
            problems.append(f"{where}: {entry!r} is there twice.")
        else:
            good.append(entry)
    return good
