"""Source 000's arithmetic for training FLOPs: factor x all parameters x training tokens."""

# Its factors, by way of mixing. Six is the usual 2 forward + 4 backward for a multiply-add per parameter and token;
# the lower ones favour the models that have them. No factor sees the scan or attention's products with the context.
FACTORS = {"attention": 6.0, "mamba": 4.0, "linear": 2.0, "mlp": 2.0}


def published_flops(mixer: str, params: int, tokens: int) -> float | None:
    """Training FLOPs by source 000's arithmetic; None for a mixer that it did not have.

    Args:
        mixer: as in config/models.yaml. params: all parameters, embeddings too. tokens: of training.
    """
    factor = FACTORS.get(mixer)
    return None if factor is None else factor * params * tokens
