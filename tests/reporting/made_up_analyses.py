"""Made-up tables of lengths beyond the trained one and of the analyses."""

import pandas as pd


def extrapolation() -> pd.DataFrame:
    """The task `selective_copying` at five lengths: Mamba holds, the LSTM fades, the Transformer has no positions."""
    rows = []
    for model, share in (("mamba", 1.0), ("lstm", 0.5), ("transformer", 0.97)):
        for seed in (1, 2, 3):
            for length in (64, 256, 1024, 4096, 65536):
                row = {"experiment": "selective_copying", "model": model, "seed": seed, "length": length}
                row |= {"train_length": 256, "status": "ok", "reason": None, "loss": 0.1, "answers": 256}
                if model == "transformer" and length > 256:
                    gone = {"status": "out of range", "reason": "the model has 256 learned positions"}
                    rows.append({**row, **gone, "loss": None, "answers": None, "accuracy": None})
                else:
                    fade = min(1.0, 256 / length) if model == "lstm" else 1.0
                    rows.append({**row, "accuracy": max(0.0, share * fade - 0.005 * seed)})
    return pd.DataFrame(rows)


def analyses() -> pd.DataFrame:
    """Errors of recall and kernels, with one way that overflows at the largest state."""
    rows = []

    def add(suite: str, model: str, quantity: str, median: float | None, **more: object) -> None:
        spread = {"p20": None, "p80": None} if median is None else {"p20": 0.8 * median, "p80": 1.3 * median}
        status = {"status": "overflow", "reason": "not finite"} if median is None else {"status": "ok", "reason": None}
        known = {"suite": suite, "model": model, "quantity": quantity, "median": median, "repeats": 8, "oom": False}
        rows.append({"device": "cpu", "implementation": "torch", **known, **spread, **status, **more})

    for d_state in (4, 16, 64, 256):
        for model, scale in (("legs", 1.0), ("legt", 1.5), ("lagt", 8.0), ("fourier", 3.0), ("best_polynomial", 0.8)):
            for window in ("window 1", "window 0.1") if model in ("legt", "lagt", "fourier") else ("whole past",):
                error = min(1.0, scale * d_state**-1.0) if window != "window 0.1" else 0.95
                more = {"implementation": window, "d_state": d_state, "length": 10_000}
                add("hippo_memory", model, "error", error, direction="whole past", unit="share", **more)
                if model != "best_polynomial":
                    weighted = min(1.0, scale / d_state)
                    add("hippo_memory", model, "weighted_error", weighted, direction="own measure", **more)
    for d_state in (16, 64):
        for length in (256, 1024, 4096):
            for model, cost in (("nplr", 1e-6), ("dense", 2e-6), ("power_series", 6e-5)):
                about = {"d_state": d_state, "length": length}
                add("nplr_kernel", model, "time", cost * length, unit="s", **about)
                add("nplr_kernel", model, "error", 1e-6, unit="share", **about)
            add(
                "nplr_kernel",
                "diagonalised",
                "error",
                1e30 if d_state == 64 and length == 4096 else None if d_state == 64 else 1e-3,
                **about,
            )
    return pd.DataFrame(rows)
