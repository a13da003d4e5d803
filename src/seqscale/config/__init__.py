"""Configuration: read, checked in full before any work starts, and unrolled into the run matrix. No torch here."""

from seqscale.config.errors import ConfigError
from seqscale.config.load import Config, resolve
from seqscale.config.matrix import Matrix

__all__ = ["Config", "ConfigError", "Matrix", "resolve"]
