"""Training that can be stopped anywhere, evaluation of whole splits, and text samples."""

from seqscale.training.evaluation import evaluate_batches, evaluate_split, metrics
from seqscale.training.loop import model_for, train
from seqscale.training.sampling import sample_text

__all__ = ["evaluate_batches", "evaluate_split", "metrics", "model_for", "sample_text", "train"]
