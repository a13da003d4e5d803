"""Training that can be stopped anywhere, evaluation of whole splits, and text samples."""

from seqscale.training.evaluation import evaluate_split, metrics
from seqscale.training.loop import MEMORY_NOTE, train
from seqscale.training.sampling import sample_text

__all__ = ["MEMORY_NOTE", "evaluate_split", "metrics", "sample_text", "train"]
