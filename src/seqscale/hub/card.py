"""The model card of an exported run: what it is, how it did, where it comes from."""

from typing import Any

HOW = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("THIS FOLDER")
tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")
tokens = tokenizer("The ", return_tensors="pt", return_token_type_ids=False)
print(tokenizer.decode(model.generate(**tokens, max_new_tokens=100)[0]))
```"""


HARNESS = """
In lm-evaluation-harness the model needs `prefix_token_id`, as it has no token of its own for the beginning of a text:

```bash
lm_eval --model hf --model_args "pretrained=THIS FOLDER,prefix_token_id={beginning}" --tasks ...
```"""


def model_card(
    summary: dict[str, Any],
    metrics: dict[str, Any],
    data: dict[str, Any],
    architecture: str,
    beginning: int | None = None,
) -> str:
    """README.md with the hub's header. Every number comes from the run's own files; what is not there is left out.

    `beginning`: the token before a text's first (`tokenizer.beginning`), where there is a tokenizer.
    """
    run, origin = summary["config"], summary.get("provenance", {})
    model = run["model"]
    title = f"{model['name']} on {data.get('title', run['dataset'])}"
    licence = data.get("licence") or "not stated"
    rows = [
        ("architecture", f"{architecture}: {model['n_layers']} layers, d_model {model['d_model']}"),
        ("parameters", f"{summary['params']:,} ({summary['params_nonembedding']:,} without embeddings)"),
        ("data", f"{data.get('title', run['dataset'])}, licence: {licence}, sha256 {data.get('sha256')}"),
        (
            "tokens",
            f"{summary['train_tokens']:,}: {summary['steps_done']:,} steps of {run['batch']} x {run['context']}",
        ),
        ("learning rate", f"{run['optimizer']['learning_rate']:g}, AdamW, seed {run['seed']}"),
    ]
    scores = []
    for split in ("valid", "test"):
        found = metrics.get(split) or {}
        for name, unit in (
            ("loss", "nats per token"),
            ("perplexity", ""),
            ("bits_per_character", ""),
            ("accuracy", ""),
        ):
            if found.get(name) is not None:
                scores.append((f"{split} {name.replace('_', ' ')}", f"{found[name]:.4f} {unit}".strip()))
    versions = ", ".join(f"{k} {v}" for k, v in (origin.get("packages") or {}).items() if k in ("torch", "triton"))
    source = [
        ("commit", f"{origin.get('git_commit') or 'not known'}{' (with changes)' if origin.get('git_dirty') else ''}"),
        ("config digest", origin.get("config_digest")),
        ("device", origin.get("device_name") or origin.get("cpu")),
        ("versions", f"Python {origin.get('python')}, {versions}"),
    ]
    header = ["---", "library_name: transformers", "pipeline_tag: text-generation", "tags: [seqscale, " +
              f"{model['mixer']}]", "---"]  # fmt: skip
    return "\n".join(
        [
            *header,
            f"\n# {title}\n",
            "A small model trained by SeqScale to compare sequence mixers. It is good for comparisons, not for use.\n",
            HOW,
            *([] if beginning is None else [HARNESS.format(beginning=beginning)]),
            "\n## Training\n",
            _table(rows),
            "\n## Results\n",
            _table(scores) if scores else "Not evaluated.",
            f"\nWhole splits, in windows of {run['context']} tokens that each start afresh.",
            "\n## Provenance\n",
            _table(source),
            "",
        ]
    )


def _table(rows: list[tuple[str, Any]]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])
