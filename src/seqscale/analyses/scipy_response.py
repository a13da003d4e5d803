"""Claim 002.scipy: a channel of a trained model, exported to `scipy.signal`, answers an impulse as the model does."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqscale.analyses.row import row
from seqscale.data import open_dataset
from seqscale.files import read_json
from seqscale.mixers.lti_ssm import GatedLTI
from seqscale.models import LanguageModel, ModelSpec, build
from seqscale.training.checkpoint import load_tensors

SUITE = "scipy_response"


def rows(config: dict[str, Any], runs: Sequence[Path], data: str | None) -> Iterator[dict[str, Any]]:
    """Errors of the model's own kernel (float32, as it runs) against SciPy's impulse response (float64).

    Args:
        config: settings: length (steps of the response), channels (how many of each layer, spread evenly).
        runs: folders with model.safetensors and summary.json. data: the prepared data that they were trained on.

    Raises:
        ValueError: no runs, or no data.
    """
    settings = config["settings"]
    if not runs or data is None:
        raise ValueError("scipy_response needs --runs (folders of trained runs) and --data (what they were trained on)")
    for folder in runs:
        summary = read_json(folder / "summary.json")
        run = summary["config"]
        if summary["status"] != "ok":
            continue
        model = build(ModelSpec.from_dict(run["model"]), open_dataset(data).vocab_size, run["context"])
        model.load_state_dict(load_tensors(folder / "model.safetensors")[0])
        errors = np.array(list(_errors(model, settings["length"], settings["channels"])))
        mixer = run["model"]["mixer_options"]
        yield row(
            SUITE,
            run["model"]["name"],
            "error",
            errors,
            experiment=run["experiment"],
            length=settings["length"],
            d_state=mixer.get("d_state"),
            batch=1,
            device="cpu",
            dtype="float32",
            direction="impulse response",
            implementation="scipy.signal.dlsim",
            unit="share",
        )


def _errors(model: LanguageModel, length: int, channels: int) -> Iterator[float]:
    """The largest difference of each exported channel, as a share of its largest value."""
    from scipy.signal import dlsim

    impulse = np.eye(1, length)[0]  # not dimpulse, which loses a step where length * dt rounds down
    for mixer in (module for module in model.modules() if isinstance(module, GatedLTI)):
        with torch.inference_mode():
            kernels = mixer.kernel(mixer.discrete(), length).double()
            kernels[:, 0] += mixer.D
        for index in np.unique(np.linspace(0, mixer.d_inner - 1, channels).round().astype(int)).tolist():
            _, response, _ = dlsim(mixer.channel(index).dlti(), impulse)
            kernel = kernels[index].numpy()
            yield float(np.abs(response[:, 0] - kernel).max() / np.abs(response).max())
