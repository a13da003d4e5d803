"""Text files that a configuration names, checked before any work starts."""

import logging
from pathlib import Path
from typing import Any

from seqscale.config import Config
from seqscale.config.errors import Problems
from seqscale.data.corpora import DataError, find_file, load
from seqscale.data.fetch import pinned_files
from seqscale.data.prepare import PINNED
from seqscale.data.probes import load_probes
from seqscale.data.splits import check_text

log = logging.getLogger(__name__)

LARGE_FILE_BYTES = 64 * 2**20  # a larger corpus is verified by its own job, so that no command waits for it


def check_corpora(config: Config) -> None:
    """See that every text file in use is there, whole, of the right checksum, and long enough.

    Raises:
        ConfigError: naming each file that is not, with the experiment that uses it.
    """
    problems = Problems(config.sources)
    mirror = config.mirror
    if mirror and not Path(mirror).expanduser().is_dir():
        problems.add(["data", "mirror"], f"there is no folder {mirror} (set by `data: mirror:` or SEQSCALE_MIRROR)")
    for name, experiment in config.values["experiments"].items():
        spec = config.datasets[experiment["dataset"]]
        try:
            if experiment["probes"]:
                load_probes(experiment["probes"])
        except DataError as error:
            problems.add(["experiments", name, "probes"], str(error))
        if spec["kind"] in PINNED:
            _check_pinned(spec, mirror, ["experiments", name, "dataset"], problems)
            _check_pinned_batch(experiment, spec, ["experiments", name, "batch"], problems)
        if spec["kind"] not in ("text", "pydoc_topics"):
            continue
        try:
            if spec["kind"] == "pydoc_topics" or find_file(spec["path"], mirror).stat().st_size <= LARGE_FILE_BYTES:
                splits = check_text(experiment["dataset"], load(spec, mirror), spec["split"], experiment["context"])
                _check_batch(experiment, len(splits["train"]))
        except DataError as error:
            problems.add(["experiments", name, "dataset"], str(error))
    problems.done()


def _check_pinned(spec: dict[str, Any], mirror: str | None, place: list[str | int], problems: Problems) -> None:
    """The mirror's copies have the right bytes. What is not there is downloaded by the job that needs it."""
    lacking = []
    for file in pinned_files(spec):
        here = file.in_mirror(mirror)
        if here is None and file.url is None:
            lacking.append(file.path)
        elif here is not None and here.stat().st_size <= LARGE_FILE_BYTES:
            try:
                file.locate(mirror)
            except DataError as error:
                problems.add(place, str(error))
    if lacking:  # no error yet: everything else that was asked for can still be made
        log.warning(
            "warning: preparing %s will fail: not found and without a public address: %s. Name a folder that has it: "
            "`data: {mirror: FOLDER}` or SEQSCALE_MIRROR.",
            *(spec["name"], ", ".join(lacking)),
        )


def _check_pinned_batch(
    experiment: dict[str, Any], spec: dict[str, Any], place: list[str | int], problems: Problems
) -> None:
    """Where the entry tells how many tokens the training split has, one batch fits into it."""
    known = spec.get("expect", {}).get("tokens", {}).get("train") or (spec.get("lengths") or [None])[0]
    if known is None or spec.get("limit"):
        return
    try:
        _check_batch(experiment, known)
    except DataError as error:
        problems.add(place, str(error))


def _check_batch(experiment: dict[str, Any], tokens: int) -> None:
    batch, context = experiment["batch"], experiment["context"]
    if (tokens - 1) // context - 1 < batch:
        raise DataError(
            f"the training split has {tokens:,} tokens, too few for one batch of {batch} x {context} = "
            f"{batch * context:,}. Use a longer text, a smaller `batch` or a shorter `context`."
        )
