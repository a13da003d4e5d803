"""Probes for a classifier: single texts of interest, and sentences that differ in one term and should be told alike."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from seqscale.data.corpora import DataError
from seqscale.data.tweets import CLASSES

SLOT = "{term}"


@dataclass(frozen=True)
class Probes:
    """A probes file.

    Attributes:
        examples: pairs of text and true label.
        templates: sentences with a slot for a term.
        attributes: the terms of each attribute; every template is filled with every term of every attribute.
    """

    examples: tuple[tuple[str, str], ...]
    templates: tuple[str, ...]
    attributes: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Sentence:
    """A filled template."""

    template: int
    attribute: str
    term: str
    text: str


def load_probes(path: str | Path) -> Probes:
    """Read a probes file (config/probes.yaml explains the form).

    Raises:
        DataError: it is not there, not YAML, or not of this form; says what is wrong and where.
    """
    try:
        content: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"the probes file {path} cannot be read ({error.strerror}); correct `probes`") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    allowed = {"examples", "templates", "attributes"}
    if not isinstance(content, dict) or not content.keys() <= allowed:
        raise DataError(f"{path} must be a mapping with the keys {', '.join(sorted(allowed))}")
    examples = content.get("examples", [])
    for number, entry in enumerate(examples):
        if not isinstance(entry, dict) or entry.keys() != {"text", "truth"} or entry["truth"] not in CLASSES:
            raise DataError(f"{path}, examples[{number}]: must be {{text: ..., truth: {' or '.join(CLASSES)}}}")
    templates = content.get("templates", [])
    for number, text in enumerate(templates):
        if not isinstance(text, str) or text.count(SLOT) != 1:
            raise DataError(f"{path}, templates[{number}]: must be a text with {SLOT} in it, once: {text!r}")
    attributes = content.get("attributes", {})
    for name, terms in attributes.items():
        if not isinstance(terms, list) or len(terms) < 2 or len(set(map(str, terms))) < len(terms):
            raise DataError(f"{path}, attributes.{name}: must be a list of two or more different terms")
    return Probes(
        tuple((str(entry["text"]), entry["truth"]) for entry in examples),
        tuple(templates),
        {str(name): tuple(str(term) for term in terms) for name, terms in attributes.items()},
    )


def sentences(probes: Probes) -> list[Sentence]:
    """Every template with every term of every attribute."""
    return [
        Sentence(number, attribute, term, template.replace(SLOT, term))
        for attribute, terms in probes.attributes.items()
        for number, template in enumerate(probes.templates)
        for term in terms
    ]
