"""What one benchmark job is asked to do, checked before any work starts."""

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any

from seqscale.models import ModelSpec

KINDS = ("prefill", "decode", "train_step", "memory", "flops", "as_published")
PARTS = ("model", "mixer")
PRECISIONS = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class BenchConfig:
    """One suite for one model.

    Args:
        suite: its name, a column of the table.
        model: the architecture.
        kind: what is measured, one of KINDS; by default the suite's name.
        batch: sequences side by side; or
        fill: tokens in a call, batch * length, so that the batch shrinks as the length grows (at least one sequence).
        part: "model", or "mixer": the first layer's mixer alone, prefill only.
        lengths: tokens per sequence (decode: tokens of context before the timed steps); sorted here.
        tokens: single steps timed at each length, decode only.
        forwards: averaged in one measurement, as_published only.
        repeats, min_seconds: a timing goes on until it has both.
        device, precision: as in config.yaml's `compute`.
        threads: of PyTorch on a CPU.
        vocab_size: different tokens.
    """

    suite: str
    model: ModelSpec
    lengths: tuple[int, ...]
    batch: int | None = None
    fill: int | None = None
    kind: str = ""
    part: str = "model"
    tokens: int = 16
    forwards: int = 10
    repeats: int = 7
    min_seconds: float = 0.2
    device: str = "auto"
    threads: int = 1
    precision: str = "auto"
    vocab_size: int = 128

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", self.kind or self.suite)

    def batch_at(self, length: int) -> int:
        """Sequences side by side at a length."""
        return self.batch or max(1, (self.fill or 1) // length)

    @property
    def length_max(self) -> int:
        """The longest sequence that the model must be able to take."""
        more = {"decode": self.tokens, "memory": 1}  # single steps after the longest context
        return max(self.lengths) + more.get(self.kind, 0)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "BenchConfig":
        """From JSON: {"suite", "kind", "model": {...}, "settings": {"batch", "lengths", ...}, "repeats", ...}.

        Raises:
            ValueError: a key that is unknown or missing, or a value that cannot be; the message names the key.
        """
        if not isinstance(values, dict):
            raise ValueError("the config must be a JSON object with the keys suite, model and settings")
        fields = {field.name for field in dataclasses.fields(cls)}
        of_settings = {"batch", "fill", "part", "lengths", "tokens", "forwards"}
        _known("", values, (fields - of_settings) | {"settings"}, {"suite", "model", "settings"})
        settings, model = values["settings"], values["model"]
        for key, part in (("settings", settings), ("model", model)):
            if not isinstance(part, dict):
                raise ValueError(f"{key} must be a JSON object, not {part!r}")
        kind = values.get("kind", values["suite"])
        if kind not in KINDS:
            what = "kind" if "kind" in values else "suite"
            raise ValueError(f"{what} is {kind!r}{_near(kind, KINDS)}; allowed: {', '.join(KINDS)}")
        _known("settings.", settings, of_settings, {"lengths"})
        if ("batch" in settings) == ("fill" in settings):
            raise ValueError("settings needs either batch (sequences side by side) or fill (tokens in a call)")
        if settings.get("part", "model") not in PARTS or (settings.get("part") == "mixer" and kind != "prefill"):
            raise ValueError(f"settings.part is {settings['part']!r}; allowed: model, and for prefill mixer")
        specs = dataclasses.fields(ModelSpec)
        _known("model.", model, {f.name for f in specs}, {"name", "mixer", "d_model", "n_layers"})
        lengths = settings["lengths"]
        if not (isinstance(lengths, list) and lengths and all(_whole(n) and n > 0 for n in lengths)):
            raise ValueError(f"settings.lengths must be a list of whole numbers above 0, not {lengths!r}")
        for key, value in (*((f"settings.{k}", settings.get(k, 1)) for k in ("batch", "fill", "tokens", "forwards")),
                           *((k, values[k]) for k in ("repeats", "threads", "vocab_size") if k in values)):  # fmt: skip
            if not (_whole(value) and value > 0):
                raise ValueError(f"{key} must be a whole number above 0, not {value!r}")
        seconds = values.get("min_seconds", 0.0)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 3600:
            raise ValueError(f"min_seconds must be a number from 0 to 3600, not {seconds!r}")
        for key, allowed in (("device", DEVICES), ("precision", PRECISIONS)):
            if key in values and values[key] not in allowed:
                raise ValueError(f"{key} is {values[key]!r}; allowed: {', '.join(allowed)}")
        plain = {k: v for k, v in values.items() if k not in ("model", "settings")}
        rest = {**settings, "lengths": tuple(sorted(set(lengths)))}
        return cls(model=ModelSpec.from_dict(model), **plain, **rest)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _near(word: Any, allowed: Any) -> str:
    found = difflib.get_close_matches(str(word), sorted(allowed), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _known(where: str, values: dict[str, Any], allowed: set[str], needed: set[str]) -> None:
    for key in values:
        if key not in allowed:
            raise ValueError(f"unknown key {where}{key}{_near(key, allowed)}; allowed: {', '.join(sorted(allowed))}")
    for key in sorted(needed - values.keys()):
        raise ValueError(f"the key {where}{key} is missing")
