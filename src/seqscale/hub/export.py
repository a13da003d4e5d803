"""A trained run of the pipeline as a checkpoint: weights, config, tokenizer and a model card."""

from pathlib import Path
from typing import Any

from seqscale.data import open_dataset
from seqscale.data.batches import TextDataset
from seqscale.files import read_json, write_json, write_text
from seqscale.hub.card import model_card
from seqscale.hub.checkpoint import family_for, save_pretrained
from seqscale.hub.files import CheckpointError
from seqscale.hub.tokenizer import beginning, save_tokenizer
from seqscale.models import ModelSpec, build
from seqscale.training.checkpoint import load_tensors


def export_run(run: str | Path, out: str | Path, data: str | Path | None = None) -> dict[str, Any]:
    """Write what `AutoModelForCausalLM.from_pretrained(out)` and `AutoTokenizer.from_pretrained(out)` open.

    Args:
        run: a finished run, as results/runs/EXPERIMENT/MODEL/seedN.
        data: the folder of its prepared dataset; by default the one beside the run's results/runs.

    Returns:
        What was written: {"architecture", "parameters", "files"}.

    Raises:
        CheckpointError: no finished run, or a model that transformers has no counterpart for.
        ValueError: damaged weights.
    """
    run, out = Path(run), Path(out)
    for name in ("summary.json", "model.safetensors"):
        if not (run / name).is_file():
            raise CheckpointError(
                f"{run} has no {name}: it is not a finished run (results/runs/EXPERIMENT/MODEL/seedN)"
            )
    summary = read_json(run / "summary.json")
    config = summary["config"]
    if summary["status"] != "ok":
        raise CheckpointError(f"{run} is {summary['status']} ({summary['reason']}): there is nothing worth exporting")
    spec = ModelSpec.from_dict(config["model"])
    family_for(spec)  # before anything is read
    dataset = open_dataset(_data_folder(run, config["dataset"], data))
    model = build(spec, dataset.vocab_size, config["context"])
    model.load_state_dict(load_tensors(run / "model.safetensors")[0])
    written = save_pretrained(model, out, spec)
    first = None
    if isinstance(dataset, TextDataset):
        save_tokenizer(dataset.tokenizer, out, model.length_max)
        first = beginning(dataset.tokenizer)
    metrics = read_json(run / "metrics.json") if (run / "metrics.json").is_file() else {}
    write_text(out / "README.md", model_card(summary, metrics, dataset.meta, written["architectures"][0], first))
    write_json(out / "generation_config.json", {"do_sample": True, "temperature": 0.8, "top_k": 40})
    return {
        "architecture": written["architectures"][0],
        "parameters": summary["params"],
        "files": sorted(f.name for f in out.iterdir() if not f.name.startswith(".")),
    }


def _data_folder(run: Path, dataset: str, given: str | Path | None) -> Path:
    if given is not None:
        if not (Path(given) / "meta.json").is_file():
            raise CheckpointError(f"{given} has no meta.json: it is not a folder that prepare.py made")
        return Path(given)
    for parent in run.resolve().parents:
        if (parent / "data" / dataset / "meta.json").is_file():
            return parent / "data" / dataset
    raise CheckpointError(f"the prepared dataset {dataset!r} is not found above {run}: name its folder with --data")
