"""One member out of an archive: right, absent, hostile."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from seqscale.data.archives import ArchiveError, read_member

TEXT = b"one line\n" * 100


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_the_member_is_read_and_nothing_is_written(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    archive = make(tmp_path / "archive", {"../../outside.txt": b"evil", "folder/a.txt": TEXT})
    assert read_member(archive, "folder/a.txt") == TEXT
    assert os.listdir(tmp_path) == ["archive"]


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_what_is_not_there(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ArchiveError, match=r"holds no file 'b\.txt'"):
        read_member(make(tmp_path / "archive", {"a.txt": TEXT}), "b.txt")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_member_that_swells_is_refused(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    archive = make(tmp_path / "archive", {"a.txt": bytes(200_000)})
    assert archive.stat().st_size < 2000
    with pytest.raises(ArchiveError, match="more than 100,000 bytes"):
        read_member(archive, "a.txt", limit_bytes=100_000)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("a.txt")
        info.type, info.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(info)
    with pytest.raises(ArchiveError, match="not a regular file"):
        read_member(tmp_path / "a.tar", "a.txt")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_damaged_archive(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A flipped bit in a zip; a tar cut short (what a flipped bit does to it, the archive's checksum has told)."""
    archive = make(tmp_path / "archive", {"a.txt": os.urandom(5000)})
    data = bytearray(archive.read_bytes())
    data[2000] ^= 0xFF
    archive.write_bytes(data if make is make_zip else data[:2000])
    with pytest.raises(ArchiveError, match="cannot be read as an archive"):
        read_member(archive, "a.txt")


def test_something_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("<html>")
    with pytest.raises(ArchiveError, match="cannot be read as an archive"):
        read_member(tmp_path / "a", "a.txt")
