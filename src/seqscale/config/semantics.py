"""What a schema cannot say: names that must exist, numbers that must fit each other, files that must be there."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqscale.config import tasks
from seqscale.config.errors import Problems, nearest
from seqscale.config.mixer_options import mixers, options

if TYPE_CHECKING:
    from seqscale.config.load import Config

# What options of text may say; the mixers themselves refuse anything else, but only when a run starts.
CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("lti_ssm", "init"): ("lin", "inv", "legs", "random"),
    ("lti_ssm", "discretisation"): ("zoh", "bilinear"),
    ("s4", "init"): ("legs", "random"),
    ("mamba", "a_init"): ("lin", "constant", "random"),
}

TIME_INVARIANT = ("lti_ssm", "s4")  # mixers with a channel that is a linear system by itself

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
        _check_mixer([name], model, problems)
        for index, entry in enumerate(model.get("blocks", [])):
            if "mixer" in entry or "mixer_options" in entry:
                inherited = {k: v for k, v in model.items() if k != "mixer_options"}
                _check_mixer([name, "blocks", index], {**inherited, "mixer_options": {}, **entry}, problems)


def _check_mixer(place: list[Any], model: dict[str, Any], problems: Problems) -> None:
    """One mixer and its options; `place` is the mapping that names them."""
    mixer = model["mixer"]
    if mixer not in mixers():
        problems.add(
            [*place, "mixer"],
            f"there is no mixer '{mixer}'{nearest(mixer, mixers())} "
            f"Allowed: {', '.join(mixers())} (the files in src/seqscale/mixers, and installed packages' entry points)",
        )
        return
    try:
        allowed = options(mixer)
    except ValueError as error:
        problems.add([*place, "mixer"], str(error))
        return
    for key, value in model["mixer_options"].items():
        if key not in allowed:
            choices = ", ".join(f"{k} ({t})" for k, t in allowed.items()) or "none"
            problems.add(
                [*place, "mixer_options", key],
                f"the mixer '{mixer}' has no option '{key}'{nearest(key, allowed)} Allowed: {choices}",
            )
        elif not _fits(value, allowed[key]):
            problems.add([*place, "mixer_options", key], f"must be of type {allowed[key]}, not {value!r}")
        elif value not in (words := CHOICES.get((mixer, key), (value,))):
            near = f"'{value}' is not allowed{nearest(value, words)} Allowed: {', '.join(words)}"
            problems.add([*place, "mixer_options", key], near)
        elif allowed[key] == "int" and value < (0 if key == "dt_rank" else 1):
            problems.add([*place, "mixer_options", key], f"must be at least 1, not {value}")
    _check_sizes(place, model, problems)


def _fits(value: Any, kind: str) -> bool:
    types = PYTHON_TYPES.get(kind)
    return types is None or (isinstance(value, types) and (kind == "bool" or not isinstance(value, bool)))


def _check_sizes(place: list[Any], model: dict[str, Any], problems: Problems) -> None:
    """Widths of the mixers of this repository; other mixers check their own when they are built."""
    given, width = model["mixer_options"], model["d_model"]
    heads = given.get("n_heads", 4)
    if model["mixer"] == "attention" and isinstance(heads, int) and heads > 0:
        if width % heads:
            divisors = [str(n) for n in range(1, width + 1) if width % n == 0]
            problems.add(
                [*place, "mixer_options", "n_heads"] if "n_heads" in given else [place[0], "d_model"],
                f"{heads} heads do not divide d_model = {width}. Allowed for this width: {', '.join(divisors[:12])}",
            )
        elif given.get("rope") and (width // heads) % 2:
            problems.add(
                [*place, "mixer_options", "rope"], f"needs an even head width, not {width} / {heads} = {width // heads}"
            )
    state = given.get("d_state", 16)
    if model["mixer"] in ("lti_ssm", "s4") and isinstance(state, int) and state % 2:
        problems.add([*place, "mixer_options", "d_state"], f"must be even (conjugate pairs), not {state}")
    inner, head, groups = width * given.get("expand", 2), given.get("d_head", 64), given.get("n_groups", 1)
    if model["mixer"] == "mamba2" and all(isinstance(n, int) and n > 0 for n in (inner, head, groups)):
        if inner % head:
            widths = ", ".join(str(n) for n in range(1, inner + 1) if inner % n == 0)
            problems.add(
                [*place, "mixer_options", "d_head"] if "d_head" in given else [place[0], "d_model"],
                f"heads of width {head} do not divide d_inner = expand * d_model = {inner}. Allowed: {widths}",
            )
        elif inner // head % groups:
            problems.add(
                [*place, "mixer_options", "n_groups"], f"{groups} groups do not divide the {inner // head} heads"
            )


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
        _check_context(config, experiment, place, problems)
        _check_rates(experiment, place, problems)


def _unknown(kind: str, word: str, known: Any, file: str) -> str:
    return f"there is no {kind} '{word}'{nearest(word, known)} Allowed: {', '.join(known)} (see {file})"


def _check_context(config: "Config", experiment: dict[str, Any], place: list[Any], problems: Problems) -> None:
    dataset = config.datasets[experiment["dataset"]]
    context = experiment.get("context")
    if tasks.is_generated(dataset):
        total = tasks.total_length(dataset)
        if trouble := tasks.misfit(dataset):
            problems.add([experiment["dataset"], trouble[0]], trouble[1])
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


def check_analyses(config: "Config", problems: Problems) -> None:
    """Trained models that an analysis wants are trained, and are time-invariant."""
    wanted = config.values.get("analyses", {}).get("scipy_response")
    if wanted is None:
        return
    place: list[Any] = ["analyses", "scipy_response"]
    experiments = config.values["experiments"]
    if wanted["experiment"] not in experiments:
        words = _unknown("experiment", wanted["experiment"], experiments, "`experiments`")
        problems.add([*place, "experiment"], words)
        return
    trained = experiments[wanted["experiment"]]["models"]
    for index, model in enumerate(wanted["models"]):
        spot = [*place, "models", index]
        if model not in trained:
            problems.add(spot, _unknown("model", model, trained, f"experiment {wanted['experiment']}"))
        elif config.models[model]["mixer"] not in TIME_INVARIANT:
            problems.add(
                spot,
                f"'{model}' (mixer {config.models[model]['mixer']}) is no linear time-invariant system. "
                f"Allowed: models with the mixers {', '.join(TIME_INVARIANT)}",
            )
