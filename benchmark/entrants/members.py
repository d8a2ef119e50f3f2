"""What is inside a zip or tar archive, one member after another, with memory that does not depend on the archive.

Nothing is believed that an archive says about itself: bytes are counted as they are read, and lists and headers are
read within bounds.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from bz2 import BZ2File
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, ValueError, LookupError, ArithmeticError, NotImplementedError, RecursionError, MemoryError,
)  # fmt: skip
"""What the readers are known to raise on damaged archives; so is an ``OSError`` without a number."""
HEADERS = 1 << 14
"""Bytes of a tar archive that may pass between the contents of two members; tarfile takes long to parse long ones."""
PADDING = 1 << 20
"""Zeros that may follow the last member of a tar archive."""
_BLOCKS = 1 << 13
"""Bytes that are read of a tar archive at a time."""
XZ_MEMORY = 256 << 20
"""Bytes of memory that unpacking xz may take; its highest preset needs 65 MiB."""
_LISTED = 160
"""Bytes per member of the list at the end of a zip archive: 46, its name, and a few further fields."""

Kind = Literal["file", "folder"]
Opened = Callable[[Path], io.BufferedIOBase]


class Refused(Exception):
    """A member, or the archive as a whole, breaks a rule.

    Args:
        rule: what is wrong, as the end of a sentence that starts with the member.
        member: its name; empty for the archive as a whole.
    """

    def __init__(self, rule: str, member: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.member = member


@dataclass(frozen=True)
class Member:
    """One member of an archive.

    Attributes:
        name: as the archive says it.
        kind: the two kinds that are unpacked.
        size: the bytes it declares to have; no more can be read from it.
        packed: the bytes it takes in the archive; None where that cannot be said, as in a compressed tar.
        open: opens its content; to be used before the next member is asked for.
    """

    name: str
    kind: Kind
    size: int
    packed: int | None
    open: Callable[[], IO[bytes]]


def zip_members(path: Path, most: int) -> Iterator[Member]:
    """The members of a zip archive, in its order.

    Args:
        path: the archive.
        most: members that are allowed; it bounds what is read of the archive's list of members.

    Raises:
        Refused: a member may not be unpacked.
    """
    longest = max(1 << 17, _LISTED * most)
    with _BoundedReads(path, longest) as file, zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        _check_overlap(infos, archive.start_dir)
        for info in infos:
            _check_zip_info(info)
            kind: Kind = "folder" if info.orig_filename.endswith("/") else "file"
            yield Member(info.orig_filename, kind, info.file_size, info.compress_size, partial(archive.open, info))


class _BoundedReads(io.BufferedReader):
    """A file that refuses to be read in one large piece, as a list of members of a false length would be."""

    def __init__(self, path: Path, longest: int) -> None:
        super().__init__(io.FileIO(path))
        self.longest = longest

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.longest:
            raise Refused(f"has a list of members of {size} bytes, more than {self.longest}")
        return super().read(size)


def _check_overlap(infos: list[zipfile.ZipInfo], end: int) -> None:
    """Members that share bytes make a bomb of a small archive."""
    starts = sorted((info.header_offset, 30 + info.compress_size, info.orig_filename) for info in infos)
    following = [start for start, _, _ in starts[1:]] + [end]
    for (start, length, name), limit in zip(starts, following, strict=False):
        if start < 0 or start + length > limit:
            raise Refused("shares bytes with another member", name)


def _check_zip_info(info: zipfile.ZipInfo) -> None:
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 0x2041:
        raise Refused("is encrypted", name)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Refused("is a link or device, not an ordinary file", name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused("is compressed by another method than deflate", name)


def tar_members(path: Path, opened: Opened, check: Callable[[int], None]) -> Iterator[Member]:
    """The members of a tar archive, in its order.

    Args:
        path: the archive.
        opened: opens and decompresses it, see ``TARS``.
        check: told how many bytes were decompressed so far, after every piece of them.

    Raises:
        Refused: a member may not be unpacked, or the archive ends too early or too late.
    """
    end = 0
    with opened(path) as plain:
        stream = _Stream(plain, check)
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCKS, encoding="utf-8") as archive:
            while (info := archive.next()) is not None:
                _check_tar_info(info)
                stream.allowed = stream.position + info.size + HEADERS
                kind: Kind = "folder" if info.isdir() else "file"
                yield Member(info.name, kind, info.size, None, partial(_content, archive, info))
                archive.members = []  # type: ignore[attr-defined]  # they would all be kept
                end = info.offset_data + -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        stream.finish(end)


def _check_tar_info(info: tarfile.TarInfo) -> None:
    if info.islnk() or info.issym():
        raise Refused("is a link, not an ordinary file", info.name)
    if info.issparse() or info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        raise Refused("is a device, a pipe or the like, not an ordinary file", info.name)
    if info.size < 0 or (info.size and info.isdir()):
        raise Refused("has a size that cannot be", info.name)


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(info)
    assert content is not None  # of ordinary files there is one
    return content


class _Stream(io.RawIOBase):
    """The decompressed bytes of a tar archive, read once from the start, counted and bounded."""

    def __init__(self, plain: io.BufferedIOBase, check: Callable[[int], None]) -> None:
        self.plain = plain
        self.check = check
        self.position = 0
        self.allowed = HEADERS
        self.content_end = 0
        """Where the last byte was that is not zero."""

    def read(self, size: int = -1, /) -> bytes:
        data = self.plain.read(size)
        kept = len(data.rstrip(b"\0"))
        if kept:
            self.content_end = self.position + kept
        self.position += len(data)
        self.check(self.position)
        if self.position > self.allowed:
            raise Refused(f"has headers of more than {HEADERS} bytes, or more than {PADDING} behind its last member")
        return data

    def finish(self, end: int) -> None:
        """Reads what is left, so that check sums are looked at: nothing but zeros, and at least one block of them."""
        self.allowed = self.position + PADDING
        while self.read(_BLOCKS):
            pass
        if self.position < end + tarfile.BLOCKSIZE:
            raise Refused("ends too early: it is cut off")
        if self.content_end > end:
            raise Refused("is damaged, or holds something else behind its last member")


class _Unxz(io.RawIOBase):
    """Decompresses one xz stream within bounded memory."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = b""
        while not data and not self.decoder.eof:
            more = self.file.read(1 << 16) if self.decoder.needs_input else b""
            if self.decoder.needs_input and not more:
                raise EOFError("the xz stream is cut off")
            data = self.decoder.decompress(more, len(view))
        if not data and (self.decoder.unused_data.strip(b"\0") or self.file.read(1 << 16).strip(b"\0")):
            raise ValueError("something follows the xz stream")
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()


def _xz(path: Path) -> io.BufferedIOBase:
    return io.BufferedReader(_Unxz(path), 1 << 16)


TARS: dict[str, Opened] = {
    ".tar": lambda path: path.open("rb"),
    ".tar.gz": gzip.GzipFile,
    ".tgz": gzip.GzipFile,
    ".tar.xz": _xz,
    ".tar.bz2": BZ2File,
}
"""How tar archives are opened, by the end of their names."""
