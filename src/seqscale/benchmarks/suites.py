"""What each suite measures of a model.

    prefill     a forward over the whole sequence, in eval and inference mode
    decode      single tokens after `length` tokens of context
    train_step  forward, backward and AdamW
    memory      peak of a forward, of forward and backward, and the state after `length` tokens
    flops       counted operations, checked against the closed form
    as_published  means of some forwards as source 001 timed them, see `_as_published`

A `Probe` is one call to measure at every length; it may fill several rows (time and time_per_token).
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from seqscale.benchmarks.ceilings import matmul_flops_per_second
from seqscale.benchmarks.checks import check_count
from seqscale.benchmarks.config import BenchConfig
from seqscale.benchmarks.flops import count_flops
from seqscale.benchmarks.implementation import best_attention, observed
from seqscale.benchmarks.memory import element_bytes, peak_bytes, storage_bytes, tensors_of
from seqscale.benchmarks.timing import Summary, measure
from seqscale.devices import resolve_device, resolve_precision
from seqscale.mixers import Mixer
from seqscale.models import LanguageModel, ModelState, PublishedModel, build, build_as_published

PER_TOKEN = {"time_per_token": "s", "tokens_per_second": "1/s"}
LEARNING_RATE = 1e-4  # of train_step's AdamW; small, because hundreds of steps see the same batch


@dataclass(frozen=True)
class Probe:
    """One thing to measure at each length.

    Args:
        direction: forward, forward+backward or step.
        units: unit by quantity; `measure` fills each of them.
        call: makes the call for a length; used to see which implementation runs.
        measure: length -> a summary for each quantity.
    """

    direction: str
    units: dict[str, str]
    call: Callable[[int], Callable[[], object]]
    measure: Callable[[int], dict[str, Summary]]


class Bench:
    """A model on its device with random tokens (the same for every model), and the calls that suites measure."""

    def __init__(self, config: BenchConfig, model: LanguageModel | None = None) -> None:
        self.config = config
        self.device = resolve_device(config.device)
        self.precision = resolve_precision(config.precision, self.device)
        self.dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        torch.manual_seed(0)
        self.model = (_built(config) if model is None else model).to(self.device)
        generator = torch.Generator().manual_seed(0)
        most = max(config.batch_at(n) * (n + config.tokens) for n in config.lengths)
        self._tokens = torch.randint(config.vocab_size, (most,), generator=generator).to(self.device)
        self.notes: list[str] = []
        self.attention: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext

    def choose_attention(self) -> None:
        """Settle on an attention kernel (GPU only) by a forward and backward over a few tokens."""
        few = self.tokens(min(64, self.config.lengths[0]))[:1]
        self.attention = best_attention(self._training_call(few), self.device)
        self.model.zero_grad(set_to_none=True)

    def tokens(self, length: int) -> Tensor:
        """The tokens of a call, (batch, length): the same for every model."""
        batch = self.config.batch_at(length)
        return self._tokens[: batch * length].view(batch, length)

    @property
    def mixer(self) -> Mixer | PublishedModel:
        """The first layer's mixer; all layers' are alike. A model as published is its own."""
        if isinstance(self.model, PublishedModel):
            return self.model
        return self.model._blocks()[0].mixer

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    @contextlib.contextmanager
    def inference(self, watched: bool = False) -> Iterator[None]:
        """Eval and inference mode; autocast around all calls, so that weights are cast once, before the clock.

        `watched`: no_grad instead of inference mode, for looking at operations. It runs the same kernels; in inference
        mode PyTorch shows an LSTM whole and takes it apart by a Python decomposition that cuDNN never sees.
        """
        self.model.eval()
        with torch.no_grad() if watched else torch.inference_mode(), self.autocast(), self.attention():
            yield

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Train mode, without gradients before and after."""
        self.model.train()
        self.model.zero_grad(set_to_none=True)
        try:
            with self.attention():
                yield
        finally:
            self.model.zero_grad(set_to_none=True)

    def forward_call(self, length: int) -> Callable[[], object]:
        if self.config.part == "mixer":
            shape = (self.config.batch_at(length), length, self.model.d_model)
            return partial(self.mixer, torch.randn(shape, device=self.device, dtype=self.dtype))
        return partial(self.model, self.tokens(length))

    def training_call(self, length: int) -> Callable[[], object]:
        """Forward and backward of the loss; gradients stay in the parameters, to be replaced next time."""
        return self._training_call(self.tokens(length))

    def _training_call(self, tokens: Tensor) -> Callable[[], object]:
        def call() -> None:
            self.model.zero_grad(set_to_none=True)
            with self.autocast():
                logits = self.model(tokens)
            F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten()).backward()

        return call

    def filled(self, length: int, room: int) -> ModelState:
        """The state after `length` tokens, caches with room for `room` more. Call it in `inference`."""
        tokens = self.tokens(length)
        layers = [
            block.mixer.init_state(len(tokens), length + room, self.device, self.dtype)
            for block in self.model._blocks()
        ]
        return self.model(tokens, ModelState(0, layers))[1]

    def time(self, call: Callable[[], object]) -> Summary:
        config = self.config
        return measure(call, repeats=config.repeats, min_seconds=config.min_seconds, device=self.device)

    def implementation(self, probe: Probe) -> str:
        """What runs in `probe`, seen at the shortest length (nothing may run before the clock of as_published)."""
        if self.config.kind == "as_published":
            return "as_published"
        with self.training() if probe.direction == "forward+backward" else self.inference(watched=True):
            return observed(probe.call(self.config.lengths[0]), self.config.model.mixer)


def _built(config: BenchConfig) -> LanguageModel:
    try:
        if config.model.published:
            if config.kind != "as_published":
                raise ValueError(
                    f"{config.model.name} is kept as published, without states and steps: "
                    "only a suite of kind as_published measures it"
                )
            return cast(LanguageModel, build_as_published(config.model, config.vocab_size, config.length_max))
        return build(config.model, config.vocab_size, config.length_max)
    except TypeError as error:  # an option that the mixer does not know
        raise ValueError(f"model {config.model.name!r} cannot be built: {error}") from error


def per_token(seconds: Summary, tokens: int) -> dict[str, Summary]:
    """A time in all the ways that it is told: whole, for each token, and tokens in a second."""
    each = seconds / tokens
    return {"time": seconds, "time_per_token": each, "tokens_per_second": each.inverse()}


def _prefill(bench: Bench) -> list[Probe]:
    def run(length: int) -> dict[str, Summary]:
        with bench.inference():
            seconds = bench.time(bench.forward_call(length))
        return per_token(seconds, bench.config.batch_at(length) * length)

    return [Probe("forward", {"time": "s", **PER_TOKEN}, bench.forward_call, run)]


def _decode(bench: Bench) -> list[Probe]:
    """`tokens` single steps after a context of `length` tokens, the context not timed.

    Every repeat starts from the same state: stepping leaves a recurrent state as it was and writes a cache beyond its
    filled part, so nothing is copied. The tokens are given, not sampled. On a GPU the steps of all models are one CUDA
    graph; attention's cache is read to where it is filled and no further.
    """
    count = bench.config.tokens

    def call(length: int) -> Callable[[], object]:
        state, model = bench.filled(length, count), bench.model
        batch = bench.config.batch_at(length)
        tokens = [t.contiguous() for t in bench._tokens[: batch * count].view(batch, count).unbind(1)]

        def steps() -> None:
            following = state
            for token in tokens:
                _, following = model.step(token, following)

        return steps

    def run(length: int) -> dict[str, Summary]:
        with bench.inference():
            steps = call(length)
            seconds = bench.time(as_graph(steps) if bench.device.type == "cuda" else steps)
        return per_token(seconds, count * bench.config.batch_at(length))

    if bench.device.type == "cuda":
        bench.notes.append(f"the {count} steps of a repeat are one CUDA graph")
    return [Probe("step", PER_TOKEN, call, run)]


def as_graph(call: Callable[[], object]) -> Callable[[], object]:
    """A CUDA graph of `call`, to be replayed; `call` runs three times first, on a stream of its own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def _train_step(bench: Bench) -> list[Probe]:
    optimizer = torch.optim.AdamW(bench.model.parameters(), lr=LEARNING_RATE, fused=True)
    ceiling = matmul_flops_per_second(bench.device, bench.dtype) if bench.device.type == "cuda" else None
    if ceiling:
        bench.notes.append(
            f"mfu: counted FLOPs of a step over its time and the {ceiling:.4g} FLOP/s of a large {bench.precision} "
            "matrix product, measured in this job"
        )

    def run(length: int) -> dict[str, Summary]:
        gradients = bench.training_call(length)

        def step() -> None:
            gradients()
            optimizer.step()

        with bench.training():
            seconds = bench.time(step)
        batch = bench.config.batch_at(length)
        found = per_token(seconds, batch * length)
        if ceiling:
            found["mfu"] = seconds.inverse(bench.model.training_flops(batch, length) / ceiling)
        return found

    units = {"time": "s", **PER_TOKEN, **({"mfu": "1"} if ceiling else {})}
    return [Probe("forward+backward", units, bench.training_call, run)]


def _memory(bench: Bench) -> list[Probe]:
    def peak(call: Callable[[], object]) -> dict[str, Summary]:
        # warm already: Bench.implementation has run it at the shortest length
        if bench.device.type == "cuda" and not bench.notes:
            known = storage_bytes(tensors_of(bench.model, bench._tokens))
            libraries = torch.cuda.memory_allocated(bench.device) - known
            bench.notes.append(
                f"every peak_memory holds what was allocated before the call besides parameters and tokens, mostly "
                f"cuBLAS workspaces: {libraries:,} bytes"
            )
        return {"peak_memory": _exactly(peak_bytes(call, bench.device, tensors_of(bench.model, bench._tokens)))}

    def forward(length: int) -> dict[str, Summary]:
        with bench.inference():
            return peak(bench.forward_call(length))

    def both(length: int) -> dict[str, Summary]:
        with bench.training():
            return peak(bench.training_call(length))

    def state(length: int) -> dict[str, Summary]:
        with bench.inference():
            held = element_bytes(tensors_of(bench.filled(length, 0).layers))
        expected = bench.model.state_bytes(bench.config.batch_at(length), length, bench.dtype)
        what = f"{bench.config.model.name}, state after {length} tokens"
        return {"state": _exactly(check_count(what, held, expected, "bytes", "Look at `state_bytes` of the mixer."))}

    def step(length: int) -> Callable[[], object]:
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
