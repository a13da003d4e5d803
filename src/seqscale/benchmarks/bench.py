"""A model on its device, and the calls that suites measure."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqscale.benchmarks.config import BenchConfig
from seqscale.benchmarks.implementation import best_attention, observed
from seqscale.benchmarks.timing import Summary, measure
from seqscale.devices import resolve_device, resolve_precision
from seqscale.mixers import Mixer
from seqscale.models import LanguageModel, ModelState, PublishedModel, build, build_as_published
from seqscale.recording import NotRecorded, record

BRIEF = 0.25  # seconds of an eager call; launching a step of 48 layers can take the host a tenth of a second


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
        self._tokens = torch.randint(config.vocab_size, (most,), generator=generator)  # on the CPU
        self._positions: Tensor | None = None  # all of them, on the CPU, once they are cut
        self.notes: list[str] = []
        self.attention: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext

    def choose_attention(self) -> None:
        """Settle on an attention kernel (GPU only) by a forward and backward over a few tokens."""
        few = self.tokens(min(64, self.config.lengths[0]))[:1]
        self.attention = best_attention(self._training_call(few), self.device)
        self.model.zero_grad(set_to_none=True)

    def fit_positions(self, length: int) -> None:
        """Leave learned positions for `length` tokens and no more, as a model for such texts has them.

        A table for the longest length of the suite would be held, and trained, at every length: at a million tokens
        half a gigabyte for a model of three megabytes.
        """
        table = self.model.positions
        if table is None:
            return
        if self._positions is None:
            self._positions = table.weight.detach().cpu()
        part = self._positions[:length].clone()
        self.model.positions = nn.Embedding.from_pretrained(part, freeze=False).to(self.device)

    def tokens(self, length: int) -> Tensor:
        """The tokens of a call, (batch, length): the same for every model."""
        batch = self.config.batch_at(length)
        return self._tokens[: batch * length].view(batch, length).to(self.device, copy=True)

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

    def ready(self, call: Callable[[], object]) -> Callable[[], object]:
        """What is timed in the place of `call`: on a GPU its CUDA graph, where launching could take as long as running.

        Beyond BRIEF seconds the host is long ahead of the device, and a graph would only hold more memory.
        """
        if self.device.type != "cuda" or not _brief(call):
            return call
        torch.cuda.empty_cache()  # what eager calls have cached is of no use to a graph
        try:
            return record(call, self.device)[0].replay
        except NotRecorded as error:
            note = f"no CUDA graph, launched kernel by kernel: {error}"
            self.notes += [note] if note not in self.notes else []
            return call

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


def _brief(call: Callable[[], object]) -> bool:
    """Whether a call takes no more than BRIEF seconds on the GPU; the first, which may compile, does not count."""
    for _ in range(2):
        torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        torch.cuda.synchronize()
    return time.perf_counter() - began <= BRIEF
