"""Checkpoints of transformers with random weights, made once per shape."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
