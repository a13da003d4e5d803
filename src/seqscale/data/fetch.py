"""The pinned files of config/datasets.yaml: from the mirror folder if they are there, else from their address."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqscale.data.archives import ArchiveError, read_member
from seqscale.data.corpora import DataError
from seqscale.data.download import DownloadError, download

DOWNLOADS = Path("results/downloads")


@dataclass(frozen=True)
class PinnedFile:
    """A file of which every byte is known.

    Attributes:
        path: where it lies below the mirror folder (and below the folder of downloads).
        sha256: of its bytes; of the archive's where it is one.
        url: its public address; None for a file that has none.
        member: the file wanted inside the archive at `path`.
    """

    path: str
    sha256: str
    url: str | None = None
    member: str | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PinnedFile":
        return cls(**{**values, "sha256": values["sha256"].lower()})

    def in_mirror(self, mirror: str | None) -> Path | None:
        """The mirror's copy, if it has one."""
        place = Path(mirror).expanduser() / self.path if mirror else None
        return place if place is not None and place.is_file() else None

    def locate(self, mirror: str | None, downloads: Path = DOWNLOADS) -> Path:
        """The file on this machine, verified: the mirror's copy, or one downloaded now or earlier.

        Raises:
            DataError: it is in neither place, or has the wrong bytes; the message names both.
        """
        here = self.in_mirror(mirror)
        if here is not None:
            self._verify(here)
            return here
        looked = f"not in the mirror folder ({Path(mirror).expanduser() / self.path})" if mirror else "no mirror is set"
        advice = f"Put it at {self.path} in a folder and name that: `data: {{mirror: FOLDER}}` or SEQSCALE_MIRROR"
        if self.url is None:
            raise DataError(f"{self.path}: {looked}, and it has no public address to download from. {advice}.")
        target = downloads / self.path
        if not target.resolve().is_relative_to(downloads.resolve()):
            raise DataError(f"{self.path}: a download must lie below {downloads}, and this path leads out of it.")
        try:
            return download(self.url, target, self.sha256)
        except DownloadError as error:
            raise DataError(f"{self.path}: {looked}, and the download failed: {error}. {advice}.") from error

    def read(self, mirror: str | None, downloads: Path = DOWNLOADS) -> bytes:
        """Its bytes; for an archive, those of the member.

        Raises:
            DataError: as `locate`, or the archive lacks the member.
        """
        place = self.locate(mirror, downloads)
        if self.member is None:
            return place.read_bytes()
        try:
            return read_member(place, self.member)
        except ArchiveError as error:
            raise DataError(str(error)) from error

    def _verify(self, place: Path) -> None:
        digest, size = hashlib.sha256(), 0
        with open(place, "rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
                size += len(block)
        if digest.hexdigest() != self.sha256:
            raise DataError(
                f"{place} has the wrong checksum: sha256 {digest.hexdigest()}, expected {self.sha256} ({size:,} bytes "
                "read). The file is damaged or another version: fetch it anew, or remove it so that it is downloaded."
            )


def pinned_files(spec: dict[str, Any]) -> list[PinnedFile]:
    """All pinned files of a dataset's entry: those of its text and those of its tokenizer."""
    entries = [*spec.get("files", {}).values(), *spec.get("tokenizer_files", {}).values()]
    return [PinnedFile.from_dict(entry) for entry in entries]


def joint_checksum(spec: dict[str, Any]) -> str:
    """One SHA-256 for a corpus of several files: that of their checksums, in order."""
    sums = [PinnedFile.from_dict(entry).sha256 for entry in spec["files"].values()]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()
