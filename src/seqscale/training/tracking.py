"""Curves for TensorBoard and Weights & Biases, beside the history that everything else is made of.

Asked for by `tracking: [tensorboard]` in a configuration, which the workflow passes on in the environment: it is no
part of a run's config, so that switching it changes no result and trains nothing again.
"""

import logging
import math
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

log = logging.getLogger(__name__)

WANTED, FOLDER = "SEQSCALE_TRACKING", "SEQSCALE_TRACKING_DIR"
SCALARS = ("train_loss", "valid_loss", "learning_rate", "grad_norm")


class Tracker(Protocol):
    def log(self, row: dict[str, Any]) -> None:
        """A row of the history."""

    def close(self) -> None:
        """The run has ended."""


class TensorBoard:
    """An event file per run; a run that resumes takes back what came after its checkpoint."""

    def __init__(self, folder: Path, run: dict[str, Any], step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        if not step:
            self._writer.add_text("config", "\n".join(f"    {key}: {value}" for key, value in run.items()))

    def log(self, row: dict[str, Any]) -> None:
        for name in SCALARS:
            if row.get(name) is not None and math.isfinite(row[name]):
                self._writer.add_scalar(name, row[name], row["step"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of wandb, whose account and mode (online, offline) are the user's own settings.

    A run that resumes goes on in the same run there (its id lies in the folder); steps that are done again keep the
    values of the first time, as the service takes no step twice.
    """

    def __init__(self, folder: Path, run: dict[str, Any], step: int) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "wandb_id"
        identity = kept.read_text(encoding="utf-8") if step and kept.is_file() else uuid.uuid4().hex[:8]
        self._run = wandb.init(project="seqscale", dir=str(folder), config=run, id=identity, resume="allow",
                               name=f"{run['experiment']}/{run['model']['name']}/{folder.name}",
                               group=run["experiment"])  # fmt: skip
        kept.write_text(identity, encoding="utf-8")

    def log(self, row: dict[str, Any]) -> None:
        self._run.log({name: row[name] for name in SCALARS if row.get(name) is not None}, step=row["step"])

    def close(self) -> None:
        self._run.finish()


class Guarded:
    """A tracker that may fail: it is told once in the log and left alone from then on, and the run goes on."""

    def __init__(self, kind: str, tracker: Tracker) -> None:
        self._kind, self._tracker = kind, tracker
        self._failed = False

    def log(self, row: dict[str, Any]) -> None:
        self._try(lambda: self._tracker.log(row))

    def close(self) -> None:
        self._try(self._tracker.close)

    def _try(self, call: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            call()
        except Exception as error:  # a full disk, a service that is gone
            self._failed = True
            log.warning("no more tracking by %s: %s: %s", self._kind, type(error).__name__, error)


_KINDS: dict[str, Any] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def open_trackers(run: dict[str, Any], work: Path, step: int) -> list[Tracker]:
    """What the environment asks for; one that cannot start is told in the log and left out, and the run goes on.

    Args:
        work: the run's folder for checkpoints; its name tells the run from its siblings.
        step: steps already done.
    """
    trackers: list[Tracker] = []
    for kind in filter(None, os.environ.get(WANTED, "").split(",")):
        folder = Path(os.environ.get(FOLDER, "results/tracking")) / run["experiment"] / run["model"]["name"] / work.name
        try:
            trackers.append(Guarded(kind, _KINDS[kind](folder, run, step)))
        except Exception as error:  # a curve is not worth a run, whatever the service says
            log.warning("no tracking by %s: %s: %s", kind, type(error).__name__, error)
    return trackers
