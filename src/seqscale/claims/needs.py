"""What a claim rests on: the runs and benchmarks that its trials read, so that it can be rerun alone.

The configuration's jobs come as the run matrix lists them (results/config.json): `runs` with experiment, model, seed,
and `bench` with suite, model.
"""

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from seqscale.claims.load import Claim, Trial

RUNS = ("runs", "history", "search", "samples", "models", "extrapolation", "frontier", "frontier_fits", "accuracy",
        "confusion", "examples", "counterfactuals")  # fmt: skip
BENCH = ("bench", "scaling")


class Needs(NamedTuple):
    """(experiment, model, seed) of runs and (suite, model) of benchmarks, each once, in the order of the matrix."""

    runs: tuple[tuple[str, str, int], ...]
    bench: tuple[tuple[str, str], ...]


def needs(claim: Claim, matrix: Mapping[str, Any]) -> Needs:
    """The jobs of `matrix` that `claim` rests on; none where the configuration cannot test it."""
    runs = [(str(r["experiment"]), str(r["model"]), int(r["seed"])) for r in matrix.get("runs", ())]
    bench = [(str(b["suite"]), str(b["model"])) for b in matrix.get("bench", ())]
    wanted_runs: set[tuple[str, str, int]] = set()
    wanted_bench: set[tuple[str, str]] = set()
    for trial in claim.trials:
        if trial.untested:
            continue
        table, models = trial.select.get("table"), _models(trial)
        if table in RUNS:
            experiment = _first(trial.select.get("experiment", "*"), {e for e, _, _ in runs})
            wanted_runs |= {r for r in runs if _match(r[0], experiment) and _any(r[1], models)}
        elif table in BENCH:
            suite = _first(trial.select.get("suite", "*"), {s for s, _ in bench})
            wanted_bench |= {b for b in bench if _match(b[0], suite) and _any(b[1], models)}
    return Needs(tuple(r for r in runs if r in wanted_runs), tuple(b for b in bench if b in wanted_bench))


def _models(trial: Trial) -> list[str]:
    """Names (with wildcards) of the models that a trial reads; "*" where it names none."""
    found: list[str] = []
    for place in (trial.select, *(v for v in trial.options.values() if isinstance(v, Mapping))):
        value = place.get("model", [])
        found += value if isinstance(value, list) else [value]
    found += [str(name) for name in trial.options.get("models", ())]
    return [str(name) for name in found] or ["*"]


def _first(wanted: Any, there: Iterable[str]) -> str:
    """A list is a preference: its first entry that is there; a text is itself."""
    there = list(there)
    choices = [str(w) for w in (wanted if isinstance(wanted, list) else [wanted])]
    return next((c for c in choices if any(_match(t, c) for t in there)), choices[-1])


def _match(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)


def _any(name: str, patterns: list[str]) -> bool:
    return any(_match(name, pattern) for pattern in patterns)
