"""The generated tasks as a configuration sees them: their parameters, their length, what must fit.

`data.synthetic` generates them. A new task is an entry here, a class there and a form in datasets.schema.yaml.
"""

from collections.abc import Mapping
from typing import Any

PARAMETERS: dict[str, tuple[str, ...]] = {
    "selective_copying": ("length", "n_data", "vocab"),
    "induction_heads": ("length", "vocab"),
    "associative_recall": ("length", "n_pairs", "vocab"),
    "delayed_copying": ("delay", "n_data", "vocab"),
}


def is_generated(spec: Mapping[str, Any]) -> bool:
    """Whether an entry of datasets.yaml is a generated task."""
    return spec.get("kind") in PARAMETERS


def parameters(spec: Mapping[str, Any]) -> dict[str, int]:
    """What fixes the task, without the numbers of examples."""
    return {name: spec[name] for name in PARAMETERS[spec["kind"]]}


def total_length(spec: Mapping[str, Any]) -> int:
    """Positions of an example: the context of every run on the task."""
    if spec["kind"] == "selective_copying":
        return spec["length"] + spec["n_data"]
    if spec["kind"] == "delayed_copying":
        return spec["delay"] + 2 * spec["n_data"]
    return spec["length"]


def misfit(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    """The parameter that does not fit the others, and why; None if all fit."""
    kind = spec["kind"]
    if kind == "selective_copying" and spec["n_data"] > spec["length"]:
        return "n_data", f"{spec['n_data']} tokens do not fit in {spec['length']} positions"
    if kind == "induction_heads" and (short := min((spec["length"], *long_lengths(spec)))) < 4:
        return "length", f"must be at least 4 (a token, the trigger, its successor, the trigger again), not {short}"
    if kind == "associative_recall":
        if spec["n_pairs"] > spec["vocab"]:
            return "n_pairs", f"{spec['n_pairs']} different keys do not exist in a vocabulary of {spec['vocab']}"
        if 3 * spec["n_pairs"] > spec["length"]:
            return "length", f"{spec['n_pairs']} pairs and their queries need {3 * spec['n_pairs']} positions"
    return None


def long_lengths(spec: Mapping[str, Any]) -> list[int]:
    """The lengths at which the task is also tested, beyond the one that it is trained at; none for most."""
    return list(spec.get("extrapolation", {}).get("lengths", ()))
