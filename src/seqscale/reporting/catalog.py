"""The fixed list of figures. Imports nothing heavy, so that Snakemake can read it while it parses its rules.

The list never depends on the configuration: experiments and devices are panels inside a figure. A figure without
data is still drawn and says what is missing.
"""

from typing import NamedTuple


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
    FigureEntry("loss_vs_flops", "Validation loss against training FLOPs", "loss_vs_flops.rst", COST),
    FigureEntry("loss_vs_seconds", "Validation loss against training seconds", "loss_vs_seconds.rst", COST),
    FigureEntry("loss_vs_params", "Test loss against parameters", "loss_vs_params.rst", COST),
    FigureEntry("prefill_scaling", "Prefill time against length", "prefill_scaling.rst", SCALING),
    FigureEntry("decode_scaling", "Time per generated token against context", "decode_scaling.rst", SCALING),
    FigureEntry("train_step_scaling", "Training-step time against length", "train_step_scaling.rst", SCALING),
    FigureEntry("memory_scaling", "Peak memory against length", "memory_scaling.rst", SCALING),
    FigureEntry("state_size", "State or cache against length", "state_size.rst", SCALING),
    FigureEntry("flops_scaling", "Counted FLOPs against length", "flops_scaling.rst", SCALING),
    FigureEntry("scaling_exponents", "Fitted scaling exponents", "scaling_exponents.rst", SCALING),
    FigureEntry("extrapolation", "Accuracy beyond the trained length", "extrapolation.rst", MEMORY),
    FigureEntry("hippo_memory", "What a HiPPO state remembers", "hippo_memory.rst", MEMORY),
    FigureEntry("s4_kernel", "The convolution kernel of S4 by four ways", "s4_kernel.rst", MEMORY),
)

NAMES: tuple[str, ...] = tuple(entry.name for entry in FIGURES)


def entry(name: str) -> FigureEntry:
    """The entry called `name`; ValueError lists what exists."""
    for candidate in FIGURES:
        if candidate.name == name:
            return candidate
    raise ValueError(f"no figure is called {name!r}. The figures are: {', '.join(NAMES)}.")
