"""Where a checkpoint's files lie, and its weights from safetensors."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

WANTED = ["*.json", "*.safetensors", "*.model", "merges.txt", "vocab.txt"]  # no pickles
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or a model that has no counterpart; the message says what to do."""


def find(path_or_name: str | Path) -> Path:
    """The folder of a checkpoint: as given, else fetched from the hub (or found in its cache) by `huggingface_hub`.

    Raises:
        CheckpointError: neither a folder with config.json nor a name that the hub or its cache knows.
    """
    folder = Path(path_or_name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"{folder} has no config.json: it is not a checkpoint in the form of transformers")
        return folder
    name = str(path_or_name)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(f"there is no folder {name}, and it is no hub name (those are OWNER/NAME)")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise CheckpointError(
            f"there is no folder {name}; to fetch it from the hub: pip install huggingface_hub"
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=WANTED))
    except Exception as error:  # the hub's client raises a family of its own, and requests' and the operating system's
        raise CheckpointError(
            f"there is no folder {name}, and it could not be fetched from the hub "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'})"
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a checkpoint.

    Raises:
        CheckpointError: it is not JSON.
    """
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{folder / 'config.json'} is not valid JSON ({error})") from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by their names: of model.safetensors, or of the parts that its index lists.

    Raises:
        CheckpointError: there is no safetensors file, or one is missing or damaged.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        if outside := [part for part in parts if Path(part).name != part]:
            raise CheckpointError(f"{index} names a file outside of its folder: {outside[0]}")
    else:
        parts = ["model.safetensors"]
    weights: dict[str, Tensor] = {}
    for part in parts:
        if not (folder / part).is_file():
            pickles = sorted(f.name for kind in PICKLES for f in folder.glob(kind))
            if pickles and not index.is_file():
                raise CheckpointError(
                    f"{folder} has its weights in {pickles[0]} only, a pickle, which could run code and is not read. "
                    "Convert it where you trust it: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)"
                )
            raise CheckpointError(f"{folder / part} is not there")
        try:
            with safe_open(folder / part, framework="pt") as handle:
                weights |= {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a dict)
        except SafetensorError as error:
            raise CheckpointError(f"{folder / part} is damaged or incomplete ({error})") from error
    return weights
