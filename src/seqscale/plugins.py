"""Mixers of other packages: found by their entry points, so that nobody has to fork to add one.

An outside package says in its pyproject.toml

    [project.entry-points."seqscale.mixers"]
    NAME = "its_package.module"            # that module ends with `MIXER = Class`; or "its_package.module:Class"

and NAME can then stand in config/models.yaml like the name of a file in seqscale/mixers.
"""

import functools
import importlib.metadata
import importlib.util
from pathlib import Path

GROUP = "seqscale.mixers"
OWN = Path(__file__).resolve().parent / "mixers"
NOT_MIXERS = ("__init__", "base", "face")


def own_mixers() -> list[str]:
    """Names of the mixers of this package: the files in seqscale/mixers, sorted."""
    return sorted(f.stem for f in OWN.glob("*.py") if f.stem not in NOT_MIXERS)


@functools.cache
def outside_mixers() -> dict[str, importlib.metadata.EntryPoint]:
    """Entry points of installed packages by mixer name.

    Raises:
        ValueError: a name is taken twice, by two packages or by a file of this one; nothing is picked silently.
    """
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        other = found.get(point.name)
        if (OWN / f"{point.name}.py").is_file():
            raise ValueError(f"the mixer {point.name!r} of {_package(point)} has the name of mixers/{point.name}.py")
        if other is not None and other.value != point.value:
            raise ValueError(f"two packages offer a mixer {point.name!r}: {_package(other)} and {_package(point)}")
        found[point.name] = point
    return found


def mixer_file(name: str) -> Path:
    """The file that defines the mixer `name`; an outside package's is found without importing the module itself.

    Raises:
        ValueError: there is no such mixer, or its package names a module that is not there.
    """
    if name in own_mixers():
        return OWN / f"{name}.py"
    point = outside_mixers().get(name)
    if point is None:
        raise ValueError(f"there is no mixer {name!r}; there are {', '.join([*own_mixers(), *outside_mixers()])}")
    try:
        spec = importlib.util.find_spec(point.module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise ValueError(f"{_package(point)} offers the mixer {name!r} in {point.module}, which is not installed")
    return Path(spec.origin)


def mixer_code(name: str) -> tuple[str, ...]:
    """What `provenance.code_digest` should read for a mixer: this package's module, or all files of an outside one."""
    if name not in outside_mixers():
        return (f"seqscale.mixers.{name}",)
    file = mixer_file(name)
    depth = outside_mixers()[name].module.count(".") - (file.name != "__init__.py")
    if depth < 0:  # a single module, not in a package
        return (str(file),)
    return tuple(sorted(str(f) for f in file.parents[depth].rglob("*.py")))


def _package(point: importlib.metadata.EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist else point.value
