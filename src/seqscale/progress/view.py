"""The ledger shown: redrawn in place on a terminal (rich), or plain lines now and then."""

import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol, TextIO

from seqscale.progress.ledger import Job, Ledger

PLAIN_EVERY = 10.0  # seconds between plain lines
MOST_ROWS = 12  # running jobs shown one by one


class View(Protocol):
    """What the plugin tells a view."""

    ledger: Ledger

    def say(self, text: str) -> None:
        """Show a message of its own."""

    def changed(self) -> None:
        """The ledger has changed."""

    def failed(self, job: Job) -> None:
        """A job has failed."""

    def close(self) -> None:
        """Nothing more will come."""


def make_view(stream: TextIO | None = None, results: str | Path = "results", every: float = PLAIN_EVERY) -> View:
    """A live display if `stream` (standard error) is a terminal and rich is installed, else plain lines."""
    stream = stream or sys.stderr
    if stream.isatty():
        try:
            return LiveView(Ledger(results), stream)
        except ImportError:
            pass
    return PlainView(Ledger(results), stream, every)


# --- words ------------------------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """0:07, 3:25, 2:03:11 (hours, minutes, seconds)."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def headline(ledger: Ledger) -> str:
    """ "12 of 53 jobs (23 %), 2 running, 0:41 gone, about 2:10 left"."""
    share = f" ({100 * ledger.done // ledger.total} %)" if ledger.total else ""
    words = [f"{ledger.done} of {ledger.total} jobs{share}", f"{len(ledger.running)} running"]
    if ledger.failed:
        words.append(f"{len(ledger.failed)} FAILED")
    words.append(f"{duration(time.monotonic() - ledger.began)} gone")
    left = ledger.seconds_left()
    if left is not None and ledger.done < ledger.total:
        words.append(f"about {duration(left)} left")
    return ", ".join(words)


def job_words(ledger: Ledger, job: Job) -> str:
    """ "train text/mamba seed 1: step 320 of 750, loss 1.842, 0:12 left"."""
    steps = ledger.steps(job)
    words = f"{job.rule} {job.name}".rstrip()
    if steps is None:
        return f"{words}: {duration(time.monotonic() - job.began)}"
    said = [f"step {steps.done} of {steps.total}"]
    said += [f"loss {steps.loss:.3f}"] if steps.loss is not None else []
    said += [f"{duration(steps.seconds_left)} left"] if steps.seconds_left is not None else []
    return f"{words}: {', '.join(said)}"


def failure_words(job: Job) -> str:
    """What failed, its log, and the last thing the log says."""
    words = f"FAILED: {job.rule} {job.name}".rstrip()
    if not job.log:
        return words
    try:
        lines = [
            line for line in Path(job.log).read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
    except OSError:
        lines = []
    return f"{words}\n  log: {job.log}" + (f"\n  its last line: {lines[-1].strip()[:300]}" if lines else "")


# --- plain ------------------------------------------------------------------------------------------------------------


class PlainView:
    """One line at the start, then at most one every few seconds, each failure at once, one line at the end."""

    def __init__(self, ledger: Ledger, stream: TextIO, every: float = PLAIN_EVERY) -> None:
        self.ledger, self.stream, self.every = ledger, stream, every
        self._last = -every
        self._told = -1
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._timer = threading.Thread(target=self._tick, daemon=True)
        self._timer.start()

    def say(self, text: str) -> None:
        with self._lock:
            print(text, file=self.stream, flush=True)

    def failed(self, job: Job) -> None:
        self.say(failure_words(job))

    def changed(self) -> None:
        if self.ledger.total and time.monotonic() - self._last >= self.every:
            self._line()

    def _tick(self) -> None:
        """A long job without events still gives a line now and then."""
        while not self._closed.wait(self.every):
            self.changed()

    def _line(self) -> None:
        self._last, self._told = time.monotonic(), self.ledger.done
        running = [job_words(self.ledger, job) for job in list(self.ledger.running.values())[:3]]
        more = len(self.ledger.running) - len(running)
        words = f"{time.strftime('%H:%M:%S')} {headline(self.ledger)}"
        words += f" | {'; '.join(running)}" if running else ""
        self.say(words + (f"; {more} more" if more > 0 else ""))

    def close(self) -> None:
        self._closed.set()
        if self.ledger.total and self._told != self.ledger.done:
            self._line()


# --- live -------------------------------------------------------------------------------------------------------------


class LiveView:
    """A bar for the whole and a row for each running job, redrawn four times a second below what is printed."""

    def __init__(self, ledger: Ledger, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self.ledger = ledger
        self.console = Console(file=stream, highlight=False)
        self._live = Live(get_renderable=self.draw, console=self.console, refresh_per_second=4, transient=True)
        self._started = False

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    def failed(self, job: Job) -> None:
        self.console.print(failure_words(job), style="bold red", markup=False)

    def changed(self) -> None:
        if self.ledger.total and not self._started:
            self._started = True
            self._live.start()

    def close(self) -> None:
        if self._started:
            self._live.stop()
            self._started = False
            self.console.print(headline(self.ledger), markup=False)

    def draw(self) -> Any:
        """What stands on the screen now."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        ledger = self.ledger
        jobs = list(ledger.running.values())
        table = Table.grid(padding=(0, 2))
        for justify in ("left", "left", "right", "right", "right"):
            table.add_column(justify=justify, no_wrap=True)  # type: ignore[arg-type]
        table.add_row(*(Text(word, style="dim") for word in ("running", "", "step", "loss", "left")))
        for job in jobs[:MOST_ROWS]:
            table.add_row(*self._row(job))
        if len(jobs) > MOST_ROWS:
            table.add_row("", Text(f"and {len(jobs) - MOST_ROWS} more", style="dim"))
        style = "bold red" if ledger.failed else "bold"
        words = headline(ledger)
        width = min(60, max(10, self.console.width - len(words) - 2))
        bar = ProgressBar(total=max(1, ledger.total), completed=ledger.done, width=width)
        whole = Table.grid(padding=(0, 1))  # a bar by itself ends no line and keeps no distance
        whole.add_row(bar, Text(words, style=style))
        return Group(table, whole)

    def _row(self, job: Job) -> list[str]:
        steps = self.ledger.steps(job)
        if steps is None:
            return [job.rule, job.name, "", "", f"({duration(time.monotonic() - job.began)})"]
        left = "" if steps.seconds_left is None else duration(steps.seconds_left)
        loss = "" if steps.loss is None else f"{steps.loss:.3f}"
        return [job.rule, job.name, f"{steps.done}/{steps.total}", loss, left]
