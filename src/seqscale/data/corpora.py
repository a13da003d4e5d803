"""Raw text, with its bytes verified. Knows where each kind of corpus comes from and nothing of tokens."""

import hashlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class DataError(ValueError):
    """A corpus that is missing, empty, damaged or unsuited; the message says what to do."""


@dataclass(frozen=True)
class RawText:
    """A corpus as text, with the SHA-256 of the bytes it came from and where they lay."""

    text: str
    sha256: str
    origin: str


def pydoc_topics() -> RawText:
    """The documentation topics of this Python, joined in sorted order: English text that needs no network.

    About 465,000 characters, about 103 different; the exact text depends on the Python version, which is why its
    checksum is part of every result.
    """
    from pydoc_data.topics import topics

    text = "\n\n".join(inspect.cleandoc(topics[name]) for name in sorted(topics))
    return RawText(text, hashlib.sha256(text.encode()).hexdigest(), "pydoc_data.topics of the running Python")


def find_file(path: str, mirror: str | None) -> Path:
    """The file at `path` in the mirror folder, or as given.

    Raises:
        DataError: neither exists; names every place looked at.
    """
    places = [Path(mirror).expanduser() / path] if mirror else []
    places.append(Path(path).expanduser())
    for place in places:
        if place.is_file():
            return place
    looked = " nor ".join(f"at {place}" for place in places)
    raise DataError(
        f"there is no text file {looked}. Correct the path in the config, or put the file there"
        + ("." if mirror else ", or name a folder of local copies: `data: {mirror: FOLDER}` or SEQSCALE_MIRROR=FOLDER.")
    )


def text_file(path: str, sha256: str | None, mirror: str | None) -> RawText:
    """A UTF-8 text file, refused if its bytes are not those that `sha256` (where given) promises.

    Raises:
        DataError: the file is missing, not UTF-8, or has another checksum.
    """
    place = find_file(path, mirror)
    data = place.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise DataError(
            f"{place} has the wrong checksum: sha256 {found}, expected {sha256} ({len(data):,} bytes read). "
            "The file is damaged or another version: fetch it anew, or correct `sha256` if the new bytes are right."
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{place} is not UTF-8 text (byte {error.start}: {error.reason}). "
            "Convert it, for example with `iconv -f latin1 -t utf-8`."
        ) from error
    return RawText(text, found, str(path))


def load(spec: dict[str, Any], mirror: str | None) -> RawText:
    """The raw text that an entry of datasets.yaml names (kinds `pydoc_topics` and `text`)."""
    if spec["kind"] == "pydoc_topics":
        return pydoc_topics()
    return text_file(spec["path"], spec.get("sha256"), mirror)
