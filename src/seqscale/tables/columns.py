"""The columns of every table, in order, with their types.

Losses are nats per token, times seconds, memory bytes, FLOPs counted. A cell is empty where a column does not apply
(and in the number columns of a run that diverged: look at `status` and `reason`). `status` is "ok", "diverged",
"out of memory" or "missing". Types are pandas' nullable ones, so that an empty cell keeps a column's type.
"""

from typing import Any

import pandas as pd

TEXT, NUMBER, WHOLE, YES_NO = "string", "float64", "Int64", "boolean"

OK = "ok"
MISSING = "missing"

MEASURED: dict[str, str] = {  # one row per measurement, of a benchmark or an analysis
    "suite": TEXT,  # the benchmark or analysis
    "model": TEXT,  # what was measured: a model, a scan, a measure of HiPPO, a way to compute a kernel
    "implementation": TEXT,
    "device": TEXT,
    "dtype": TEXT,
    "batch": WHOLE,
    "length": WHOLE,
    "d_inner": WHOLE,
    "d_state": WHOLE,
    "direction": TEXT,
    "quantity": TEXT,
    "unit": TEXT,
    "median": NUMBER,  # over `repeats`; empty where memory ran out or it was not finite: see `reason`
    "p20": NUMBER,
    "p80": NUMBER,
    "repeats": WHOLE,
    "oom": YES_NO,
}

COLUMNS: dict[str, dict[str, str]] = {
    "runs": {
        "experiment": TEXT,
        "protocol": TEXT,
        "dataset": TEXT,
        "model": TEXT,
        "seed": WHOLE,
        "params": WHOLE,
        "params_nonembedding": WHOLE,
        "train_tokens": WHOLE,
        "train_flops": NUMBER,
        "train_seconds": NUMBER,
        "valid_loss": NUMBER,  # whole validation split; every loss and accuracy of a run is of `chosen_step`
        "test_loss": NUMBER,
        "test_accuracy": NUMBER,  # a share, 0 to 1
        "valid_accuracy": NUMBER,
        "perplexity": NUMBER,  # of the test split, like the next
        "bits_per_character": NUMBER,
        "lr": NUMBER,
        "lr_at_edge": YES_NO,  # empty where no learning rate was searched
        "params_ratio": NUMBER,  # non-embedding parameters over those of the experiment's reference model
        "matched": YES_NO,  # params_ratio within 5 % of 1
        "steps": WHOLE,
        "status": TEXT,
        "reason": TEXT,
        "peak_memory_bytes": NUMBER,
        "device": TEXT,
        "config_digest": TEXT,
        "git_commit": TEXT,
        "title": TEXT,  # of the model
        "experiment_title": TEXT,
        "reference_model": TEXT,
        "context": WHOLE,
        "batch": WHOLE,
        "forward_flops_per_token": NUMBER,
        "published_flops": NUMBER,  # by source 000's arithmetic: factor x params x train_tokens
        "chosen_step": WHOLE,  # of the weights evaluated; steps, train_tokens, train_flops, train_seconds: whole run
        "cuda_graph": YES_NO,  # whether training steps were replayed from a CUDA graph; empty where not recorded
        "machine": TEXT,  # the GPU that trained, or the processor
    },
    "history": {
        "experiment": TEXT,
        "model": TEXT,
        "seed": WHOLE,
        "step": WHOLE,
        "tokens": WHOLE,
        "flops": NUMBER,
        "seconds": NUMBER,
        "learning_rate": NUMBER,
        "train_loss": NUMBER,
        "valid_loss": NUMBER,  # empty between evaluations
        "grad_norm": NUMBER,
    },
    "search": {
        "experiment": TEXT,
        "model": TEXT,
        "lr": NUMBER,
        "seed": WHOLE,
        "valid_loss": NUMBER,
        "status": TEXT,
        "chosen": YES_NO,
        "at_edge": YES_NO,  # of the chosen rate: whether it is the least or the greatest of the grid
        "reason": TEXT,
    },
    "bench": {**MEASURED, "status": TEXT, "reason": TEXT},
    "analyses": {  # experiments that train nothing (seqscale.analyses); `median` over signals, channels or timings
        **MEASURED,
        "experiment": TEXT,  # that trained what was measured, if any
        "status": TEXT,
        "reason": TEXT,
    },
    "scaling": {  # one row per curve; exponent, ci_* and length_* of the upper part of the curve (see stats.powerlaw)
        "suite": TEXT,
        "model": TEXT,
        "direction": TEXT,
        "quantity": TEXT,
        "exponent": NUMBER,
        "ci_low": NUMBER,
        "ci_high": NUMBER,
        "length_min": WHOLE,
        "length_max": WHOLE,
        "points": WHOLE,
        "r2": NUMBER,
        "coefficient": NUMBER,  # value = coefficient * length ** exponent
        "unit": TEXT,
        "local_first": NUMBER,  # exponents between neighbouring lengths at the two ends of the fitted range
        "local_last": NUMBER,
        "still_rising": YES_NO,  # the curve still steepens: the exponent is a lower bound
        "exponent_all": NUMBER,  # the same fit to every length measured
        "ci_low_all": NUMBER,
        "ci_high_all": NUMBER,
        "length_min_all": WHOLE,
        "points_all": WHOLE,
        "oom_lengths": TEXT,  # lengths that ran out of memory, left out of the fit
        "implementation": TEXT,
        "device": TEXT,
        "dtype": TEXT,
        "batch": WHOLE,
        "method": TEXT,
        "reason": TEXT,  # why there is no exponent
        "d_inner": WHOLE,
        "d_state": WHOLE,
    },
    "extrapolation": {  # one row per run and length; the length trained at is `context` of the runs table
        "experiment": TEXT,
        "model": TEXT,
        "seed": WHOLE,
        "length": WHOLE,
        "train_length": WHOLE,
        "accuracy": NUMBER,  # a share, 0 to 1
        "loss": NUMBER,
        "answers": WHOLE,
        "status": TEXT,  # ok, out of memory, or out of range: the model has no positions for it
        "reason": TEXT,
    },
    "frontier": {  # one model at several widths: a row per evaluation of each, mean over seeds
        "experiment": TEXT,
        "family": TEXT,
        "model": TEXT,
        "step": WHOLE,
        "flops": NUMBER,
        "valid_loss": NUMBER,
        "seeds": WHOLE,
        "on_frontier": YES_NO,  # no cheaper point of the family is as good
    },
    "frontier_fits": {  # loss = coefficient * flops ** exponent, fitted to the frontier of a family
        "experiment": TEXT,
        "family": TEXT,
        "sizes": WHOLE,
        "points": WHOLE,
        "exponent": NUMBER,
        "ci_low": NUMBER,
        "ci_high": NUMBER,
        "coefficient": NUMBER,
        "r2": NUMBER,
        "flops_min": NUMBER,
        "flops_max": NUMBER,
        "reason": TEXT,  # why there is no exponent
    },
    "samples": {"experiment": TEXT, "model": TEXT, "seed": WHOLE, "prompt": TEXT, "text": TEXT},
    "models": {  # one row per experiment and model: the vocabulary of a corpus decides about `params`
        "model": TEXT,
        "title": TEXT,
        "note": TEXT,
        "mixer": TEXT,
        "d_model": WHOLE,
        "n_layers": WHOLE,
        "params": WHOLE,
        "params_nonembedding": WHOLE,
        "experiment": TEXT,
        "channel_mixer": TEXT,
        "norm": TEXT,
        "positions": TEXT,
        "params_ratio": NUMBER,
        "matched": YES_NO,
        "forward_flops_per_token": NUMBER,
        "lr": NUMBER,
    },
    # ---- classifiers of labelled texts ----
    "accuracy": {  # a row per run, split and length bucket; without a seed, the mean over seeds
        "experiment": TEXT,
        "dataset": TEXT,
        "model": TEXT,
        "seed": WHOLE,
        "split": TEXT,  # valid, test, manual (the hand-labelled second test, without its neutral texts)
        "length_min": WHOLE,  # tokens, [CLS] and [SEP] included; empty for the whole split
        "length_max": WHOLE,
        "examples": WHOLE,
        "correct": WHOLE,
        "accuracy": NUMBER,
        "ci_low": NUMBER,  # of a run: chance of the test set; over seeds: of seeds and test set
        "ci_high": NUMBER,
        "seeds": WHOLE,
        "method": TEXT,
    },
    "confusion": {
        "experiment": TEXT,
        "model": TEXT,
        "seed": WHOLE,
        "split": TEXT,
        "truth": TEXT,  # manual has neutral texts too, which no model can call so
        "answer": TEXT,
        "examples": WHOLE,
    },
    "examples": {  # what each run says of the single texts in config/probes.yaml
        "experiment": TEXT,
        "model": TEXT,
        "seed": WHOLE,
        "text": TEXT,
        "truth": TEXT,
        "answer": TEXT,
        "correct": YES_NO,
        "confidence": NUMBER,  # probability of the answer
        "score": NUMBER,  # log odds of positive, nats
    },
    "counterfactuals": {  # sentences that differ in one term; all seeds together
        "experiment": TEXT,
        "model": TEXT,
        "attribute": TEXT,
        "term": TEXT,  # empty: all pairs of terms of the attribute
        "pairs": WHOLE,
        "flips": WHOLE,  # pairs with different answers
        "flip_share": NUMBER,
        "flip_low": NUMBER,
        "flip_high": NUMBER,
        "score_gap": NUMBER,  # mean distance of the two scores of a pair, nats
        "score_gap_low": NUMBER,
        "score_gap_high": NUMBER,
        "positive_share": NUMBER,  # of the term's sentences
        "shift": NUMBER,  # the term's mean score less that of the attribute's other terms, nats
        "shift_low": NUMBER,
        "shift_high": NUMBER,
        "templates": WHOLE,
        "seeds": WHOLE,
        "method": TEXT,
    },
}

TABLES = tuple(COLUMNS)


def as_table(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as table `name`, its columns in order and with their types; a key that the table lacks is a KeyError."""
    known = COLUMNS[name]
    for row in rows:
        if unknown := row.keys() - known.keys():
            raise KeyError(f"table {name!r} has no column {sorted(unknown)}")
    return with_types(name, pd.DataFrame(rows, columns=list(known)))


def with_types(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the types of table `name`; read back from CSV or parquet it is the same table again."""
    typed = table.copy()
    for column, kind in COLUMNS[name].items():
        if column not in typed:
            typed[column] = pd.Series([pd.NA] * len(typed), index=typed.index, dtype="object")
        values = typed[column]
        if kind == NUMBER:
            typed[column] = (
                pd.to_numeric(values, errors="raise").astype("Float64").to_numpy(float, na_value=float("nan"))
            )
        elif kind == WHOLE:
            typed[column] = pd.to_numeric(values, errors="raise").astype("Float64").round().astype("Int64")
        elif kind == YES_NO:
            words = values.astype("string").str.lower().map({"true": True, "false": False, "1": True, "0": False})
            typed[column] = words.astype("boolean")
        else:
            typed[column] = values.astype("string")
    return typed
