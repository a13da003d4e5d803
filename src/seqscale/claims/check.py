"""What a schema cannot say about one test of a claim: options against measure, columns against table, paths to data.

The signature of every measure stands here, apart from the code that computes it, so that a claims file can be checked
before any work starts and without reading a table.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seqscale.claims.predicate import Region
from seqscale.tables.columns import COLUMNS


@dataclass(frozen=True)
class Signature:
    """What a measure works on: its tables, the options it needs and those it allows."""

    tables: tuple[str, ...]
    needs: tuple[str, ...]
    allows: tuple[str, ...] = ()


LENGTHS = ("min_length", "max_length")
DETAILS = ("extrapolation", "accuracy", "examples")  # several rows a run, told apart by further columns
CURVES = ("bench", "analyses")  # tables of values against the length
SIGNATURES: dict[str, Signature] = {
    "mean": Signature(("runs", "history", *DETAILS), ("column",), ("scale", "last")),
    "difference": Signature(("runs", "history", *DETAILS), ("column", "of", "minus"), ("scale", "last")),
    "ratio": Signature(("runs", "history"), ("column", "of", "over"), ("last",)),
    "order": Signature(("runs",), ("column", "models")),
    "difference_at": Signature(("history",), ("column", "x", "of", "minus")),
    "value_at": Signature(CURVES, ("length",), ("scale",)),
    "ratio_at": Signature(CURVES, ("of", "over"), ("length", *LENGTHS, "needs_params")),
    "order_at": Signature(CURVES, ("models",), ("length", *LENGTHS)),
    "growth": Signature(CURVES, (), LENGTHS),
    "exponent": Signature(CURVES, (), (*LENGTHS, "upper", "reach")),
}
OPTIONS = {o for s in SIGNATURES.values() for o in (*s.needs, *s.allows)}
AT_LENGTHS = ("ratio_at", "order_at")  # at one length, or over the lengths of a range
SPECIAL_LENGTHS = ("longest", "shortest")


def nearest(word: str, allowed: Iterable[str]) -> str:
    """ "Did you mean ...?" or the list of what is allowed."""
    names = list(allowed)
    near = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Allowed: {', '.join(names)}."


def check_trial(test: dict[str, Any]) -> list[str]:
    """What is wrong with one test ({part} already replaced), in words; empty if nothing."""
    if "untested" in test:
        idle = [k for k in ("select", "measure", "expect") if k in test]
        return [f"`untested` says why there is no test, so it cannot stand beside {', '.join(idle)}."] if idle else []
    if lacking := [k for k in ("select", "measure", "expect") if k not in test]:
        return [f"lacks {', '.join(lacking)} (or `untested: why`)."]
    measure = test["measure"]
    if measure not in SIGNATURES:
        return [f"unknown measure {measure!r}. {nearest(measure, SIGNATURES)}"]
    signature = SIGNATURES[measure]
    wrong = [f"measure {measure!r} needs `{option}`." for option in signature.needs if option not in test]
    for option in OPTIONS & test.keys():
        if option not in (*signature.needs, *signature.allows):
            allowed = (*signature.needs, *signature.allows)
            wrong.append(f"measure {measure!r} has no option `{option}`. It has: {', '.join(allowed)}.")
    if measure in AT_LENGTHS and ("length" in test) == any(key in test for key in LENGTHS):
        wrong.append(f"measure {measure!r} needs either `length` or a range of them, `{'` and `'.join(LENGTHS)}`.")
    table = test["select"].get("table")
    if table not in signature.tables:
        wrong.append(f"select.table is {table!r}; measure {measure!r} reads {' or '.join(signature.tables)}.")
        return wrong
    columns = COLUMNS[table]
    for place in ("select", "of", "minus", "over"):
        for key in test.get(place, {}):
            if key not in columns and (place, key) != ("select", "table"):
                wrong.append(f"{place}: table {table!r} has no column {key!r}. {nearest(key, columns)}")
    for column in str(test.get("column", "")).split("*") if "column" in test else ():
        if column.strip() not in columns:
            wrong.append(f"column: table {table!r} has no column {column.strip()!r}. {nearest(column, columns)}")
        elif columns[column.strip()] not in ("float64", "Int64"):
            wrong.append(f"column: {column.strip()!r} of table {table!r} holds no numbers.")
    length = test.get("length")
    if isinstance(length, str) and not length.isdigit() and length not in SPECIAL_LENGTHS:
        wrong.append(f"length is {length!r}; it is a number of tokens, or {' or '.join(SPECIAL_LENGTHS)}.")
    return wrong


def region_of(expect: dict[str, Any], published: Any) -> tuple[Region, float | None, list[str]]:
    """The region that a test asks for, the published number it is near (None if it is near none), what is wrong."""
    if "near" in expect:
        if set(expect) - {"near", "tolerance"} and set(expect) - {"near", "relative"}:
            return Region(), None, ["expect: `near` goes with either `tolerance` or `relative`, and with nothing else."]
        value, wrong = resolve(expect["near"], published)
        if value is None:
            return Region(), None, wrong
        if len(expect) != 2:
            return Region(), None, ["expect: `near` needs `tolerance` (in the unit) or `relative` (a share)."]
        width = expect["tolerance"] if "tolerance" in expect else abs(value) * expect["relative"]
        return Region(value - width, value + width), value, []
    if "tolerance" in expect or "relative" in expect:
        return Region(), None, ["expect: `tolerance` and `relative` need `near`."]
    if "between" in expect:
        low, high = expect["between"]
        wrong = ["expect: `between` stands alone."] if len(expect) > 1 else []
        if low > high:
            wrong.append(f"expect: between [{low}, {high}] is empty; the smaller number comes first.")
        return Region(low, high), None, wrong
    region = Region(expect.get("above", -float("inf")), expect.get("below", float("inf")), strict=True)
    if expect and region.low >= region.high:
        return region, None, [f"expect: nothing is above {region.low} and below {region.high}."]
    return region, None, []


def resolve(near: float | str, published: Any) -> tuple[float | None, list[str]]:
    """The number that `near` means: itself, or a path into the claim's figures, such as published.speedup.64."""
    if not isinstance(near, str):
        return float(near), []
    first, *steps = near.split(".")
    if first != "published" or re.search(r"[{}]", near):
        return None, [f"expect.near is {near!r}; it is a number or a path such as published.mamba."]
    value = published
    for step in steps:
        names = {str(key): key for key in value} if isinstance(value, dict) else {}
        if step not in names:
            return None, [f"expect.near: {near!r} leads nowhere, there is no {step!r}. {nearest(step, names)}"]
        value = value[names[step]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, [f"expect.near: {near!r} is {value!r}, not a number."]
    return float(value), []
