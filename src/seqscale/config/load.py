"""From YAML to one resolved configuration with every default written out, or one error that lists all that is wrong."""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqscale.config import semantics, tasks
from seqscale.config.errors import Problems, Source, nearest
from seqscale.config.extras import check_extras
from seqscale.config.schema import check, numbers, schema
from seqscale.provenance import digest

OPTIMIZER = {"weight_decay": 0.1, "betas": [0.9, 0.95], "warmup_fraction": 0.1, "final_fraction": 0.1, "clip": 1.0}
OPTIMIZER |= semantics.OPTIMIZER_OF_ALL
# PyTorch's own AdamW with a constant rate, which is what the sources used
PUBLISHED_OPTIMIZER = {
    "weight_decay": 0.01, "betas": [0.9, 0.999], "warmup_fraction": 0.0, "final_fraction": 1.0, "clip": None,
    "algorithm": "adamw", "decay_all": True,
}  # fmt: skip
COMPUTE = {
    "device": "auto", "threads": 1, "precision": "auto", "processes": 1, "accumulate": 1, "cuda_graphs": True,
}  # fmt: skip
MODEL = {
    "title": "",
    "note": "",
    "mixer_options": {},
    "channel_mixer": "none",
    "norm": "layernorm",
    "positions": "none",
    "dropout": 0.0,
    "matched": True,
    "published": "",
}
DATASET = {"tokenizer": "characters", "split": [0.90, 0.05, 0.05]}
ANALYSES: dict[str, dict[str, Any]] = {
    "hippo_memory": {"signals": 8, "windows": [1.0], "seed": 0},
    "nplr_kernel": {"channels": 8, "repeats": 7, "min_seconds": 0.05, "seed": 0},
    "scipy_response": {"length": 1000, "channels": 16},
}
BENCHMARKS = {"repeats": 7, "min_seconds": 0.2, "threads": 1, "vocab_size": 256}


@dataclass(frozen=True)
class Config:
    """A checked configuration. `values` is plain data with all defaults; `models` and `datasets` likewise, by name."""

    values: dict[str, Any]
    models: dict[str, dict[str, Any]]
    datasets: dict[str, dict[str, Any]]
    sources: tuple[Source, ...] = ()

    @property
    def mirror(self) -> str | None:
        """The folder of local copies: SEQSCALE_MIRROR, or else `data: mirror:`."""
        return os.environ.get("SEQSCALE_MIRROR") or self.values["data"]["mirror"]

    def tell_jobs_the_mirror(self) -> None:
        """Put the mirror into the environment, where jobs find it.

        Not among their params: where a pinned file lies is no matter for what is made of it, and must rerun nothing.
        """
        if self.mirror:
            os.environ["SEQSCALE_MIRROR"] = self.mirror


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on top, mappings key by key."""
    result = dict(copy.deepcopy(dict(base)))
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def resolve(values: Mapping[str, Any], files: Sequence[str | Path], root: Path) -> Config:
    """Check a configuration in full and write out its defaults.

    Args:
        values: the configuration as Snakemake merged it (files, then --config).
        files: the YAML files it came from, for the line numbers in messages.
        root: the folder with config/ and workflow/.

    Raises:
        ConfigError: naming every problem with file, line, key, what is allowed and the nearest right spelling.
    """
    schemas = root / "workflow" / "schemas"
    sources = [Source(file) for file in files]
    library = [Source(root / "config" / f"{name}.yaml") for name in ("models", "datasets", "published_models")]
    problems = Problems(sources)
    problems.found += [words for source in [*sources, *library] for words in source.duplicates()]
    given: dict[str, Any] = numbers(merged({}, values))
    check(given, schema(schemas, "config"), problems)
    problems.done()  # the rest relies on the form

    everything = Problems([*library, *sources])
    over = merged(library[2].values or {}, given.get("models", {}))
    models = _entries(library[0], over, MODEL, schema(schemas, "models"), everything, "models")
    datasets = _datasets(library[1], given, schema(schemas, "datasets"), everything)
    everything.done()

    config = Config(_with_defaults(given, datasets), models, datasets, (*library, *sources))
    problems = Problems(config.sources)
    semantics.check_models(config, problems)
    semantics.check_experiments(config, problems)
    semantics.check_benchmarks(config, problems)
    check_extras(config, problems)
    semantics.check_analyses(config, problems)
    problems.done()
    return config


def _entries(
    library: Source,
    over: Mapping[str, Any],
    defaults: Mapping[str, Any],
    rules: dict[str, Any],
    problems: Problems,
    section: str,
) -> dict[str, dict[str, Any]]:
    """The entries of a library file with overrides laid on top, checked and completed."""
    whole = merged(library.values or {}, over)
    values = numbers(_likenesses(whole, problems) if section == "datasets" else whole)
    found = Problems(problems.sources)
    check(values, rules, found)
    for words in found.found:
        problems.found.append(words)
    if found.found:
        return {}
    return {name: {"name": name, **merged(defaults, entry)} for name, entry in values.items()}


def _datasets(
    library: Source, values: dict[str, Any], rules: dict[str, Any], problems: Problems
) -> dict[str, dict[str, Any]]:
    """All datasets: of datasets.yaml, of the config, and the text files that experiments name by their path."""
    over = dict(values.get("datasets", {}))
    known = {**(library.values or {}), **over}
    for experiment in values["experiments"].values():
        path = experiment["dataset"]
        if path not in known and semantics.looks_like_path(path):
            name = semantics.name_for_path(path)
            if name in known or over.get(name, {}).get("path", path) != path:  # another dataset has that name
                name = f"{name}_{digest(path)[:6]}"
            over[name] = {"kind": "text", "path": path, "title": Path(path).name}
            experiment["dataset"] = name
    entries = _entries(library, over, {}, rules, problems, "datasets")
    for name, entry in entries.items():
        if name in known or entry["kind"] == "text":
            found = Problems(problems.sources)
            given = {key: value for key, value in entry.items() if key != "name"}
            check(given, {**rules["$defs"][entry["kind"]], "$defs": rules["$defs"]}, found, [name])
            problems.found += found.found
    texts = ("text", "pydoc_topics")
    return {n: {"title": n, **(DATASET if e["kind"] in texts else {}), **e} for n, e in entries.items()}


def _likenesses(whole: dict[str, Any], problems: Problems) -> dict[str, Any]:
    """`whole` with every `like: NAME` replaced by that dataset's keys, under the entry's own."""

    def complete(name: str, path: tuple[str, ...]) -> Any:
        entry = whole[name]
        if not isinstance(entry, Mapping) or "like" not in entry:
            return entry
        own = {key: value for key, value in entry.items() if key != "like"}
        base = entry["like"]
        if not isinstance(base, str) or base not in whole or base in path:
            known = ", ".join(other for other in whole if other not in path)
            problems.add([name, "like"], f"there is no other dataset '{base}'{nearest(base, whole)} Allowed: {known}")
            return own
        inherited = complete(base, (*path, base))
        return {**inherited, **own} if isinstance(inherited, Mapping) else own

    return {name: complete(name, (name,)) for name in whole}


def _with_defaults(values: dict[str, Any], datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    result = merged({"data": {"mirror": None}, "compute": COMPUTE, "models": {}, "datasets": {}}, values)
    for name, experiment in result["experiments"].items():
        dataset = datasets.get(experiment["dataset"], {})
        if tasks.is_generated(dataset):
            experiment.setdefault("context", tasks.total_length(dataset))
        elif dataset.get("kind") == "tweets":
            experiment.setdefault("context", dataset["max_tokens"])
        every = max(1, experiment["steps"] // 7)
        defaults = {
            "title": name,
            "protocol": "fair",
            "reference_model": experiment["models"][0],
            "search": None,
            "learning_rate": None,
            "eval_every": every,
            "log_every": max(1, experiment["steps"] // 50),
            "checkpoint_every": experiment.get("eval_every", every),
            "sample": None,
            "dropout": None,
            "probes": None,
            "overrides": {},
            "batches": "epochs",
            "test_batches": None,
        }
        experiment = {**defaults, **experiment}
        published = experiment["protocol"] == "published"
        experiment.setdefault("precision", "float32" if published else result["compute"].get("precision", "auto"))
        base = PUBLISHED_OPTIMIZER if published else OPTIMIZER
        experiment["optimizer"] = merged(base, experiment.get("optimizer", {}))
        result["experiments"][name] = experiment
    if "benchmarks" in result:
        result["benchmarks"] = merged(BENCHMARKS, result["benchmarks"])
    if "analyses" in result:
        result["analyses"] = {name: merged(ANALYSES[name], given) for name, given in result["analyses"].items()}
    return result
