"""Every model that a configuration uses is built before anything starts: what a mixer refuses, it refuses then.

Each different layer once, without drawing its random numbers: milliseconds. Loading PyTorch takes longer (a second or
two), so what was built before with the same code is remembered in the user's cache ($XDG_CACHE_HOME, else ~/.cache,
seqscale/built: an empty file each) and not built again; failures never are remembered.
"""

import contextlib
import importlib
import importlib.metadata
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqscale.config import Config, Matrix
from seqscale.config.errors import Problems
from seqscale.config.suites import SCAN
from seqscale.layers import layers
from seqscale.plugins import mixer_code
from seqscale.provenance import code_digest, digest

BUILDING = ("seqscale.trial", "seqscale.mixers.face")  # code besides the mixer's own


@dataclass(frozen=True)
class Part:
    """What is built: a layer's mixer, or a whole model as published; and the place that describes it."""

    place: tuple[str | int, ...]
    mixer: str
    published: str
    d_model: int
    n_layers: int  # of a model as published
    options: dict[str, Any]

    def what(self) -> str:
        return f"published model {self.published!r}" if self.published else f"mixer {self.mixer!r}"

    def key(self, code: str) -> str:
        """Equal for parts that are built alike by the same code."""
        return digest([{name: value for name, value in vars(self).items() if name != "place"}, code])


def _code(used: list[Part]) -> str:
    """A digest of all code that builds these parts, PyTorch's version included; errors as of `code_digest`."""
    roots = {root for part in used if part.mixer for root in mixer_code(part.mixer)}
    roots |= {f"seqscale.models.published.source_{p.published.split('.')[0]}" for p in used if p.published}
    return code_digest(*BUILDING, *sorted(roots)) + importlib.metadata.version("torch")


def check_builds(config: Config) -> None:
    """Build all models that the configuration's experiments and benchmarks use.

    Raises:
        ConfigError: naming each mixer that cannot be built, with file and key, in the mixer's own words.
    """
    problems = Problems(config.sources)
    used, folder, said = list(parts(config)), _cache(), dict[str, str]()
    try:
        code = _code(used)
    except (ImportError, OSError, SyntaxError, ValueError):  # building what cannot be read will say why
        code, folder = "", None
    for part in used:
        key = part.key(code)
        if folder is not None and (folder / key).exists():
            continue
        words = said[key] = said[key] if key in said else refusal(part)
        if words:
            problems.add(_key(part, words), f"the {part.what()} cannot be built: {words}")
        elif folder is not None:
            with contextlib.suppress(OSError):  # a full disk costs the time of building again, nothing else
                (folder / key).touch()
    problems.done()


def parts(config: Config) -> Iterator[Part]:
    """The parts of every model in use, in the order of the configuration."""
    matrix = Matrix(config)
    used = [model for experiment in matrix.experiments.values() for model in experiment["models"]]
    used += [model for _, model in matrix.benches() if model != SCAN]
    for name in dict.fromkeys(used):
        model = config.models[name]
        if model["published"]:
            yield Part((name,), "", model["published"], model["d_model"], model["n_layers"], model["mixer_options"])
            continue
        for index, entry in enumerate(model.get("blocks") or [{}]):
            (layer,) = layers({**model, "blocks": [entry], "n_layers": 1})
            own = (name, "blocks", index) if "mixer" in entry or "mixer_options" in entry else (name,)
            yield Part(own, layer.mixer, "", model["d_model"], 1, dict(layer.options))


def refusal(part: Part) -> str:
    """Why a part cannot be built, in words; empty if it can."""
    import torch
    from torch.overrides import TorchFunctionMode

    class WithoutDrawing(TorchFunctionMode):
        """Weights are reserved, but no random numbers drawn: memory that nobody writes to costs nothing.

        The meta device would do without memory, too, but PyTorch loads its Python operators for it: another second.
        """

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if getattr(func, "__name__", "").endswith(("uniform_", "normal_")):  # of Tensor and of nn.init
                return args[0] if args else kwargs["tensor"]
            return func(*args, **kwargs)

    try:
        with WithoutDrawing():
            _build(part)
    except Exception:  # a mixer may look at the numbers while it is built: then the real thing decides
        try:
            with torch.random.fork_rng(devices=[]):
                _build(part)
        except ValueError as error:
            return str(error)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return ""


def _build(part: Part) -> None:
    # by name: the rule that writes the resolved configuration calls this module, and must not run again for an edit of
    # a kernel (`provenance.code_digest` follows import statements)
    if part.published:
        published = importlib.import_module("seqscale.models.published")
        published.build_published(part.published, 8, 8, part.d_model, part.n_layers, part.options)
    else:
        importlib.import_module("seqscale.mixers").make(part.mixer, part.d_model, part.options)


def _key(part: Part, words: str) -> list[str | int]:
    """The key that a refusal speaks of: an option that it names, else the width, else the mixer."""
    named = [option for option in part.options if re.search(rf"\b{re.escape(option)}\b", words)]
    if named:
        return [*part.place, "mixer_options", named[0]]
    if "d_model" in words:
        return [part.place[0], "d_model"]
    return [*part.place, "published" if part.published else "mixer"]


def _cache() -> Path | None:
    """The cache folder; None where it cannot be written."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "seqscale" / "built"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None
