"""Answers of a classifier over whole splits and over texts from outside, and the counts that tables are made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seqscale.data.labelled import LabelledBatch, LabelledDataset
from seqscale.data.probes import Probes, sentences
from seqscale.models import Classifier
from seqscale.training.evaluation import autocast, rows_per_batch

BUCKETS = (8, 12, 16, 24, 32)  # upper ends of the length buckets, in tokens with [CLS] and [SEP]; the last is open


@dataclass(frozen=True)
class Answers:
    """What a classifier says of a split.

    Attributes:
        log_probabilities: (texts, classes), float64.
        labels, lengths: (texts,), int64, as in `LabelledBatch`.
    """

    log_probabilities: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray

    @property
    def chosen(self) -> np.ndarray:
        """The likeliest class of each text, (texts,)."""
        return self.log_probabilities.argmax(1)


@torch.inference_mode()
def log_probabilities(model: Classifier, batch: LabelledBatch, device: torch.device, precision: str) -> np.ndarray:
    """(batch, classes), float64."""
    with autocast(device, precision):
        logits = model(torch.from_numpy(batch.inputs).to(device), torch.from_numpy(batch.lengths).to(device))
    return logits.double().log_softmax(-1).cpu().numpy()


def answers(
    model: Classifier, data: LabelledDataset, split: str, context: int, device: torch.device, precision: str
) -> Answers:
    """The model's answers over a whole split, in order."""
    model.eval()
    pieces = list(data.eval_batches(split, rows_per_batch(context, data.vocab_size, device), context))
    found = [log_probabilities(model, piece, device, precision) for piece in pieces]
    labels, lengths = (np.concatenate([getattr(piece, key) for piece in pieces]) for key in ("labels", "lengths"))
    return Answers(np.concatenate(found), labels, lengths)


def scores(found: Answers) -> dict[str, float]:
    """Loss (nats per text), accuracy and how many, over the texts that have an answer."""
    classes = found.log_probabilities.shape[1]
    asked = found.labels < classes
    labels = found.labels[asked]
    loss = -found.log_probabilities[asked][np.arange(len(labels)), labels].mean()
    return {"loss": float(loss), "accuracy": float((found.chosen[asked] == labels).mean()), "tokens": len(labels)}


def counts(found: Answers, classes: list[str], unanswerable: str) -> dict[str, Any]:
    """The confusion matrix, accuracy by length, and the mean probability of the last class for each true label.

    Returns:
        confusion: rows of truth, answer, examples. lengths: rows of length_min, length_max, examples, correct.
    """
    truths = [*classes, unanswerable]
    confusion = [
        {"truth": truth, "answer": answer, "examples": int(((found.labels == t) & (found.chosen == a)).sum())}
        for t, truth in enumerate(truths)
        for a, answer in enumerate(classes)
        if (found.labels == t).any()
    ]
    asked = found.labels < len(classes)
    correct = asked & (found.chosen == found.labels)
    rows = []
    for low, high in zip((0, *BUCKETS), (*BUCKETS, int(max(found.lengths.max(), BUCKETS[-1] + 1))), strict=True):
        here = (found.lengths > low) & (found.lengths <= high) & asked
        if here.any():
            rows.append(
                {
                    "length_min": low + 1,
                    "length_max": high,
                    "examples": int(here.sum()),
                    "correct": int((correct & here).sum()),
                }
            )
    return {"confusion": confusion, "lengths": rows, "examples": int(asked.sum()), "correct": int(correct.sum())}


def probe(
    model: Classifier, data: LabelledDataset, probes: Probes, device: torch.device, precision: str
) -> dict[str, Any]:
    """The model's answers to the probes: single texts, and sentences that differ in one term.

    Returns:
        examples: rows of text, truth, answer, confidence, score. counterfactuals: rows of template (its number),
        attribute, term, score. The score is the log odds of the last class against the first, in nats.
    """
    model.eval()

    def ask(texts: list[str]) -> np.ndarray:
        return log_probabilities(model, data.encode(texts)[1], device, precision)

    examples = []
    if probes.examples:
        for (text, truth), row in zip(probes.examples, ask([text for text, _ in probes.examples]), strict=True):
            best = int(row.argmax())
            answer = {"answer": data.classes[best], "confidence": float(np.exp(row[best]))}
            examples.append({"text": text, "truth": truth, **answer, "score": float(row[-1] - row[0])})
    made = sentences(probes)
    size, rows = 256, []
    for first in range(0, len(made), size):
        piece = made[first : first + size]
        for sentence, row in zip(piece, ask([s.text for s in piece]), strict=True):
            rows.append([sentence.template, sentence.attribute, sentence.term, round(float(row[-1] - row[0]), 6)])
    return {"examples": examples, "counterfactuals": rows}
