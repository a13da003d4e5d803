"""What each suite measures of a model.

    prefill     a forward over the whole sequence, in eval and inference mode
    decode      single tokens after `length` tokens of context
    train_step  forward, backward and AdamW
    memory      peak of a forward, of forward and backward, and the state after `length` tokens
    flops       counted operations, checked against the closed form
    as_published  means of some forwards as source 001 timed them, see `_as_published`

A `bench.Probe` is one call to measure at every length; it may fill several rows (time and time_per_token).
"""

import time
from collections.abc import Callable

import torch

from seqscale.benchmarks.bench import BRIEF, Bench, Probe
from seqscale.benchmarks.ceilings import matmul_flops_per_second
from seqscale.benchmarks.checks import check_count
from seqscale.benchmarks.flops import count_flops
from seqscale.benchmarks.memory import element_bytes, peak_bytes, storage_bytes, tensors_of
from seqscale.benchmarks.timing import Summary
from seqscale.recording import record

PER_TOKEN = {"time_per_token": "s", "tokens_per_second": "1/s"}
TOKEN_BYTES = 8
LEARNING_RATE = 1e-4  # of train_step's AdamW; small, because hundreds of steps see the same batch


def per_token(seconds: Summary, tokens: int) -> dict[str, Summary]:
    """A time in all the ways that it is told: whole, for each token, and tokens in a second."""
    each = seconds / tokens
    return {"time": seconds, "time_per_token": each, "tokens_per_second": each.inverse()}


def _prefill(bench: Bench) -> list[Probe]:
    def run(length: int) -> dict[str, Summary]:
        with bench.inference():
            seconds = bench.time(bench.ready(bench.forward_call(length)))
        return per_token(seconds, bench.config.batch_at(length) * length)

    _tell_of_graphs(bench, "a forward")
    return [Probe("forward", {"time": "s", **PER_TOKEN}, bench.forward_call, run)]


def _tell_of_graphs(bench: Bench, what: str) -> None:
    if bench.device.type == "cuda":
        bench.notes.append(f"{what} of up to {BRIEF * 1e3:.0f} ms is replayed as a CUDA graph")


def _decode(bench: Bench) -> list[Probe]:
    """`tokens` single steps after a context of `length` tokens, the context not timed.

    Every repeat starts from the same state: stepping leaves a recurrent state as it was and writes a cache beyond its
    filled part, so nothing is copied. The tokens are given, not sampled. On a GPU the steps of all models are one CUDA
    graph; attention's cache is read to where it is filled and no further.
    """
    count = bench.config.tokens

    def call(length: int) -> Callable[[], object]:
        state, model = bench.filled(length, count), bench.model
        tokens = [t.contiguous() for t in bench.tokens(count).unbind(1)]

        def steps() -> None:
            following = state
            for token in tokens:
                _, following = model.step(token, following)

        return steps

    def run(length: int) -> dict[str, Summary]:
        with bench.inference():
            steps = call(length)
            on_gpu = bench.device.type == "cuda"
            seconds = bench.time(record(steps, bench.device)[0].replay if on_gpu else steps)
        return per_token(seconds, count * bench.config.batch_at(length))

    if bench.device.type == "cuda":
        bench.notes.append(f"the {count} steps of a repeat are one CUDA graph")
    return [Probe("step", PER_TOKEN, call, run)]


def _train_step(bench: Bench) -> list[Probe]:
    ceiling = matmul_flops_per_second(bench.device, bench.dtype) if bench.device.type == "cuda" else None
    if ceiling:
        bench.notes.append(
            f"mfu: counted FLOPs of a step over its time and the {ceiling:.4g} FLOP/s of a large {bench.precision} "
            "matrix product, measured in this job"
        )

    def run(length: int) -> dict[str, Summary]:
        bench.fit_positions(length)
        optimizer = torch.optim.AdamW(bench.model.parameters(), lr=LEARNING_RATE, fused=True)
        with bench.training():
            gradients = bench.ready(bench.training_call(length))

            def step() -> None:
                gradients()
                optimizer.step()

            seconds = bench.time(step)
        batch = bench.config.batch_at(length)
        found = per_token(seconds, batch * length)
        if ceiling:
            found["mfu"] = seconds.inverse(bench.model.training_flops(batch, length) / ceiling)
        return found

    _tell_of_graphs(bench, "a forward and backward")
    units = {"time": "s", **PER_TOKEN, **({"mfu": "1"} if ceiling else {})}
    return [Probe("forward+backward", units, bench.training_call, run)]


def _memory(bench: Bench) -> list[Probe]:
    def peak(call: Callable[[], object], length: int) -> dict[str, Summary]:
        tokens = bench.tokens(length) if bench.device.type == "cpu" else None  # a GPU's allocator knows the call's own
        # warm already: Bench.implementation has run it at the shortest length
        if bench.device.type == "cuda" and not bench.notes:
            known = storage_bytes(tensors_of(bench.model)) + bench.config.batch_at(length) * length * TOKEN_BYTES
            libraries = torch.cuda.memory_allocated(bench.device) - known
            bench.notes.append(
                f"every peak_memory holds what was allocated before the call besides parameters and tokens, mostly "
                f"cuBLAS workspaces: {libraries:,} bytes"
            )
        return {"peak_memory": _exactly(peak_bytes(call, bench.device, tensors_of(bench.model, tokens)))}

    def forward(length: int) -> dict[str, Summary]:
        bench.fit_positions(length)
        with bench.inference():
            return peak(bench.forward_call(length), length)

    def both(length: int) -> dict[str, Summary]:
        bench.fit_positions(length)
        with bench.training():
            return peak(bench.training_call(length), length)

    def state(length: int) -> dict[str, Summary]:
        bench.fit_positions(length)
        with bench.inference():
            held = element_bytes(tensors_of(bench.filled(length, 0).layers))
        expected = bench.model.state_bytes(bench.config.batch_at(length), length, bench.dtype)
        what = f"{bench.config.model.name}, state after {length} tokens"
        return {"state": _exactly(check_count(what, held, expected, "bytes", "Look at `state_bytes` of the mixer."))}

    def step(length: int) -> Callable[[], object]:
        bench.fit_positions(length + 1)
        ready = bench.filled(length, 1)
        return lambda: bench.model.step(bench.tokens(length)[:, 0], ready)

    return [
        Probe("forward", {"peak_memory": "B"}, bench.forward_call, forward),
        Probe("forward+backward", {"peak_memory": "B"}, bench.training_call, both),
        Probe("step", {"state": "B"}, step, state),
    ]


def _flops(bench: Bench) -> list[Probe]:
    name, batch_at = bench.config.model.name, bench.config.batch_at
    where = "Either `flops` of the mixer is wrong or an operation lacks a formula (seqscale/benchmarks/flops.py)."

    def forward(length: int) -> dict[str, Summary]:
        with bench.inference(watched=True):
            counted = count_flops(bench.forward_call(length))
        expected = bench.model.flops(batch_at(length), length)
        return {"flops": _exactly(check_count(f"{name}, forward, length {length}", counted, expected, "FLOPs", where))}

    def both(length: int) -> dict[str, Summary]:
        with bench.training():
            counted = count_flops(bench.training_call(length))
        expected = bench.model.training_flops(batch_at(length), length)
        what = f"{name}, forward and backward, length {length}"
        return {"flops": _exactly(check_count(what, counted, expected, "FLOPs", where))}

    return [
        Probe("forward", {"flops": "FLOP"}, bench.forward_call, forward),
        Probe("forward+backward", {"flops": "FLOP"}, bench.training_call, both),
    ]


def _as_published(bench: Bench) -> list[Probe]:
    """Source 001's clock: the mean of `forwards` calls of an untrained model, in training mode (dropout at work).

    Odd: nothing is warmed up and an average lets one slow call through; here the first average of a length is the
    cold one. Only the repetition is ours: the source has one such mean, we take `repeats` of them for a spread.
    """
    count = bench.config.forwards

    def run(length: int) -> dict[str, Summary]:
        call = bench.forward_call(length)
        bench.model.train()
        means = []
        with torch.no_grad():
            for _ in range(bench.config.repeats):
                began = time.perf_counter()
                for _ in range(count):
                    call()
                means.append((time.perf_counter() - began) / count)
        return {"mean_time": Summary.of(means)}

    return [Probe("forward", {"mean_time": "s"}, bench.forward_call, run)]


def _exactly(number: int) -> Summary:
    """A count: the same however often it is taken."""
    return Summary(number, number, number, 1)


PROBES: dict[str, Callable[[Bench], list[Probe]]] = {
    "prefill": _prefill,
    "decode": _decode,
    "train_step": _train_step,
    "memory": _memory,
    "flops": _flops,
    "as_published": _as_published,
}
