"""Reading config/claims.yaml: every mistake is told with its line, what is allowed and the nearest right spelling."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from seqscale.claims.check import check_trial, nearest, region_of
from seqscale.claims.margins import KNOWN, margin_of
from seqscale.claims.predicate import Region

Place = tuple[str | int, ...]
NUMBER_LIKE = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")


class ClaimsError(ValueError):
    """A claims file that cannot be used; `problems` lists all that is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("The claims file cannot be used:\n" + "\n".join(f"  - {p}" for p in problems))
        self.problems = problems


@dataclass(frozen=True)
class Trial:
    """One test of one part of a claim under one protocol: a row of the verdicts."""

    part: str
    protocol: str
    published: float | str
    unit: str
    corpus: str | None
    select: dict[str, Any]
    measure: str
    options: dict[str, Any]
    region: Region
    untested: str | None
    because: str
    caveat: str
    line: int


@dataclass(frozen=True)
class Claim:
    """A published claim with its figures (as data) and the trials that it is put to."""

    id: str
    source: str
    title: str
    figure: str
    published: Any
    combine: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Claims:
    """A whole claims file."""

    sources: dict[str, dict[str, str]]
    claims: tuple[Claim, ...]
    anchors: tuple[dict[str, Any], ...]
    margins: Mapping[str, float]


def load_claims(path: str | Path, schema: str | Path) -> Claims:
    """Read and check a claims file against the JSON schema in the YAML file `schema` and against itself.

    Raises ClaimsError with every problem found, each with file, line and key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ClaimsError([f"{path}: cannot be read ({error})."]) from error
    except yaml.YAMLError as error:
        raise ClaimsError([f"{path} is not valid YAML: {' '.join(str(error).split())}."]) from error
    if root is None:
        raise ClaimsError([f"{path} is empty; it needs the keys sources and claims."])
    lines: dict[Place, int] = {}
    problems = [f"{path}, line {line}: {words}" for line, words in _walk(root, (), lines)]
    if problems:  # what YAML itself would lose or mistake; the schema cannot see it
        raise ClaimsError(problems)
    validator = jsonschema.Draft202012Validator(yaml.safe_load(Path(schema).read_text(encoding="utf-8")))
    for mistake in sorted(validator.iter_errors(content), key=lambda e: [str(p) for p in e.absolute_path]):
        problems.extend(_in_words(path, mistake, lines, content))
    if problems:
        raise ClaimsError(problems)
    claims: list[Claim] = []
    margins = content.get("margins", {})
    for name in margins:
        if name not in KNOWN:
            problems.append(f"{path}, line {lines['margins', name]}, margins: unknown {name!r}. {nearest(name, KNOWN)}")
    for index, entry in enumerate(content["claims"]):
        claims.append(_claim(path, entry, index, content, lines, problems))
    seen: dict[str, int] = {}
    for index, claim in enumerate(claims):
        if claim.id in seen:
            problems.append(f"{path}, line {lines[('claims', index)]}: the id {claim.id} is there twice.")
        seen[claim.id] = index
    if problems:
        raise ClaimsError(problems)
    return Claims(content["sources"], tuple(claims), tuple(content.get("anchors", ())), margins)


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int]) -> Iterator[tuple[int, str]]:
    """Note the line of every place of the document in `lines`; yield keys that are there twice or are no text."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.start_mark.line + 1, f"the key {key.value!r} is there twice; the first would be lost."
            if key.tag != "tag:yaml.org,2002:str":
                yield key.start_mark.line + 1, f"the key {key.value} is not a text; put it in quotes."
            seen.add(key.value)
            lines[(*place, key.value)] = key.start_mark.line + 1
            yield from _walk(value, (*place, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*place, index), lines)


def _name(place: Place, content: Any) -> str:
    """A place as people write it, with the claim's id: claims[3] (000.loss).tests[0].measure."""
    text = ""
    for depth, step in enumerate(place):
        text += f"[{step}]" if isinstance(step, int) else f"{'.' if text else ''}{step}"
        if place[:depth] == ("claims",) and isinstance(step, int):
            entry = content["claims"][step]
            text += f" ({entry['id']})" if isinstance(entry, dict) and "id" in entry else ""
    return text or "the file"


def _in_words(path: Path, error: jsonschema.ValidationError, lines: dict[Place, int], content: Any) -> Iterator[str]:
    """A schema error in words for people."""
    place: Place = tuple(error.absolute_path)

    def where(*key: str) -> str:
        return f"{path}, line {lines.get((*place, *key), lines.get(place, 1))}, {_name(place, content)}"

    schema: Any = error.schema
    found: Any = error.instance
    if error.validator == "additionalProperties" and isinstance(found, dict):
        allowed = list(schema.get("properties", ()))
        patterns = list(schema.get("patternProperties", ()))
        for key in found:
            if key not in allowed and not any(re.search(p, key) for p in patterns):
                hint = nearest(key, allowed) if allowed else f"Keys are like {patterns[0]}."
                yield f"{where(key)}: unknown key {key!r}. {hint}"
    elif error.validator == "required":
        yield f"{where()}: lacks {', '.join(key for key in schema['required'] if key not in found)}."
    elif error.validator == "type":
        kinds = schema["type"] if isinstance(schema["type"], str) else " or ".join(schema["type"])
        yield f"{where()}: is {found!r} ({type(found).__name__}); it must be {kinds}."
    elif error.validator == "enum":
        yield f"{where()}: is {found!r}. {nearest(str(found), [str(v) for v in schema['enum']])}"
    else:
        yield f"{where()}: {error.message}."


def _claim(
    path: Path, entry: dict[str, Any], index: int, content: dict[str, Any], lines: dict[Place, int], problems: list[str]
) -> Claim:
    """One claim with its parts written out; what is wrong goes to `problems`."""
    sources = content["sources"]
    place: Place = ("claims", index)
    source = entry["id"].split(".")[0]
    if source not in sources:
        problems.append(
            f"{path}, line {lines[place]}: claim {entry['id']} is of source {source!r}, which `sources` does not have."
        )
    published = entry.get("published")
    for key, value in _leaves(published, (*place, "published")):
        if isinstance(value, str) and NUMBER_LIKE.fullmatch(value):
            problems.append(
                f"{path}, line {lines.get(key, lines[place])}: {value!r} is a text and not a number "
                "(YAML wants 1.58e+13 with point and sign)."
            )
    trials: list[Trial] = []
    for number, test in enumerate(entry["tests"]):
        where: Place = (*place, "tests", number)
        line = lines[where]
        if "part" in test and "parts" in test:
            problems.append(f"{path}, line {line}, claim {entry['id']}: give `part` or `parts`, not both.")
        for part in test.get("parts", [test.get("part", "")]):
            trial, wrong = _trial(entry, _fill(test, str(part)), str(part), line, content.get("margins", {}))
            problems += [f"{path}, line {line}, claim {entry['id']}{f' ({part})' if part else ''}: {w}" for w in wrong]
            trials.append(trial)
    for protocol in ("published", "fair"):
        names = [t.part for t in trials if t.protocol == protocol]
        if twice := {n for n in names if names.count(n) > 1}:
            problems.append(
                f"{path}, line {lines[place]}: claim {entry['id']} has two {protocol} tests of part "
                f"{sorted(twice)[0]!r}; give them different parts."
            )
    return Claim(
        entry["id"], source, entry["title"], entry["figure"], published, entry.get("combine", "all"), tuple(trials)
    )


def _leaves(value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*place, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*place, index))
    else:
        yield place, value


def _fill(value: Any, part: str) -> Any:
    """`value` with {part} replaced in every text."""
    if isinstance(value, dict):
        return {key: _fill(inner, part) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, part) for inner in value]
    return value.replace("{part}", part) if isinstance(value, str) else value


def _trial(
    entry: dict[str, Any], test: dict[str, Any], part: str, line: int, margins: Mapping[str, float]
) -> tuple[Trial, list[str]]:
    """One trial and what is wrong with it."""
    wrong = check_trial(test)
    region, value, trouble = region_of(test.get("expect", {}), entry.get("published"))
    try:
        region = replace(region, margin=margin_of(test, region, margins))
    except ValueError as error:
        wrong.append(str(error))
    if "untested" not in test:
        wrong += trouble
    fixed = ("protocol", "part", "parts", "published", "unit", "corpus", "untested", "because", "caveat", "margin")
    options = {k: v for k, v in test.items() if k not in (*fixed, "select", "measure", "expect")}
    if isinstance(options.get("length"), str) and options["length"].isdigit():
        options["length"] = int(options["length"])
    return (
        Trial(
            part=part,
            protocol=test["protocol"],
            published=test.get("published", entry["figure"] if value is None else value),
            unit=test.get("unit", entry.get("unit", "")),
            corpus=test["corpus"] if "corpus" in test else entry.get("corpus"),
            select=test.get("select", {}),
            measure=test.get("measure", ""),
            options=options,
            region=region,
            untested=test.get("untested"),
            because=test.get("because", ""),
            caveat=test.get("caveat", ""),
            line=line,
        ),
        wrong,
    )
