"""What a configuration may ask for beside the comparison: curves elsewhere (`tracking`), checkpoints to evaluate."""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqscale.config.errors import Problems

if TYPE_CHECKING:
    from seqscale.config.load import Config

TEXTS = ("text", "pydoc_topics", "corpus")


def checkpoints(config: "Config") -> dict[str, dict[str, Any]]:
    """The checkpoints of a configuration by name, each with its path and what to evaluate.

    `NAME: PATH` is short for `NAME: {path: PATH}`; texts are by default all those that experiments use.
    """
    found = {}
    used = [x["dataset"] for x in config.values["experiments"].values()]
    texts = [name for name in dict.fromkeys(used) if config.datasets.get(name, {}).get("kind") in TEXTS]
    for name, entry in config.values.get("checkpoints", {}).items():
        given = {"path": entry} if isinstance(entry, str) else entry
        found[name] = {"contexts": None, "recall": [64, 256], "texts": texts, **given}
    return found


def pass_on_tracking(config: "Config") -> None:
    """Tell the jobs of this process by the environment which curves are wanted (seqscale.training.tracking)."""
    os.environ["SEQSCALE_TRACKING"] = ",".join(config.values.get("tracking", []))


def is_folder(path: str) -> bool:
    """Whether a checkpoint's path means a folder here; OWNER/NAME that is no folder means the hub."""
    return path.count("/") != 1 or path.startswith((".", "/", "~")) or Path(path).expanduser().is_dir()


def check_extras(config: "Config", problems: Problems) -> None:
    """Folders and packages that are asked for are there."""
    for index, word in enumerate(config.values.get("tracking", [])):
        if importlib.util.find_spec(word) is None:
            problems.add(["tracking", index], f"needs the package {word}, which is not installed: pip install {word}")
    for name, entry in checkpoints(config).items():
        place = ["checkpoints", name]
        if is_folder(entry["path"]) and not (Path(entry["path"]).expanduser() / "config.json").is_file():
            problems.add(
                place,
                f"there is no checkpoint at {entry['path']} (a folder with config.json). Make one with "
                "`seqscale export RUN FOLDER`, or give a name on the hub (OWNER/NAME)",
            )
        for text in entry["texts"]:
            if text not in config.datasets or config.datasets[text]["kind"] not in TEXTS:
                known = [n for n, d in config.datasets.items() if d["kind"] in TEXTS]
                problems.add([*place, "texts"], f"'{text}' is not a text. Allowed: {', '.join(known)}")
