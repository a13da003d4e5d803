"""What a schema cannot say: names that must exist, numbers that must fit each other, files that must be there."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqscale.config.errors import Problems, nearest
from seqscale.config.mixer_options import mixers, options

if TYPE_CHECKING:
    from seqscale.config.load import Config

PYTHON_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}


def looks_like_path(name: str) -> bool:
    """Whether a dataset's name is meant as a file: it has a slash or a suffix, or such a file is there."""
    return "/" in name or "\\" in name or bool(Path(name).suffix) or Path(name).is_file()


def name_for_path(path: str) -> str:
    """A dataset name for a text file, for folders and tables: its stem in letters, digits and underscores."""
    stem = re.sub(r"\W+", "_", Path(path).stem, flags=re.ASCII).strip("_") or "text"
    return stem if stem[0].isalpha() else f"text_{stem}"


def check_models(config: "Config", problems: Problems) -> None:
    """Mixers exist, their options exist and have the right type, and the sizes fit."""
    for name, model in config.models.items():
        mixer = model["mixer"]
        if mixer not in mixers():
            problems.add(
                [name, "mixer"],
                f"there is no mixer '{mixer}'{nearest(mixer, mixers())} "
                f"Allowed: {', '.join(mixers())} (the files in src/seqscale/mixers)",
            )
            continue
        try:
            allowed = options(mixer)
        except ValueError as error:
            problems.add([name, "mixer"], str(error))
            continue
        for key, value in model["mixer_options"].items():
            if key not in allowed:
                choices = ", ".join(f"{k} ({t})" for k, t in allowed.items()) or "none"
                problems.add(
                    [name, "mixer_options", key],
                    f"the mixer '{mixer}' has no option '{key}'{nearest(key, allowed)} Allowed: {choices}",
                )
            elif not _fits(value, allowed[key]):
                problems.add([name, "mixer_options", key], f"must be of type {allowed[key]}, not {value!r}")
            elif allowed[key] == "int" and value < (0 if key == "dt_rank" else 1):
                problems.add([name, "mixer_options", key], f"must be at least 1, not {value}")
        _check_sizes(name, model, problems)


def _fits(value: Any, kind: str) -> bool:
    types = PYTHON_TYPES.get(kind)
    return types is None or (isinstance(value, types) and (kind == "bool" or not isinstance(value, bool)))


def _check_sizes(name: str, model: dict[str, Any], problems: Problems) -> None:
    """Widths of the mixers of this repository; other mixers check their own when they are built."""
    given, width = model["mixer_options"], model["d_model"]
    heads = given.get("n_heads", 4)
    if model["mixer"] == "attention" and isinstance(heads, int) and heads > 0:
        if width % heads:
            divisors = [str(n) for n in range(1, width + 1) if width % n == 0]
            problems.add(
                [name, "mixer_options", "n_heads"] if "n_heads" in given else [name, "d_model"],
                f"{heads} heads do not divide d_model = {width}. Allowed for this width: {', '.join(divisors[:12])}",
            )
        elif given.get("rope") and (width // heads) % 2:
            problems.add(
                [name, "mixer_options", "rope"], f"needs an even head width, not {width} / {heads} = {width // heads}"
            )
    state = given.get("d_state", 16)
    if model["mixer"] == "lti_ssm" and isinstance(state, int) and state % 2:
        problems.add([name, "mixer_options", "d_state"], f"must be even (conjugate pairs), not {state}")


def check_experiments(config: "Config", problems: Problems) -> None:
    """Names exist and budgets make sense, for each experiment."""
    for name, dataset in config.datasets.items():
        if "split" in dataset and abs(sum(dataset["split"]) - 1) > 1e-6:
            problems.add([name, "split"], f"the three parts must add up to 1, not {sum(dataset['split']):g}")
    for name, experiment in config.values["experiments"].items():
        place = ["experiments", name]
        for index, model in enumerate(experiment["models"]):
            if model not in config.models:
                problems.add([*place, "models", index], _unknown("model", model, config.models, "config/models.yaml"))
        if experiment["dataset"] not in config.datasets:
            problems.add(
                [*place, "dataset"],
                _unknown("dataset", experiment["dataset"], config.datasets, "config/datasets.yaml")
                + ", or the path of a text file",
            )
            continue
        if experiment["reference_model"] not in experiment["models"]:
            problems.add(
                [*place, "reference_model"],
                f"'{experiment['reference_model']}' is not among this experiment's models"
                f"{nearest(experiment['reference_model'], experiment['models'])} "
                f"Allowed: {', '.join(experiment['models'])}",
            )
        compute = config.values["compute"]
        pieces = compute["processes"] * compute["accumulate"]
        if experiment["batch"] < pieces:
            problems.add(
                [*place, "batch"],
                f"{experiment['batch']} rows cannot be shared by {compute['processes']} processes in "
                f"{compute['accumulate']} pieces each (`compute: processes:, accumulate:`); allowed: {pieces} or more",
            )
        _check_context(config, experiment, place, problems)
        _check_rates(experiment, place, problems)


def _unknown(kind: str, word: str, known: Any, file: str) -> str:
    return f"there is no {kind} '{word}'{nearest(word, known)} Allowed: {', '.join(known)} (see {file})"


def _check_context(config: "Config", experiment: dict[str, Any], place: list[Any], problems: Problems) -> None:
    dataset = config.datasets[experiment["dataset"]]
    context = experiment.get("context")
    if dataset["kind"] == "selective_copying":
        total = dataset["length"] + dataset["n_data"]
        if dataset["n_data"] > dataset["length"]:
            problems.add(
                [experiment["dataset"], "n_data"],
                f"{dataset['n_data']} tokens do not fit in {dataset['length']} positions",
            )
        if context != total:
            problems.add(
                [*place, "context"],
                f"{context} does not fit the task, whose examples have {total} positions; leave it out",
            )
        if experiment["sample"]:
            problems.add(
                [*place, "sample"], "this dataset is a generated task, there is no text to sample; leave it out"
            )
    elif context is None:
        problems.add(place, "the key 'context' is missing (how many tokens a model sees)")
    elif experiment["sample"] and len(experiment["sample"]["prompt"]) >= context:
        problems.add([*place, "sample", "prompt"], f"must be shorter than the context of {context}")


def _check_rates(experiment: dict[str, Any], place: list[Any], problems: Problems) -> None:
    """Every model has one learning rate or one grid; grids are of one size; the search's seed is its own."""
    search, fixed = experiment["search"], experiment["learning_rate"]
    if (search is None) == (fixed is None):
        problems.add(place, "needs either 'search' (a grid of learning rates) or 'learning_rate', and not both")
        return
    if search and search["seed"] in experiment["seeds"]:
        problems.add(
            [*place, "search", "seed"],
            f"{search['seed']} is also one of the reported seeds; take another, so that the choice flatters none",
        )
    if search and search["steps"] > experiment["steps"]:
        problems.add(
            [*place, "search", "steps"],
            f"{search['steps']} is more than the experiment's own {experiment['steps']} steps",
        )
    for model, changes in experiment["overrides"].items():
        spot = [*place, "overrides", model]
        if model not in experiment["models"]:
            problems.add(
                spot,
                f"'{model}' is not among this experiment's models{nearest(model, experiment['models'])} "
                f"Allowed: {', '.join(experiment['models'])}",
            )
        if "optimizer" in changes and experiment["protocol"] == "fair":
            problems.add([*spot, "optimizer"], "under the fair protocol all models share one optimizer; leave it out")
        rates = changes.get("learning_rates")
        if rates and search is None:
            problems.add([*spot, "learning_rates"], "this experiment has no 'search'; say 'learning_rate'")
        elif rates and "learning_rate" in changes:
            problems.add(spot, "has both 'learning_rate' and 'learning_rates'; say one")
        elif rates and len(rates) != len(search["learning_rates"]):
            problems.add(
                [*spot, "learning_rates"],
                f"has {len(rates)} values, the others' grid {len(search['learning_rates'])}: "
                "the search must be as large for everybody",
            )


def check_benchmarks(config: "Config", problems: Problems) -> None:
    """Benchmarked models exist."""
    for index, model in enumerate(config.values.get("benchmarks", {}).get("models", [])):
        if model not in config.models:
            problems.add(["benchmarks", "models", index], _unknown("model", model, config.models, "config/models.yaml"))
