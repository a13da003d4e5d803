"""Training that can be stopped anywhere, evaluation of whole splits, and text samples."""

from seqscale.training.evaluation import evaluate_split, metrics
from seqscale.training.extrapolation import evaluate_lengths
from seqscale.training.loop import train
from seqscale.training.sampling import sample_text

__all__ = ["evaluate_lengths", "evaluate_split", "metrics", "sample_text", "train"]
