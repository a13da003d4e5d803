"""Downloads that go on where they stopped: retries, resume, a progress bar, and bytes that are checked at the end.

Addresses ``hf://OWNER/NAME/FILE`` are files of the Hugging Face hub and go through its own library; all others are
plain HTTP. An unfinished file stays as ``NAME.part`` and is continued by the next attempt or the next command.
"""

import contextlib
import logging
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from seqscale.files import sha256_of

try:
    import fcntl
except ImportError:  # Windows: two processes may download the same file twice, which only costs time
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

ATTEMPTS = 5  # in a row that bring no new byte
PAUSE_SECONDS = 1.0  # before the second attempt; doubles each time
TIMEOUT_SECONDS = 30.0  # without a single byte
BLOCK_BYTES = 1 << 16
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that may pass


class DownloadError(Exception):
    """A file that could not be fetched; the message says from where and why."""


def download(
    url: str,
    target: Path,
    sha256: str,
    *,
    attempts: int = ATTEMPTS,
    pause_seconds: float = PAUSE_SECONDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Path:
    """Fetch `url` to `target`, unless `target` already has the right bytes.

    Args:
        sha256: of the whole file, hexadecimal. Another sum is an error, and no file is left under the name `target`.
        attempts: how many in a row may bring nothing before giving up.
        pause_seconds: before the second of them; doubles each time.
        timeout_seconds: a server that is silent for so long counts as gone. One that is merely slow does not.

    Raises:
        DownloadError: no server, no such file, wrong bytes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(target):
        if target.is_file():
            if sha256_of(target) == sha256:
                return target
            log.warning("%s is damaged; it is fetched anew", target)
            target.unlink()
        part = target.with_name(target.name + ".part")
        if url.startswith("hf://"):
            _from_hub(url, part)
        else:
            resumed = _from_server(url, part, attempts, pause_seconds, timeout_seconds)
            if resumed and sha256_of(part) != sha256:  # the server's file may have changed between the two halves
                log.warning("%s: the pieces do not fit together; starting again", url)
                part.unlink()
                _from_server(url, part, attempts, pause_seconds, timeout_seconds)
        found = sha256_of(part)
        if found != sha256:
            size = part.stat().st_size
            part.unlink()
            raise DownloadError(
                f"{url} gave {size:,} bytes with sha256 {found}, expected {sha256}: "
                "the file was cut short on its way, or another version lies there now"
            )
        part.replace(target)
    return target


def _from_hub(url: str, part: Path) -> None:
    """A file of the Hugging Face hub; its library has its own retries, resume and progress bar."""
    from huggingface_hub import hf_hub_download

    owner, name, file = url.removeprefix("hf://").split("/", 2)
    folder = part.with_name(part.name + ".hub")
    try:
        got = hf_hub_download(f"{owner}/{name}", file, local_dir=folder)
    except Exception as error:  # it raises a dozen kinds, some of them from its HTTP library
        first_line = (str(error).strip().splitlines() or [""])[0].rstrip(".")
        raise DownloadError(f"{url}: {type(error).__name__}: {first_line}") from error
    shutil.move(got, part)
    shutil.rmtree(folder, ignore_errors=True)


def _from_server(url: str, part: Path, attempts: int, pause_seconds: float, timeout_seconds: float) -> bool:
    """Fetch `url` to `part`, continuing what is there; returns whether anything was continued."""
    resumed, failures = False, 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        resumed |= before > 0
        try:
            _one_request(url, part, before, timeout_seconds)
            return resumed
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            after = part.stat().st_size if part.exists() else 0
            failures = 1 if after > before else failures + 1
            answer = getattr(error, "response", None)
            status = None if answer is None else answer.status_code
            reason = _in_words(error, status, timeout_seconds)
            if failures >= attempts or (status is not None and status not in TRY_AGAIN):
                raise DownloadError(f"{url}: {reason}" + (f" ({failures} attempts)" if failures > 1 else "")) from error
            pause = pause_seconds * 2 ** (failures - 1)
            log.warning("%s: %s, %s bytes so far; again in %.1f s", url, reason, f"{after:,}", pause)
            time.sleep(pause)


def _one_request(url: str, part: Path, have: int, timeout_seconds: float) -> None:
    """One GET, from byte `have` on where the server can; raises requests' and, in mid-stream, urllib3's exceptions."""
    headers = {"Accept-Encoding": "identity"}  # bytes as they lie there: sizes and offsets must mean something
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=timeout_seconds) as answer:
        if answer.status_code == 416:  # nothing beyond what we have: it is whole, or not this file; the sum will tell
            return
        answer.raise_for_status()
        if answer.status_code != 206:  # the server starts from the beginning, and so do we
            have = 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        bar = tqdm(
            total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=not sys.stderr.isatty()
        )
        with bar, open(part, "ab" if have else "wb") as handle:
            while block := answer.raw.read1(BLOCK_BYTES):  # what has arrived, not only whole blocks: nothing is lost
                handle.write(block)
                bar.update(len(block))


def _in_words(error: Exception, status: int | None, timeout_seconds: float) -> str:
    if status is not None:
        return f"the server answered {status}" + (", there is no such file" if status == 404 else "")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached"
    return str(error) or type(error).__name__


@contextlib.contextmanager
def _only_one(target: Path) -> Iterator[None]:
    """Two jobs that want the same file: the second waits, and then finds it there."""
    with open(target.with_name(target.name + ".lock"), "w") as handle:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
