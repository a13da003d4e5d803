"""Errors for people: what is wrong, in which file, key and line, what is allowed, and the nearest right spelling."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

Path_ = Sequence[str | int]


class ConfigError(ValueError):
    """Everything that is wrong with a configuration, all at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"the configuration has {count}; nothing was started:\n{lines}")


def nearest(word: Any, allowed: Iterable[str]) -> str:
    """ "; did you mean 'x'?" where one of `allowed` is close to `word`, else a full stop."""
    match = difflib.get_close_matches(str(word), list(allowed), n=1, cutoff=0.6)
    return f"; did you mean '{match[0]}'?" if match else "."


def dotted(path: Path_) -> str:
    """experiments.text.seeds[0] for ("experiments", "text", "seeds", 0)."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


class Source:
    """A YAML file whose keys know their lines."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.label = str(path)
        try:
            text = self.path.read_text(encoding="utf-8")
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.values: Any = yaml.safe_load(text)
        except OSError as error:
            raise ConfigError([f"{self.label} cannot be read: {error.strerror}"]) from error
        except UnicodeDecodeError as error:
            raise ConfigError([f"{self.label} is not UTF-8 text"]) from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error)
            raise ConfigError([f"{self.label}{line}: not valid YAML: {problem}"]) from error

    def line(self, path: Path_) -> int | None:
        """The line of a key (of the deepest part of `path` that the file has), or None if it has none of it."""
        node, line = self._root, None
        for part in path:
            following = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(part):
                        following, line = value, key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                following = node.value[part]
                line = following.start_mark.line + 1
            if following is None:
                return line
            node = following
        return line

    def has(self, path: Path_) -> bool:
        """Whether the file holds this very key."""
        node: Any = self.values
        for part in path:
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                return False
        return True

    def duplicates(self) -> list[str]:
        """Keys written twice in one mapping: YAML would silently take the last."""
        found: list[str] = []

        def walk(node: Any) -> None:
            if isinstance(node, yaml.MappingNode):
                seen: dict[str, int] = {}
                for key, value in node.value:
                    line = key.start_mark.line + 1
                    if key.value in seen:
                        first = seen[key.value]
                        found.append(
                            f"{self.label}, line {line}: '{key.value}' is written twice (first in line {first})"
                        )
                    seen[key.value] = line
                    walk(value)
            elif isinstance(node, yaml.SequenceNode):
                for value in node.value:
                    walk(value)

        walk(self._root)
        return found


class Problems:
    """Collects problems, each with its place."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self.found: list[str] = []

    def add(self, path: Path_, message: str) -> None:
        """Note a problem with the key at `path`, in the last source that has it."""
        for source in reversed(self.sources):  # the user's own file first, where overrides lie under these sections
            for section in ((), ("models",), ("datasets",)):
                spot = [*section, *path]
                if source.has(spot) and (line := source.line(spot)) is not None:
                    self.found.append(f"{source.label}, line {line}, {dotted(spot)}: {message}")
                    return
        for source in reversed(self.sources):
            if source.has(path[:1]) and (line := source.line(path)) is not None:
                self.found.append(f"{source.label}, line {line}, {dotted(path)}: {message}")
                return
        place = f"{self.sources[-1].label}, {dotted(path)}" if self.sources else dotted(path)
        self.found.append(f"{place}: {message}" if path else f"{place} {message}")

    def done(self) -> None:
        """Raise ConfigError if anything was found."""
        if self.found:
            raise ConfigError(self.found)
