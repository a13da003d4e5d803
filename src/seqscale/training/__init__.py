"""Training that can be stopped anywhere, evaluation of whole splits, and text samples."""

from seqscale.training.evaluation import evaluate_split, metrics, score
from seqscale.training.extrapolation import evaluate_lengths
from seqscale.training.loop import MEMORY_NOTE, model_for, train
from seqscale.training.sampling import sample_text

__all__ = [
    "MEMORY_NOTE",
    "evaluate_lengths",
    "evaluate_split",
    "metrics",
    "model_for",
    "sample_text",
    "score",
    "train",
]
