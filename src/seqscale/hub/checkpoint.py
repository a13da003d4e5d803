"""Load and save: from a folder or hub name to a LanguageModel and back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from seqscale.files import atomic_write, write_json
from seqscale.hub.family import Family, Shape, set_norm_eps
from seqscale.hub.files import CheckpointError, find, read_config, read_weights
from seqscale.hub.gpt2 import GPT2
from seqscale.hub.llama import Llama
from seqscale.hub.mamba import Mamba
from seqscale.hub.mamba2 import Mamba2
from seqscale.mixers import make
from seqscale.models import LanguageModel
from seqscale.models.spec import ModelSpec

FAMILIES: tuple[Family, ...] = (Mamba(), Mamba2(), GPT2(), Llama())


def from_pretrained(
    path_or_name: str | Path, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
) -> LanguageModel:
    """The model of a checkpoint, in eval mode; its spec is `model.spec`.

    Args:
        path_or_name: a folder with config.json and safetensors, or a name on the hub ("OWNER/NAME").
        dtype: of the weights, whatever they are stored in.

    Raises:
        CheckpointError: not found, not of a known family, with options that this package does not compute, or with
            weights that do not fit its config.json.
    """
    folder = find(path_or_name)
    config = read_config(folder)
    family = _family_of(config)
    try:
        shape = family.shape(config)
    except KeyError as error:
        raise CheckpointError(f"{folder / 'config.json'} lacks {error.args[0]!r}") from error
    weights = family.to_ours(read_weights(folder), shape.spec.n_layers)
    if shape.tied:
        weights.pop("head.weight", None)  # a copy of the embedding
    model = _build(shape)
    problems = model.load_state_dict(_fitting(weights, model, folder), strict=False)
    if problems.missing_keys or problems.unexpected_keys:
        names = [*problems.missing_keys, *problems.unexpected_keys]
        raise CheckpointError(f"the weights in {folder} do not fit its config.json: {', '.join(names[:3])}")
    return model.to(device=device, dtype=dtype).eval()


def save_pretrained(
    model: LanguageModel, folder: str | Path, spec: ModelSpec | None = None, **more: Any
) -> dict[str, Any]:
    """Write config.json and model.safetensors, as transformers reads them.

    Args:
        spec: what the model was built from; by default `model.spec`, which loaded models have.
        more: further keys of config.json (token ids, say).

    Returns:
        The config.json.

    Raises:
        CheckpointError: no family of transformers computes this model.
    """
    spec = spec or model.spec
    if spec is None:
        raise CheckpointError("this model does not know its spec; give save_pretrained(model, folder, spec)")
    family = family_for(spec)
    theirs = family.to_theirs(dict(model.state_dict()), len(model.blocks))
    folder = Path(folder)
    config = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "vocab_size": model.vocab_size,
        "tie_word_embeddings": model.head is None,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "dtype": str(model.embedding.weight.dtype).removeprefix("torch."),
        **family.config(model, spec),
        **more,
    }
    with atomic_write(folder / "model.safetensors") as temporary:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in theirs.items()}
        save_file(tensors, temporary, metadata={"format": "pt"})
    write_json(folder / "config.json", json.loads(json.dumps(config)))
    return config


def family_for(spec: ModelSpec) -> Family:
    """The family that models of this spec can be written as.

    Raises:
        CheckpointError: there is none; says which there are.
    """
    for family in FAMILIES:
        if family.describes(spec):
            return family
    forms = "; ".join(f"{family.architecture} ({family.ours})" for family in FAMILIES)
    raise CheckpointError(f"transformers has no model that computes {spec.name!r}. What can be exported: {forms}")


def _family_of(config: Mapping[str, Any]) -> Family:
    for family in FAMILIES:
        if config.get("model_type") == family.model_type:
            return family
    kinds = ", ".join(family.model_type for family in FAMILIES)
    raise CheckpointError(f"config.json says model_type = {config.get('model_type')!r}; this package reads {kinds}")


def _build(shape: Shape) -> LanguageModel:
    spec = shape.spec
    layers = spec.layers()
    model = LanguageModel(
        shape.vocab_size,
        spec.d_model,
        [make(layer.mixer, spec.d_model, layer.options) for layer in layers],
        [layer.channel_mixer for layer in layers],
        spec.norm,
        shape.context if spec.positions == "learned" else None,
        tied=shape.tied,
    )
    set_norm_eps(model, shape.norm_eps)
    model.spec = spec
    return model


def _fitting(weights: dict[str, torch.Tensor], model: LanguageModel, folder: Path) -> dict[str, torch.Tensor]:
    expected = model.state_dict()
    for name, tensor in weights.items():
        if name in expected and expected[name].shape != tensor.shape:
            raise CheckpointError(
                f"the weights in {folder} do not fit its config.json: {name} is {tuple(tensor.shape)}, "
                f"expected {tuple(expected[name].shape)}"
            )
    return weights
