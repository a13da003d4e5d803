"""JSON schemas (workflow/schemas) with messages that a person can act on."""

import functools
import math
import sys
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from seqscale.config.errors import Problems, nearest

WORDS = {"name", "title", "note", "prompt", "path", "licence", "dataset", "mirror"}  # text, whatever it looks like
WORDS |= {"sha256", "url", "member", "like", "probes"}


def _is_number(value: Any) -> bool:
    """Whether `value` is a number that a float can hold; YAML's .nan, .inf and a 1 with 400 zeros are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


# A whole number is written as one: 12, and not 12.0, which JSON Schema would let pass. Nor is YAML's .nan or .inf a
# number here: it is neither below nor above any limit.
Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: isinstance(value, int) and _is_number(value),
            "number": lambda _, value: _is_number(value),
        }
    ),
)

TYPE_NAMES = {
    "object": "a mapping (key: value)",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing (null)",
}


@functools.cache
def schema(folder: Path, name: str) -> dict[str, Any]:
    """The schema workflow/schemas/{name}.schema.yaml."""
    return yaml.safe_load((folder / f"{name}.schema.yaml").read_text(encoding="utf-8"))


def numbers(values: Any) -> Any:
    """YAML 1.1 reads 1e-3 as text (it wants 1.0e-3); turn such text into the number everybody means."""
    if isinstance(values, dict):
        return {key: value if key in WORDS else numbers(value) for key, value in values.items()}
    if isinstance(values, list):
        return [numbers(value) for value in values]
    if isinstance(values, str) and values[:1] in "+-.0123456789" and "e" in values.lower():
        try:
            number = float(values)
        except ValueError:
            return values
        return int(number) if number.is_integer() and abs(number) >= 1 else number
    return values


def _type_name(value: Any) -> str:
    if isinstance(value, int) and not _is_number(value) and not isinstance(value, bool):
        return "one that is too large"
    for python, name in (
        (bool, "true or false"),
        (dict, "a mapping"),
        (list, "a list"),
        (str, "text"),
        (int, "a whole number"),
    ):
        if isinstance(value, python):
            return name
    if isinstance(value, float) and not math.isfinite(value):
        return "something that is none"
    return "nothing" if value is None else "a number"


def _shown(value: Any) -> str:
    """`value` as text; of a number with hundreds of digits only how large it is."""
    if isinstance(value, int) and not isinstance(value, bool) and not _is_number(value):
        return f"above {sys.float_info.max:.1e}" if value > 0 else f"below {-sys.float_info.max:.1e}"
    return str(value)


def _message(error: jsonschema.ValidationError) -> tuple[list[Any], str]:
    """The place and the words for one schema violation."""
    path = list(error.absolute_path)
    rule: Any = error.validator
    value: Any = error.instance
    limit: Any = error.validator_value
    rules: Any = error.schema
    shown = f"'{value}'" if isinstance(value, str) else _shown(value)
    if rule == "type":
        kinds = limit if isinstance(limit, list) else [limit]
        return path, f"must be {' or '.join(TYPE_NAMES[k] for k in kinds)}, not {_type_name(value)} ({shown})"
    if rule == "enum":
        words = [str(v) for v in limit]
        return path, f"{shown} is not allowed{nearest(value, words)} Allowed: {', '.join(words)}"
    simple = {
        "minimum": f"must be at least {limit}, not {shown}",
        "maximum": f"must be at most {limit}, not {shown}",
        "exclusiveMinimum": f"must be greater than {limit}, not {shown}",
        "exclusiveMaximum": f"must be less than {limit}, not {shown}",
        "minItems": f"must have at least {limit} entries, not {len(value) if isinstance(value, list) else 0}",
        "maxItems": f"must have at most {limit} entries",
        "uniqueItems": f"has an entry twice: {shown}",
        "minLength": "must not be empty",
        "minProperties": "must not be empty",
        "pattern": f"{shown} is not allowed: {rules.get('description', f'it must match {limit}')}",
    }
    return path, simple.get(str(rule), error.message)


def check(values: Any, rules: dict[str, Any], problems: Problems, prefix: list[Any] | None = None) -> None:
    """Add to `problems` every violation of the schema `rules` by `values`, whose place in the file is `prefix`."""
    validator = Validator(rules)
    told: set[tuple[tuple[str | int, ...], str]] = set()
    for error in sorted(validator.iter_errors(values), key=lambda e: [str(p) for p in e.absolute_path]):
        if error.validator == "additionalProperties":  # one message for each unknown key
            rules_here: Any = error.schema
            allowed = set(rules_here.get("properties", {}))
            for key in sorted(set(error.instance) - allowed, key=str):
                words = f"unknown key{nearest(key, allowed)} Allowed here: {', '.join(sorted(allowed))}"
                problems.add([*(prefix or []), *error.absolute_path, key], words)
            continue
        if error.validator == "required":  # jsonschema reports each missing key by an error of its own, but unnamed
            missing = next(key for key in _missing(error) if (tuple(error.absolute_path), key) not in told)
            told.add((tuple(error.absolute_path), missing))
            problems.add([*(prefix or []), *error.absolute_path], f"the key '{missing}' is missing")
            continue
        path, words = _message(error)
        problems.add([*(prefix or []), *path], words)


def _missing(error: jsonschema.ValidationError) -> list[str]:
    """The keys that a mapping must have and lacks."""
    required: Any = error.validator_value
    given: Any = error.instance
    return [key for key in required if key not in given]
