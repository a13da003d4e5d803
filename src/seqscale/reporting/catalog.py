"""The list of figures. Imports nothing heavy, so that Snakemake can read it while it parses its rules.

The list depends on the files of the project alone, never on the configuration: experiments and devices are panels
inside a figure. A figure without data is still drawn and says what is missing. Three kinds:

FIGURES    those with code of their own (learning, scaling) and those of report/figures.yaml (tidy)
EVIDENCE   one for each claim of config/claims.yaml: claim_ID
"""

from pathlib import Path
from typing import NamedTuple

import yaml

from seqscale.reporting.tidy_entries import load_entries

KINDS = ("svg", "png", "csv")
CLAIMS_FILE = Path(__file__).resolve().parents[3] / "config" / "claims.yaml"


class FigureEntry(NamedTuple):
    """One figure: file name without suffix, title, caption file (below ``report/captions``), category."""

    name: str
    title: str
    caption: str
    category: str


LEARNING = "Learning"
COST = "Loss against cost"
SCALING = "Time and memory"
MEMORY = "Memory and recall"

FIGURES: tuple[FigureEntry, ...] = (
    FigureEntry("final_loss", "Test result of every model", "final_loss.rst", LEARNING),
    FigureEntry("training_curves", "Validation loss against tokens seen", "training_curves.rst", LEARNING),
    FigureEntry("learning_rate_search", "Learning-rate search", "learning_rate_search.rst", LEARNING),
    FigureEntry("sensitivity", "Sensitivity to one setting at a time", "sensitivity.rst", LEARNING),
    FigureEntry("loss_vs_flops", "Validation loss against training FLOPs", "loss_vs_flops.rst", COST),
    FigureEntry("loss_vs_seconds", "Validation loss against training seconds", "loss_vs_seconds.rst", COST),
    FigureEntry("loss_vs_params", "Test loss against parameters", "loss_vs_params.rst", COST),
    FigureEntry("loss_frontier", "Frontier of loss against FLOPs", "loss_frontier.rst", COST),
    FigureEntry("prefill_scaling", "Prefill time against length", "prefill_scaling.rst", SCALING),
    FigureEntry("decode_scaling", "Time per generated token against context", "decode_scaling.rst", SCALING),
    FigureEntry("train_step_scaling", "Training-step time against length", "train_step_scaling.rst", SCALING),
    FigureEntry("memory_scaling", "Peak memory against length", "memory_scaling.rst", SCALING),
    FigureEntry("state_size", "State or cache against length", "state_size.rst", SCALING),
    FigureEntry("flops_scaling", "Counted FLOPs against length", "flops_scaling.rst", SCALING),
    FigureEntry("scaling_exponents", "Fitted scaling exponents", "scaling_exponents.rst", SCALING),
    FigureEntry("crossovers", "Where Mamba overtakes attention", "crossovers.rst", SCALING),
    FigureEntry("mfu", "Model FLOP utilisation in training", "mfu.rst", SCALING),
    FigureEntry("roofline", "Every scan beside the ceilings of its device", "roofline.rst", SCALING),
    FigureEntry(
        "published_curves", "Curves that sources 001 and 004 printed, on ours", "published_curves.rst", SCALING
    ),
    FigureEntry("extrapolation", "Accuracy beyond the trained length", "extrapolation.rst", MEMORY),
    FigureEntry("hippo_memory", "What a HiPPO state remembers", "hippo_memory.rst", MEMORY),
    FigureEntry("s4_kernel", "The convolution kernel of S4 by four ways", "s4_kernel.rst", MEMORY),
    *(FigureEntry(e["name"], e["title"], e["caption"], e["category"]) for e in load_entries()),
)

NAMES: tuple[str, ...] = tuple(entry.name for entry in FIGURES)


def claim_figure(claim: str) -> str:
    """The name of a claim's figure."""
    return f"claim_{claim}"


def evidence(file: Path = CLAIMS_FILE) -> tuple[FigureEntry, ...]:
    """The figures of the claims, in their order; none where there is no claims file."""
    if not file.is_file():
        return ()
    claims = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("claims") or []
    return tuple(
        FigureEntry(
            claim_figure(str(c["id"])), f"{c['id']} {' '.join(str(c['title']).split())}", "claim.rst", "Evidence"
        )
        for c in claims
        if isinstance(c, dict) and "id" in c and "title" in c
    )


EVIDENCE: tuple[FigureEntry, ...] = evidence()
ALL: tuple[str, ...] = (*NAMES, *(entry.name for entry in EVIDENCE))


def entry(name: str) -> FigureEntry:
    """The entry called `name`; ValueError lists what exists."""
    for candidate in (*FIGURES, *EVIDENCE):
        if candidate.name == name:
            return candidate
    raise ValueError(f"no figure is called {name!r}. The figures are: {', '.join(NAMES)}, and claim_ID for each claim.")
