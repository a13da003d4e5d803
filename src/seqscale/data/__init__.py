"""Corpora and generated tasks: from a name in config/datasets.yaml to batches. No torch here.

`corpora` fetches raw text, `tokenizers` turns it into integers, `prepare` puts them on disk with their description,
`synthetic` generates tasks, `batches` serves both to training and evaluation.
"""

from seqscale.data.batches import Batch, open_dataset
from seqscale.data.corpora import DataError
from seqscale.data.prepare import prepare

__all__ = ["Batch", "DataError", "open_dataset", "prepare"]
