"""Processes of their own, which a test may kill. They are forked from one that has imported PyTorch already.

Importing PyTorch takes two seconds of a processor; training in these tests takes a tenth of one.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["seqscale.training", "torch.nn.parallel", "torch._dynamo"])  # DDP's own imports


class Apart:
    """`function(*arguments)` in a process that has begun; what it says on stderr goes to the file `said`."""

    def __init__(
        self, function: Callable[..., None], *arguments: Any, said: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._said = said
        self._process = _context.Process(target=_begin, args=(said, dict(environment or {}), function, arguments))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def finish(self, seconds: float = 600) -> tuple[int, str]:
        """Wait for its end: the exit status (-9: killed) and all that it said."""
        self._process.join(seconds)
        status = self._process.exitcode
        if status is None:
            self.kill()
        assert status is not None, f"not done after {seconds} s; it said: {self._said.read_text()}"
        return status, self._said.read_text()

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()

    def wait_until_it_says(self, words: str) -> None:
        wait_for(lambda: self._said.exists() and words in self._said.read_text())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def _begin(said: Path, environment: dict[str, str], function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    with open(said, "wb") as file:
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    function(*arguments)
