"""SeqScale: published "Mamba against Transformer" claims, put to the test.

The rooms, from the ground up (an arrow never runs back up):

    config, files, stats, provenance    no torch
    kernels                             torch only
    mixers -> models -> training, benchmarks
    data                                corpora, tokenizers, batches
    tables -> claims, reporting         read result tables; no torch

The command-line scripts in ``src/`` call this library; Snakemake rules call the scripts.
"""

__version__ = "0.1.0"
