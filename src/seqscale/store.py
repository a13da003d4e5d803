"""Finished work found by content: what one person has tokenised or trained, another need not do again.

SEQSCALE_CACHE names a folder that people share. A piece of work lies there under a digest of everything it depends on
(for a run: config, code, data, versions and processor), so whoever asks for the same work finds it and nobody can find
another's by mistake. Files are copied with their checksums verified; what is damaged is as good as absent.
"""

import logging
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from seqscale.files import atomic_write, read_json, sha256_of, write_json

log = logging.getLogger(__name__)
VARIABLE = "SEQSCALE_CACHE"
MANIFEST = "manifest.json"


def fetch(kind: str, key: str, out: Path) -> bool:
    """Copy the work `key` to `out`, if it is in the shared folder and sound; says whether it did.

    The manifest's order is kept, so that the file that says "finished" comes last.
    """
    root = os.environ.get(VARIABLE)
    if not root:
        return False
    place = _place(root, kind, key)
    try:
        wanted: dict[str, str] = read_json(place / MANIFEST)["files"]
        if outside := [name for name in wanted if Path(name).name != name or name == MANIFEST]:
            raise ValueError(f"its manifest names {outside[0]!r}, which is no plain file name")
        damaged = [name for name, checksum in wanted.items() if sha256_of(place / name) != checksum]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if place.exists():
            log.warning("the shared copy in %s is passed over: %s", place, error)
        return False
    if damaged:
        log.warning("the shared copy in %s is passed over: %s damaged; delete that folder", place, ", ".join(damaged))
        return False
    for name in wanted:
        with atomic_write(out / name) as temporary:
            shutil.copyfile(place / name, temporary)
    log.info("found finished in %s: nothing to do", place)
    return True


def share(kind: str, key: str, files: Iterable[Path]) -> None:
    """Put finished files in the shared folder, if there is one, the one that says "finished" last.

    A folder that cannot be written to is told in the log and costs nothing else.
    """
    root = os.environ.get(VARIABLE)
    if not root or (place := _place(root, kind, key)).exists():
        return
    making = place.with_name(f".{key}.{secrets.token_hex(4)}.tmp")
    try:
        making.mkdir(parents=True)
        checksums = {}
        for file in files:
            shutil.copyfile(file, making / file.name)
            checksums[file.name] = sha256_of(making / file.name)
        write_json(making / MANIFEST, {"files": checksums})
        os.rename(making, place)
        log.info("shared in %s", place)
    except OSError as error:  # also where somebody else has shared the same meanwhile
        if not place.exists():
            log.warning("not shared (%s: %s)", VARIABLE, error)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _place(root: str, kind: str, key: str) -> Path:
    return Path(root).expanduser() / kind / key[:2] / key
