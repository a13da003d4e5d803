"""One file out of an archive, without unpacking anything to a disk."""

import tarfile
import zipfile
from pathlib import Path

MEMBER_BYTES = 1 << 30  # unpacked; more than any corpus here has


class ArchiveError(Exception):
    """An archive that is broken, or lacks the file, or holds more than it may."""


def read_member(archive: Path, member: str, limit_bytes: int = MEMBER_BYTES) -> bytes:
    """The bytes of the file called `member` in a .zip or .tar(.gz, .xz) archive.

    Only this member is read, into memory: names with ``..`` or links in the archive can reach no file of this machine,
    and a member that unpacks to more than `limit_bytes` is refused, whatever size the archive states for it.

    Raises:
        ArchiveError: no archive, no such regular file in it, damaged, or too large.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened, opened.open(member) as handle:
                data = handle.read(limit_bytes + 1)
        else:
            with tarfile.open(archive) as unpacked:
                info = unpacked.getmember(member)
                stream = unpacked.extractfile(info) if info.isfile() else None  # not through links
                if stream is None:
                    raise ArchiveError(f"{archive}: {member!r} is not a regular file")
                data = stream.read(limit_bytes + 1)
    except KeyError:
        raise ArchiveError(f"{archive} holds no file {member!r}") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, OSError) as error:
        raise ArchiveError(f"{archive} cannot be read as an archive ({error})") from error
    if len(data) > limit_bytes:
        raise ArchiveError(f"{archive}: {member!r} unpacks to more than {limit_bytes:,} bytes; that is not this corpus")
    return data
