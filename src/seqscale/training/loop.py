"""The training loop: a pure function of its resolved config, whatever interrupts it.

Same config, code, machine and thread count: the same weights to the last bit on a CPU, also across a ``kill -9``.
"""

import contextlib
import logging
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from seqscale.data import open_dataset
from seqscale.data.batches import IGNORE, Batch, Dataset, LabelledBatch, LabelledDataset
from seqscale.data.published_batches import draw
from seqscale.devices import is_out_of_memory, resolve_precision
from seqscale.files import read_json, write_json, write_text
from seqscale.models import (
    Classifier,
    LanguageModel,
    ModelSpec,
    PublishedModel,
    build,
    build_as_published,
    build_classifier,
)
from seqscale.models.published import module_of
from seqscale.plugins import mixer_code
from seqscale.provenance import code_digest, digest, provenance
from seqscale.store import fetch, share
from seqscale.training.checkpoint import Best, Position, load_checkpoint, only_one, save_checkpoint, save_tensors
from seqscale.training.evaluation import evaluate_split, logits_and_targets
from seqscale.training.graphs import StepGraph, step_graph
from seqscale.training.history import History
from seqscale.training.optimizer import OptimizerSettings, make_optimizer
from seqscale.training.processes import Team, team
from seqscale.training.summary import summary_of
from seqscale.training.tracking import Tracker, open_trackers

log = logging.getLogger(__name__)


RESULTS = ("model.safetensors", "history.csv", "summary.json")
MEMORY_NOTE = "out_of_memory.txt"  # in the work folder: where one of several processes ran out of memory


class Diverged(Exception):
    """Loss or gradient is no longer a number."""


def train(
    run: dict[str, Any], data_folder: str | Path, work: str | Path, out: str | Path, failure: str | None = None
) -> dict[str, Any]:
    """Train one run and leave model.safetensors, history.csv and summary.json in `out`.

    Args:
        run: the resolved run config (workflow/schemas/run.schema.yaml), learning rate included.
        data_folder: what `prepare` made.
        work: a folder for checkpoints and the growing history; survives interruptions. If it holds a checkpoint of
            this very run, training goes on from there.
        out: where finished results go, each renamed into place.
        failure: how an attempt with several processes ran out of memory (`MEMORY_NOTE`): nothing is trained, the
            results say so.

    Under the fair protocol the weights are those of the evaluation with the lowest validation loss (summary:
    `chosen_step`), so that a model which learns a small corpus by heart sooner than another is not judged by that; as
    published they are the last step's.

    Where SEQSCALE_CACHE names a shared folder (`seqscale.store`), a run that somebody finished there is copied.

    Under torchrun several processes train the run together (`training.processes`); the first writes the files.

    Returns:
        The summary. `status` is "ok", "diverged" (a loss or gradient that is not a number) or "out of memory", with
        the `reason`; these are results, not errors, so that the rest of a comparison goes on.
    """
    work, out = Path(work), Path(out)
    torch.set_num_threads(run["threads"])
    with team(run["device"]) as mine:
        return _train(run, data_folder, work, out, failure, mine)


def _train(
    run: dict[str, Any], data_folder: str | Path, work: Path, out: Path, failure: str | None, mine: Team
) -> dict[str, Any]:
    device = mine.device(run["device"])
    _be_deterministic(device)
    data = open_dataset(data_folder)
    spec = ModelSpec.from_dict(run["model"])
    of_mixers = [root for mixer in spec.mixers() for root in mixer_code(mixer)]
    roots = (__name__, *([module_of(spec.published)] if spec.published else of_mixers))
    about_data = {k: v for k, v in data.meta.items() if k not in ("provenance", "title", "licence", "origin")}
    machine = {
        "torch": torch.__version__,
        "device": device.type,
        "precision": resolve_precision(run["precision"], device),
    }
    what = {k: v for k, v in run.items() if k != "processes"}  # another number of processes may go on with a run
    identity = digest({"run": what, "code": code_digest(*roots), "data": about_data, "machine": machine})
    with only_one(work) if mine.first else contextlib.nullcontext():
        mine.wait()  # until the first has the lock
        if mine.first:
            write_json(work / "run.json", run)  # for those who look on
        processor = torch.cuda.get_device_name(device) if device.type == "cuda" else provenance()["cpu"]
        key = digest({"identity": identity, "processes": mine.size, "processor": processor})
        if mine.size == 1 and not failure and fetch("runs", key, out):
            return read_json(out / "summary.json")
        state = _Run(run, data, device, work, identity, mine)
        mine.wait()  # until all have read the checkpoint, before the first writes the next
        summary = state.finish(out, failure)
        if mine.first and summary["status"] != "out of memory":  # that is the machine's doing and not the run's
            share("runs", key, [out / name for name in RESULTS])
        return summary


def _be_deterministic(device: torch.device) -> None:
    """Only deterministic kernels on a CPU; on a GPU, where a few operations have none, a warning, not an error."""
    # not use_deterministic_algorithms, which does the same but imports TorchInductor: 1.7 s for each run
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it only costs time


def model_for(run: dict[str, Any], data: Dataset) -> LanguageModel | Classifier | PublishedModel:
    """The model of a run: a source's own, or a classifier where the data are labelled texts, or a language model."""
    spec = ModelSpec.from_dict(run["model"])
    if spec.published:
        return build_as_published(spec, data.vocab_size, run["context"])
    if isinstance(data, LabelledDataset):
        return build_classifier(spec, data.vocab_size, run["context"], len(data.classes))
    return build(spec, data.vocab_size, run["context"])


class _Run:
    """A run under way: its model, optimizer, position and history."""

    def __init__(
        self, run: dict[str, Any], data: Dataset, device: torch.device, work: Path, identity: str, team: Team
    ) -> None:
        self.run, self.data, self.device, self.work, self.identity = run, data, device, work, identity
        self.team = team
        self.precision = resolve_precision(run["precision"], device)
        self.settings = OptimizerSettings.from_dict(run["optimizer"])
        torch.manual_seed(run["seed"])
        self.model = model_for(run, data).to(device)
        self.optimizer = make_optimizer(self.model, self.settings)
        self.checkpoint = work / "checkpoint.safetensors"
        self.position = load_checkpoint(self.checkpoint, self.model, self.optimizer, identity) or Position(0, 0.0)
        self.parallel = team.parallel(self.model, device)
        if self.position.step and team.first:
            log.info("resuming after step %d of %d", self.position.step, run["steps"])
        self.best = self.position.best  # validation chooses the weights that are reported, as it chose the rate
        self.validates = run["protocol"] == "fair"  # no source looked at a validation split
        self.graphed = device.type == "cuda" and team.size == 1 and run.get("cuda_graphs", True)
        self.graph: StepGraph | None = None
        self.peak: int | None = None  # bytes on the GPU
        self.ahead: tuple[int, Batch | LabelledBatch] | None = None  # a step and its batch, drawn while the GPU works

    # -- one step ------------------------------------------------------------------------------------------------

    def _step(self, step: int) -> tuple[float, float]:
        """Do step `step` (from 0); returns the batch's loss in nats and the gradient's norm before clipping."""
        batch = self._draw(step)
        rate = self.settings.rate(step, self.run["steps"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.team.seed(self.run["seed"], step)
        found = self._gradients(batch)
        if self.device.type == "cuda" and step + 1 < self.run["steps"]:
            self.ahead = step + 1, draw(self.data, self.run, step + 1)
        value, norm = found.tolist()  # only now does the processor wait for the GPU
        for name, number in (("loss", value), ("norm of the gradient", norm)):
            if not math.isfinite(number):
                raise Diverged(
                    f"the {name} became {number} at step {step + 1} of {self.run['steps']} "
                    f"(learning rate {rate:.2e}). Try a smaller learning rate or stronger clipping."
                )
        self.optimizer.step()
        return value, norm

    def _draw(self, step: int) -> Batch | LabelledBatch:
        if self.ahead is not None and self.ahead[0] == step:
            return self.ahead[1]
        return draw(self.data, self.run, step)

    def _gradients(self, batch: Batch | LabelledBatch) -> torch.Tensor:
        """Loss and norm of the gradient before clipping, (2,), on the device; the gradients are in the parameters."""
        asked = batch.labels if isinstance(batch, LabelledBatch) else batch.targets
        targets = int((asked != IGNORE).sum())
        if self.graph is not None and not self.graph.fits(batch):
            self._without_graph("a batch of another size")
        if self.graphed and self.graph is None:
            self.graph = step_graph(self._compute, batch, targets, self.device)
            self.graphed = self.graph is not None
        return self.graph(batch, targets) if self.graph else self._compute(batch, targets)

    def _without_graph(self, why: str) -> None:
        """From here on steps are launched kernel by kernel: a graph's gradients and others do not mix."""
        log.warning("the CUDA graph of the step is given up: %s", why)
        self.graph, self.graphed = None, False
        self.optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()

    def _compute(self, batch: Batch | LabelledBatch, targets: int | torch.Tensor) -> torch.Tensor:
        """What `_gradients` returns, kernel by kernel."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._backward(batch, targets)
        clip = math.inf if self.settings.clip is None else self.settings.clip
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        return torch.stack([loss, norm])

    def _backward(self, batch: Batch | LabelledBatch, targets: int | torch.Tensor) -> torch.Tensor:
        """Gradients of the mean loss over the whole batch, part by part; returns that loss, on the device."""
        pieces = self.team.parts(batch, self.run.get("accumulate", 1))
        total = torch.zeros((), device=self.device)
        for index, piece in enumerate(pieces):
            later = index + 1 < len(pieces)  # gradients are added up between processes once, with the last piece
            with self.parallel.no_sync() if later and self.team.size > 1 else contextlib.nullcontext():  # type: ignore[operator]
                loss = self._loss(piece) / targets
                (loss * self.team.size).backward()  # DistributedDataParallel takes the mean over processes
            total += loss.detach()
        return self.team.add_up(total)

    def _loss(self, batch: Batch | LabelledBatch) -> torch.Tensor:
        """The loss summed over the targets of `batch`."""
        logits, targets = logits_and_targets(self.parallel, batch, self.device, self.precision)
        return F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")

    # -- the whole run -------------------------------------------------------------------------------------------

    def _loop(self, history: History | None, trackers: list[Tracker]) -> None:
        run, steps = self.run, self.run["steps"]
        tokens_per_step = run["batch"] * run["context"]
        flops_per_step = self.model.training_flops(run["batch"], run["context"])
        self.model.train()
        began = time.perf_counter() - self.position.seconds
        bar = tqdm(
            total=steps, initial=self.position.step, disable=not (self.team.first and sys.stderr.isatty()), unit="step"
        )
        for step in range(self.position.step, steps):
            loss, norm = self._step(step)
            done = step + 1
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}")
            evaluating = done % run["eval_every"] == 0 or done == steps
            valid = self._evaluate(done) if evaluating and self.validates else None
            seconds = time.perf_counter() - began
            if history is not None and (evaluating or done % run["log_every"] == 0 or done == 1):
                row: dict[str, Any] = {
                    "step": done,
                    "tokens": done * tokens_per_step,
                    "flops": done * flops_per_step,
                    "seconds": round(seconds, 3),
                    "learning_rate": self.settings.rate(step, steps),
                    "train_loss": loss,
                    "valid_loss": valid,
                    "grad_norm": norm,
                }
                history.append(**row)
                for tracker in trackers:
                    tracker.log(row)
            if evaluating and self.team.first:
                told = "no validation" if valid is None else f"valid {valid:.4f}"
                log.info("step %d of %d: train %.4f, %s nats, %.1f s", done, steps, loss, told, seconds)
            self.position = Position(done, seconds, self.best)
            if self.team.first and (done % run["checkpoint_every"] == 0 or done == steps):
                save_checkpoint(self.checkpoint, self.model, self.optimizer, self.position, self.identity)
        bar.close()

    def _evaluate(self, done: int) -> float:
        run = self.run
        self.note_peak()
        raw = self._validate()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()  # the peak is that of training, whatever an evaluation takes
        if not math.isfinite(raw["loss"]):  # the last steps can ruin the weights without another batch to show it
            raise Diverged(
                f"the validation loss became {raw['loss']} after step {done} of {run['steps']}. "
                "Try a smaller learning rate or stronger clipping."
            )
        if self.best is None or raw["loss"] < self.best.loss:
            self.best = Best.of(self.model, done, raw["loss"])
        return raw["loss"]

    def _validate(self) -> dict[str, float]:
        where = (self.model, self.data, "valid", self.run["context"], self.device, self.precision, self.team)
        try:
            return evaluate_split(*where)
        except RuntimeError as error:
            if self.graph is None or not is_out_of_memory(error):
                raise
        self._without_graph("its memory is needed for the evaluation")
        return evaluate_split(*where)

    def note_peak(self) -> None:
        if self.device.type == "cuda":
            self.peak = max(self.peak or 0, torch.cuda.max_memory_allocated())

    def finish(self, out: Path, failure: str | None) -> dict[str, Any]:
        """Train to the end and write the results."""
        status, reason = ("out of memory", failure) if failure else ("ok", "")
        path = self.work / "history.csv"
        history = History(path, self.position.step) if self.team.first else None
        trackers = open_trackers(self.run, self.work, self.position.step) if self.team.first else []
        try:
            if not failure:
                self._loop(history, trackers)
        except Diverged as error:
            status, reason = "diverged", str(error)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            status, reason = "out of memory", f"after step {self.position.step}: {first_line}"
            if self.team.size > 1:  # the others wait for this one's gradients: the launcher ends them and tells
                write_text(self.work / MEMORY_NOTE, reason)
                raise
        finally:
            if history is not None:
                history.close()
            for tracker in trackers:
                tracker.close()
        summary = summary_of(self, status, reason)
        if not self.team.first:
            return summary
        if status != "ok":
            log.error("%s: %s", status, reason)
        chosen = self.best.weights if self.best and status == "ok" else dict(self.model.state_dict())
        save_tensors(out / "model.safetensors", chosen, {})
        write_text(out / "history.csv", path.read_text(encoding="utf-8"))
        write_json(out / "summary.json", summary)
        return summary
