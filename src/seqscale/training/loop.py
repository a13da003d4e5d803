"""The training loop: a pure function of its resolved config, whatever interrupts it.

Same config, code, machine and thread count: the same weights to the last bit on a CPU, also across a ``kill -9``.
"""

import logging
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from seqscale.data import open_dataset
from seqscale.data.batches import IGNORE, Batch, Dataset
from seqscale.devices import resolve_device, resolve_precision
from seqscale.files import write_json, write_text
from seqscale.models import LanguageModel, ModelSpec, build
from seqscale.plugins import mixer_code
from seqscale.provenance import code_digest, digest, provenance
from seqscale.training.checkpoint import Position, load_checkpoint, only_one, save_checkpoint, save_tensors
from seqscale.training.evaluation import autocast, evaluate_split
from seqscale.training.history import History
from seqscale.training.optimizer import OptimizerSettings, make_optimizer
from seqscale.training.tracking import Tracker, open_trackers

log = logging.getLogger(__name__)


class Diverged(Exception):
    """Loss or gradient is no longer a number."""


def train(run: dict[str, Any], data_folder: str | Path, work: str | Path, out: str | Path) -> dict[str, Any]:
    """Train one run and leave model.safetensors, history.csv and summary.json in `out`.

    Args:
        run: the resolved run config (workflow/schemas/run.schema.yaml), learning rate included.
        data_folder: what `prepare` made.
        work: a folder for checkpoints and the growing history; survives interruptions. If it holds a checkpoint of
            this very run, training goes on from there.
        out: where finished results go, each renamed into place.

    Returns:
        The summary. `status` is "ok", "diverged" (a loss or gradient that is not a number) or "out of memory", with
        the `reason`; these are results, not errors, so that the rest of a comparison goes on.
    """
    work, out = Path(work), Path(out)
    torch.set_num_threads(run["threads"])
    device = resolve_device(run["device"])
    _be_deterministic(device)
    data = open_dataset(data_folder)
    roots = (__name__, *(root for mixer in ModelSpec.from_dict(run["model"]).mixers() for root in mixer_code(mixer)))
    about_data = {k: v for k, v in data.meta.items() if k not in ("provenance", "title", "licence", "origin")}
    machine = {
        "torch": torch.__version__,
        "device": device.type,
        "precision": resolve_precision(run["precision"], device),
    }
    identity = digest({"run": run, "code": code_digest(*roots), "data": about_data, "machine": machine})
    with only_one(work):
        write_json(work / "run.json", run)  # for those who look on
        return _Run(run, data, device, work, identity).finish(out)


def _be_deterministic(device: torch.device) -> None:
    """Only deterministic kernels on a CPU; on a GPU, where a few operations have none, a warning, not an error."""
    # not use_deterministic_algorithms, which does the same but imports TorchInductor: 1.7 s for each run
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it only costs time


def is_out_of_memory(error: BaseException) -> bool:
    """On a GPU PyTorch has an exception for it, mostly; on a CPU only words."""
    words = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


class _Run:
    """A run under way: its model, optimizer, position and history."""

    def __init__(self, run: dict[str, Any], data: Dataset, device: torch.device, work: Path, identity: str) -> None:
        self.run, self.data, self.device, self.work, self.identity = run, data, device, work, identity
        self.precision = resolve_precision(run["precision"], device)
        self.settings = OptimizerSettings.from_dict(run["optimizer"])
        torch.manual_seed(run["seed"])
        self.model: LanguageModel = build(ModelSpec.from_dict(run["model"]), data.vocab_size, run["context"]).to(device)
        self.optimizer = make_optimizer(self.model, self.settings)
        self.checkpoint = work / "checkpoint.safetensors"
        self.position = load_checkpoint(self.checkpoint, self.model, self.optimizer, identity) or Position(0, 0.0)
        if self.position.step:
            log.info("resuming after step %d of %d", self.position.step, run["steps"])
        self.valid_loss: float | None = None

    # -- one step ------------------------------------------------------------------------------------------------

    def _step(self, step: int) -> tuple[float, float]:
        """Do step `step` (from 0); returns the batch's loss in nats and the gradient's norm before clipping."""
        batch = self.data.train_batch(self.run["seed"], step, self.run["batch"], self.run["context"])
        rate = self.settings.rate(step, self.run["steps"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        value, norm_value = loss.item(), norm.item()
        for name, number in (("loss", value), ("norm of the gradient", norm_value)):
            if not math.isfinite(number):
                raise Diverged(
                    f"the {name} became {number} at step {step + 1} of {self.run['steps']} "
                    f"(learning rate {rate:.2e}). Try a smaller learning rate or stronger clipping."
                )
        self.optimizer.step()
        return value, norm_value

    def _loss(self, batch: Batch) -> torch.Tensor:
        inputs, targets = (
            torch.from_numpy(np.ascontiguousarray(x)).to(self.device) for x in (batch.inputs, batch.targets)
        )
        with autocast(self.device, self.precision):
            logits = self.model(inputs)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE)

    # -- the whole run -------------------------------------------------------------------------------------------

    def _loop(self, history: History, trackers: list[Tracker]) -> None:
        run, steps = self.run, self.run["steps"]
        tokens_per_step = run["batch"] * run["context"]
        flops_per_step = self.model.training_flops(run["batch"], run["context"])
        self.model.train()
        began = time.perf_counter() - self.position.seconds
        bar = tqdm(total=steps, initial=self.position.step, disable=not sys.stderr.isatty(), unit="step")
        for step in range(self.position.step, steps):
            loss, norm = self._step(step)
            done = step + 1
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}")
            evaluating = done % run["eval_every"] == 0 or done == steps
            valid = self._evaluate(done) if evaluating else None
            seconds = time.perf_counter() - began
            if evaluating or done % run["log_every"] == 0 or done == 1:
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
            if valid is not None:
                log.info("step %d of %d: train %.4f, valid %.4f nats, %.1f s", done, steps, loss, valid, seconds)
            self.position = Position(done, seconds)
            if done % run["checkpoint_every"] == 0 or done == steps:
                save_checkpoint(self.checkpoint, self.model, self.optimizer, self.position, self.identity)
        bar.close()

    def _evaluate(self, done: int) -> float:
        run = self.run
        raw = evaluate_split(self.model, self.data, "valid", run["context"], self.device, self.precision)
        if not math.isfinite(raw["loss"]):  # the last steps can ruin the weights without another batch to show it
            raise Diverged(
                f"the validation loss became {raw['loss']} after step {done} of {run['steps']}. "
                "Try a smaller learning rate or stronger clipping."
            )
        self.valid_loss = raw["loss"]
        return raw["loss"]

    def finish(self, out: Path) -> dict[str, Any]:
        """Train to the end and write the results."""
        status, reason = "ok", ""
        path = self.work / "history.csv"
        history = History(path, self.position.step)
        trackers = open_trackers(self.run, self.work, self.position.step)
        try:
            self._loop(history, trackers)
            if self.valid_loss is None:  # every step was done before; only the results were missing
                self._evaluate(self.position.step)
        except Diverged as error:
            status, reason = "diverged", str(error)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            status, reason = "out of memory", f"after step {self.position.step}: {first_line}"
        finally:
            history.close()
            for tracker in trackers:
                tracker.close()
        if status != "ok":
            log.error("%s: %s", status, reason)
        summary = self._summary(status, reason)
        save_tensors(out / "model.safetensors", dict(self.model.state_dict()), {})
        write_text(out / "history.csv", path.read_text(encoding="utf-8"))
        write_json(out / "summary.json", summary)
        return summary

    def _summary(self, status: str, reason: str) -> dict[str, Any]:
        run = self.run
        params, nonembedding = self.model.count_parameters()
        done = self.position.step
        peak = torch.cuda.max_memory_allocated() if self.device.type == "cuda" else None
        return {
            "config": run,
            "status": status,
            "reason": reason,
            "steps_done": done,
            "params": params,
            "params_nonembedding": nonembedding,
            "train_tokens": done * run["batch"] * run["context"],
            "train_flops": done * self.model.training_flops(run["batch"], run["context"]),
            "forward_flops_per_token": self.model.flops(1, run["context"]) / run["context"],
            "train_seconds": round(self.position.seconds, 3),
            "peak_memory_bytes": peak,
            "valid_loss": self.valid_loss if status == "ok" else None,
            "provenance": provenance(
                config_digest=digest(run),
                seed=run["seed"],
                device=str(self.device),
                device_name=torch.cuda.get_device_name() if self.device.type == "cuda" else None,
                precision=self.precision,
                threads=run["threads"],
                data_sha256=self.data.meta.get("sha256"),
            ),
        }
