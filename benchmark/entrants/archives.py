"""A stranger's archive to a folder: nothing lands outside it, nothing in it is a link, and it fits on the disk.

An archive that breaks one rule is refused as a whole. The rules are those of ``Limits``, of ``check_name``, and these:
ordinary files and folders alone, every name once (also where upper and lower case are the same), nothing encrypted, no
bytes shared by two members, check sums right, nothing cut off.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from benchmark.entrants.described import FILE
from benchmark.entrants.members import DAMAGE, TARS, Member, Refused, tar_members, zip_members
from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.files import one_line
from benchmark.hashing import sha256_file

SUFFIXES = (".zip", *TARS)
"""Ends of the names of archives that can be unpacked."""
_CHUNK = 1 << 16
_REMEDY = "Make it anew with: anonbench pack DIR --zip FILE"


@dataclass(frozen=True)
class Limits:
    """What an archive may be, at most."""

    members: int = 200_000
    """Files and folders."""
    member_bytes: int = 64 * 10**6
    """Bytes of a file."""
    total_bytes: int = 20 * 10**9
    """Bytes of all files together."""
    ratio: int = 200
    """Bytes that come out of one byte of the archive, or of a member of a zip."""
    free_bytes: int = 10**6
    """Bytes up to which no ratio is looked at: little files of one colour shrink a lot."""
    name_bytes: int = 200
    depth: int = 3
    """Folders and file of a path."""


LIMITS = Limits()


def suffix_of(path: Path) -> str:
    """Which of ``SUFFIXES`` a name ends with; empty for none."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def unpacked(archive: Path, into: Path, limits: Limits = LIMITS) -> Path:
    """Unpacks an archive once; a second call finds the folder.

    Args:
        archive: ``.zip``, ``.tar``, ``.tar.gz``, ``.tgz``, ``.tar.xz`` or ``.tar.bz2`` with an ``entrant.toml``.
        into: where folders are kept under the sha256 of their archives.
        limits: what is allowed.

    Returns:
        The folder with ``entrant.toml``: the archive's top, or the one folder that all its members are in.

    Raises:
        UsageError: the archive breaks a rule; nothing of it is kept.
        EnvironmentProblem: the disk is full or a folder cannot be written.
    """
    return kept(archive, into, limits)[0]


def kept(archive: Path, into: Path, limits: Limits = LIMITS, anew: bool = False) -> tuple[Path, bool]:
    """``unpacked``, and whether the folder was there already.

    Args:
        archive: see ``unpacked``.
        into: see ``unpacked``.
        limits: see ``unpacked``.
        anew: takes away first what an earlier call unpacked.

    Raises:
        UsageError: the archive breaks a rule; nothing of it is kept.
        EnvironmentProblem: the disk is full or a folder cannot be written.
    """
    name = _checked_name(archive)
    try:
        into.mkdir(parents=True, exist_ok=True)
        target = into / sha256_file(archive)
        with FileLock(into / f".{target.name}.lock"):
            found = _whole(target) and not anew
            if not found:
                shutil.rmtree(target, ignore_errors=True)
                _unpack(archive, target, limits)
        return _top(target), found
    except Refused as error:
        member = f"'{one_line(error.member)[:200]}' " if error.member else ""
        raise UsageError(f"{name}: {member}{error.rule}. {_REMEDY}") from error
    except OSError as error:
        raise EnvironmentProblem(
            f"{name} cannot be unpacked into {into} ({error.strerror}); free some space or mend the permissions"
        ) from error


def _checked_name(archive: Path) -> str:
    name = one_line(archive)
    if not archive.exists():
        raise UsageError(f"{name} does not exist; check the path")
    if not suffix_of(archive) or not archive.is_file():
        raise UsageError(f"{name} is no archive; name a file that ends in {', '.join(SUFFIXES)}")
    return name


def _whole(folder: Path) -> bool:
    """Whether an archive was unpacked there, and its description is still in it."""
    try:
        return folder.is_dir() and _top(folder).is_dir()
    except Refused:
        return False


def _unpack(archive: Path, target: Path, limits: Limits) -> None:
    """Makes ``target`` whole or not at all; what a killed run left is taken away first."""
    half = target.with_name(f".part-{target.name}")
    shutil.rmtree(half, ignore_errors=True)
    try:
        half.mkdir()
        with _damage_refused():
            unpacking = _Unpacking(half, archive.stat().st_size, limits)
            for member in _members(archive, limits, unpacking):
                unpacking.take(member)
        _top(half)
        half.rename(target)
    finally:
        shutil.rmtree(half, ignore_errors=True)


@contextlib.contextmanager
def _damage_refused() -> Iterator[None]:
    """Turns whatever a reader raises on damaged bytes into a refusal; errors of the disk have a number and pass."""
    try:
        yield
    except DAMAGE as error:
        raise Refused(f"is damaged or cut off ({one_line(error)[:200]})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise Refused(f"is damaged or cut off ({one_line(error)[:200]})") from error


def _members(archive: Path, limits: Limits, unpacking: _Unpacking) -> Iterator[Member]:
    suffix = suffix_of(archive)
    if suffix == ".zip":
        return zip_members(archive, limits.members)
    return tar_members(archive, TARS[suffix], unpacking.check_whole)


def _top(folder: Path) -> Path:
    """Where ``entrant.toml`` is."""
    if (folder / FILE).is_file():
        return folder
    inside = list(folder.iterdir())
    if len(inside) == 1 and (inside[0] / FILE).is_file():
        return inside[0]
    raise Refused(f"has no {FILE} at its top, nor in one folder that holds everything")


def parts_of(name: str, limits: Limits = LIMITS) -> tuple[str, ...]:
    """The folders and the file of a member's name, without ``.`` and doubled or final slashes.

    Raises:
        Refused: the name breaks a rule.
    """
    rules = (
        (not name.isprintable(), "has a name with characters that cannot be printed"),
        (len(name.encode(errors="replace")) > limits.name_bytes, f"has a name of more than {limits.name_bytes} bytes"),
        ("\\" in name, "has a name with a backslash"),
        (name.startswith("/"), "has an absolute name"),
        (".." in name.split("/"), "has a name with '..'"),
        (re.search(r"(^|/)[A-Za-z]:", name), "has a name with a drive letter"),
    )
    for broken, rule in rules:
        if broken:
            raise Refused(rule, name)
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if len(parts) > limits.depth:
        raise Refused(f"lies deeper than {limits.depth} levels", name)
    return parts


@dataclass
class _Unpacking:
    """An archive that is being unpacked, and what was taken from it so far."""

    folder: Path
    packed: int
    limits: Limits
    written: int = 0
    count: int = 0
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def take(self, member: Member) -> None:
        """Writes one member."""
        self.count += 1
        if self.count > self.limits.members:
            raise Refused(f"has more than {self.limits.members} members")
        parts = parts_of(member.name, self.limits)
        if not parts and member.kind == "file":
            raise Refused("has a member without a name")
        self._claim(parts, member)
        if member.kind == "file":
            target = self.folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._write(member, target)

    def _claim(self, parts: tuple[str, ...], member: Member) -> None:
        """Remembers a name; no two may be one on a system that does not tell upper from lower case."""
        names = ["/".join(_folded(part) for part in parts[:end]) for end in range(1, len(parts) + 1)]
        above, own = (names[:-1], names[-1:]) if member.kind == "file" else (names, [])
        if any(name in self.files or name in self.folders for name in own):
            raise Refused("is there twice, or differs from another member in upper and lower case alone", member.name)
        if any(name in self.files for name in above):
            raise Refused("has the name of another member as its folder", member.name)
        self.files.update(own)
        self.folders.update(above)

    def _write(self, member: Member, target: Path) -> None:
        size = 0
        if member.size > self.limits.member_bytes:
            raise Refused(f"has more than {self.limits.member_bytes} bytes", member.name)
        with member.open() as source, target.open("xb") as file:
            while data := source.read(_CHUNK):
                size += len(data)
                self.written += len(data)
                self._check_sizes(member, size)
                file.write(data)
        if size != member.size:
            raise Refused(f"has {size} bytes where the archive says {member.size}", member.name)

    def _check_sizes(self, member: Member, size: int) -> None:
        if size > self.limits.member_bytes:
            raise Refused(f"has more than {self.limits.member_bytes} bytes", member.name)
        if member.packed is not None and self._is_bomb(size, member.packed):
            raise Refused(f"grows to more than {self.limits.ratio} times its packed size", member.name)
        self.check_whole(self.written)

    def check_whole(self, size: int) -> None:
        """Holds what came out of the archive so far against the limits.

        Raises:
            Refused: it is too much.
        """
        if size > self.limits.total_bytes:
            raise Refused(f"unpacks to more than {self.limits.total_bytes} bytes")
        if self._is_bomb(size, self.packed):
            raise Refused(f"grows to more than {self.limits.ratio} times its packed size")

    def _is_bomb(self, size: int, packed: int) -> bool:
        return size > self.limits.free_bytes and size > self.limits.ratio * packed


def _folded(part: str) -> str:
    return unicodedata.normalize("NFKC", part).casefold()
