"""One look per model: the same colour, marker and dash in every figure, read from ``report/style.yaml``."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

STYLE_FILE = Path(__file__).resolve().parents[3] / "report" / "style.yaml"
DASHES: dict[str, Any] = {
    "solid": "solid",
    "dashed": (0, (5, 2)),
    "long": (0, (9, 2)),
    "dashdot": (0, (6, 2, 1.5, 2)),
    "dotted": (0, (1.5, 1.8)),
}
GROUNDS = ("ink", "muted", "faint", "paper", "panel", "accent")
VERDICTS = ("reproduced", "not reproduced", "inconclusive", "not tested")


Marker = str | tuple[int, int, float]  # Matplotlib's: a letter, or (points, 1 for a star, rotation in degrees)


@dataclass(frozen=True)
class Tone:
    """A colour for white paper and its counterpart for a dark screen, both as ``#rrggbb``."""

    light: str
    dark: str


@dataclass(frozen=True)
class ModelStyle:
    """How one model is drawn: `marker` in Matplotlib's code, `dash` a key of DASHES."""

    tone: Tone
    marker: Marker
    dash: str

    @property
    def color(self) -> str:
        """The colour on white paper."""
        return self.tone.light

    @property
    def linestyle(self) -> Any:
        """The dash in Matplotlib's form."""
        return DASHES[self.dash]


class Style:
    """The contents of ``style.yaml`` plus looks for models that it does not list.

    `names` are all models of the report: unlisted ones get a spare look, started from a hash of the name. Only if two
    unlisted names fall on the same spare look does the alphabetically later one move on, so a new model cannot
    change a listed one and next to never an unlisted one.
    """

    def __init__(self, data: Mapping[str, Any], names: Iterable[str] = (), origin: str = "style.yaml") -> None:
        self._data = data
        try:
            self.ground = {key: Tone(**data[key]) for key in GROUNDS}
            self.verdicts = {key: Tone(data["verdicts"][key]["light"], data["verdicts"][key]["dark"])
                             for key in VERDICTS}  # fmt: skip
            self.shapes: dict[str, str] = {key: data["verdicts"][key]["shape"] for key in VERDICTS}
            self.listed = {
                name: ModelStyle(Tone(look["light"], look["dark"]), _marker(look["marker"]), look["dash"])
                for name, look in data["models"].items()
            }
            self._spare = [
                ModelStyle(Tone(**colour), _marker(marker), dash)
                for marker, dash in zip(data["spare"]["markers"], _cycle(len(data["spare"]["markers"])), strict=True)
                for colour in data["spare"]["colours"]
            ]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{origin}: missing or malformed entry {error}. See the comments in report/style.yaml."
            ) from error
        self._given: dict[str, ModelStyle] = dict(self.listed)
        for name in sorted(set(names)):
            self.model(name)

    def model(self, name: str) -> ModelStyle:
        """The look of the model called `name`, listed or not."""
        if name not in self._given:
            taken = set(self._given.values())
            start = int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(self._spare)
            order = [self._spare[(start + i) % len(self._spare)] for i in range(len(self._spare))]
            # With every spare look taken (36 unlisted models), looks repeat; labels still tell the lines apart.
            self._given[name] = next((look for look in order if look not in taken), order[0])
        return self._given[name]

    def spare(self, index: int) -> ModelStyle:
        """A spare look by number, for lines that are no models: neighbours differ in colour, marker and dash."""
        colours = len(self._data["spare"]["colours"])
        return self._spare[(index * colours + index) % len(self._spare)]

    def tones(self) -> list[Tone]:
        """Every tone that a figure may use; the page maps light to dark by it."""
        looks = [look.tone for look in self._given.values()] + [look.tone for look in self._spare]
        return list(dict.fromkeys([*self.ground.values(), *looks]))

    def __getattr__(self, key: str) -> str:
        """``style.ink``, ``style.muted`` ...: ground colours on white paper."""
        if key in GROUNDS and "ground" in self.__dict__:
            tone: Tone = self.__dict__["ground"][key]
            return tone.light
        raise AttributeError(key)


def _marker(value: Any) -> Marker:
    return (int(value[0]), int(value[1]), float(value[2])) if isinstance(value, list) else str(value)


def _cycle(count: int) -> list[str]:
    kinds = ["solid", "dashed", "dashdot", "long"]
    return [kinds[i % len(kinds)] for i in range(count)]


def load_style(path: str | Path | None = None, names: Iterable[str] = ()) -> Style:
    """Read `path` (default: the repository's ``report/style.yaml``) and give every model in `names` its look."""
    path = Path(path) if path else STYLE_FILE
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist: figures take their colours from it (--style FILE).") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    return Style(data, names, str(path))
