"""Benchmark suites in a configuration: a kind of measurement with its settings, under a name of its own.

A suite whose name is a kind's (`prefill`) need not say its kind; another name (`prefill_filled`) says `kind: prefill`.
"""

from typing import Any

from seqscale.config.errors import Problems, nearest

KINDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {  # kind: (keys it needs, keys it may have)
    "prefill": (frozenset({"lengths"}), frozenset({"batch", "fill", "part", "models", "longest", "vocab_size"})),
    "train_step": (frozenset({"lengths"}), frozenset({"batch", "fill", "models", "longest", "vocab_size"})),
    "decode": (frozenset({"lengths", "batch", "tokens"}), frozenset({"models", "longest", "vocab_size"})),
    "memory": (frozenset({"lengths", "batch"}), frozenset({"models", "longest", "vocab_size"})),
    "flops": (frozenset({"lengths", "batch"}), frozenset({"models", "vocab_size"})),
    "as_published": (frozenset({"lengths", "batch", "models"}), frozenset({"forwards", "vocab_size"})),
    "kernels": (frozenset({"shapes"}), frozenset({"d_states", "dtypes"})),
}

SCAN = "selective_scan"  # what a suite of kind "kernels" has in place of models

ONLY_AS_PUBLISHED = "'{}' is a model as published: only a suite of kind as_published takes it"


def kind_of(name: str, settings: dict[str, Any]) -> str | None:
    """The kind of a suite; None where neither its name nor its settings tell."""
    return settings.get("kind", name if name in KINDS else None)


def models_of(name: str, benchmarks: dict[str, Any]) -> list[str]:
    """The models that a suite measures: its own list, else that of all suites."""
    settings = benchmarks["suites"][name]
    return [SCAN] if kind_of(name, settings) == "kernels" else settings.get("models", benchmarks["models"])


def lengths_of(settings: dict[str, Any], model: str) -> list[int]:
    """The lengths at which a suite measures a model: all, or those up to its entry in `longest`."""
    limit = settings.get("longest", {}).get(model)
    return [n for n in settings["lengths"] if limit is None or n <= limit]


def check_suites(benchmarks: dict[str, Any], models: dict[str, Any], problems: Problems) -> None:
    """Every suite has a kind and the keys of that kind; every model that one names exists."""
    for name, settings in benchmarks.get("suites", {}).items():
        where: list[str | int] = ["benchmarks", "suites", name]
        kind = kind_of(name, settings)
        if kind is None:
            hint = nearest(name, KINDS)
            problems.add(where, f"needs `kind`, one of {', '.join(KINDS)}: its own name is none of them{hint}")
            continue
        needed, allowed = KINDS[kind]
        given = settings.keys() - {"kind"}
        for key in sorted(given - needed - allowed):
            problems.add([*where, key], f"is no setting of {kind}; allowed: {', '.join(sorted(needed | allowed))}")
        for key in sorted(needed - given):
            problems.add(where, f"the setting `{key}` is missing ({kind} needs it)")
        if "batch" in allowed and ("batch" in given) == ("fill" in given):
            problems.add(where, "needs either `batch` (sequences side by side) or `fill` (tokens in a call), not both")
        for index, model in enumerate(settings.get("models", [])):
            if model not in models:
                hint = nearest(model, models)
                problems.add([*where, "models", index], f"unknown model {model!r} (config/models.yaml){hint}")
            elif models[model].get("published") and kind != "as_published":
                problems.add([*where, "models", index], ONLY_AS_PUBLISHED.format(model))
        for model in settings.get("longest", {}):
            if model not in models_of(name, benchmarks):
                problems.add([*where, "longest", model], "is not among the suite's models")
            elif not lengths_of(settings, model):
                problems.add([*where, "longest", model], f"leaves none of the lengths {settings['lengths']}")
