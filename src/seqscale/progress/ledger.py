"""The books: jobs to do, running, done and failed; how far a training run is; how long it will take still."""

import contextlib
import csv
import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORK = {"train": "runs/{experiment}/{model}/seed{seed}", "search": "search/{experiment}/{model}/lr{rate}"}
CLOCKS_APART = 5.0  # seconds that a file server's clock may be behind
TAIL_BYTES = 4096  # of a growing history: more than a row or two


@dataclass(frozen=True)
class Steps:
    """How far a training run is."""

    done: int
    total: int
    loss: float | None
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """By its own speed so far; None before the first logged step."""
        return self.seconds / self.done * (self.total - self.done) if self.done else None


@dataclass
class Job:
    """One job that has started."""

    rule: str
    wildcards: Mapping[str, str]
    log: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str:
        """What a person calls it: "text/mamba seed 1"."""
        w = self.wildcards
        where = "/".join(w[key] for key in ("suite", "experiment", "dataset", "model") if key in w)
        which = "".join(f" {word} {w[key]}" for key, word in (("seed", "seed"), ("rate", "rate")) if key in w)
        return where + which

    @property
    def started(self) -> float:
        """When it began, in the time that files are stamped with."""
        return time.time() - (time.monotonic() - self.began)

    @property
    def group(self) -> tuple[str, str]:
        """Jobs that take about as long as each other: of one rule, and of one model where there is one."""
        return self.rule, self.wildcards.get("model", "")


class Ledger:
    """All jobs of one call of the pipeline.

    Args:
        results: the folder that holds `work/`, where training writes as it goes.
    """

    def __init__(self, results: str | Path = "results") -> None:
        self.results = Path(results)
        self.began = time.monotonic()
        self.waiting: dict[str, int] = {}  # rule -> jobs not yet begun
        self.total = 0
        self.done = 0
        self.running: dict[int, Job] = {}
        self.failed: list[Job] = []
        self._took: dict[tuple[str, str], list[float]] = {}
        self._widest = 1

    def plan(self, jobs: Mapping[str, int]) -> None:
        """How many jobs of each rule there are to do."""
        self.waiting = {rule: count for rule, count in jobs.items() if rule not in ("total", "all")}
        self.total = sum(self.waiting.values())

    def start(self, number: int, job: Job) -> None:
        self.running[number] = job
        self.waiting[job.rule] = max(0, self.waiting.get(job.rule, 0) - 1)
        self._widest = max(self._widest, len(self.running))

    def finish(self, number: int) -> Job | None:
        """The job that ended well, or None for one that is not counted (the target rule itself)."""
        job = self.running.pop(number, None)
        if job is not None:
            self.done += 1
            self._took.setdefault(job.group, []).append(time.monotonic() - job.began)
        return job

    def fail(self, number: int) -> Job | None:
        job = self.running.pop(number, None)
        if job is not None:
            self.failed.append(job)
        return job

    def seconds_left(self) -> float | None:
        """An estimate from what jobs of the same kind took; None while nothing is known.

        Jobs that wait cost their rule's mean (the mean of all for a rule not seen yet); as many run side by side as did
        so far. It is never less than what the slowest running job still needs.
        """
        took = [seconds for each in self._took.values() for seconds in each]
        if not took:
            return None
        mean = sum(took) / len(took)
        by_rule: dict[str, list[float]] = {}
        for (rule, _), each in self._took.items():
            by_rule.setdefault(rule, []).extend(each)
        means = {rule: sum(each) / len(each) for rule, each in by_rule.items()}
        ahead = sum(count * means.get(rule, mean) for rule, count in self.waiting.items())
        still = [self._still(job, means.get(job.rule, mean)) for job in self.running.values()]
        return max([(ahead + sum(still)) / self._widest, *still])

    def _still(self, job: Job, mean: float) -> float:
        steps = self.steps(job)
        if steps is not None and steps.seconds_left is not None:
            return steps.seconds_left
        group = self._took.get(job.group)
        expected = sum(group) / len(group) if group else mean
        return max(0.0, expected - (time.monotonic() - job.began))

    def steps(self, job: Job) -> Steps | None:
        """How far a training or search run is, from what it has written; None for other jobs or before it wrote."""
        if job.rule not in WORK:
            return None
        try:
            folder = self.results / "work" / WORK[job.rule].format(**job.wildcards)
            total = int(json.loads((folder / "run.json").read_text(encoding="utf-8"))["steps"])
            history = folder / "history.csv"
            if history.stat().st_mtime < job.started - CLOCKS_APART:
                return None  # of an earlier run: a job writes it anew when it begins, resuming or not
            row = last_row(history)
        except (OSError, KeyError, ValueError):
            return None
        return Steps(0, total, None, 0.0) if row is None else Steps(row[0], total, *row[1:])


def last_row(history: Path) -> tuple[int, float | None, float] | None:
    """(step, loss, seconds) of the last whole row of a history that is being written."""
    with open(history, "rb") as handle:
        header = handle.readline().decode()
        size = handle.seek(0, io.SEEK_END)
        handle.seek(max(len(header), size - TAIL_BYTES))
        lines = handle.read().decode(errors="replace").split("\n")
    columns = next(csv.reader([header]))
    for line in reversed(lines[:-1]):  # what follows the last line break is not whole
        cells: dict[str, Any] = dict(zip(columns, next(csv.reader([line]), []), strict=False))
        with contextlib.suppress(KeyError, ValueError):
            loss = float(cells["train_loss"]) if cells.get("train_loss") else None
            return int(cells["step"]), loss, float(cells["seconds"])
    return None
