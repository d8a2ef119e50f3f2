"""The watchdog: looks at what a command uses, several times a second, and says which limit it broke."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from benchmark.entrants.described import Limits
from benchmark.errors import EnvironmentProblem
from benchmark.files import one_line
from benchmark.sandbox.adopting import Orphans

Stop = Literal["", "time", "memory", "processes", "output"]
MEGABYTE = 1_000_000
MOST_FILES = 200_000
"""Files and folders a command may leave in its scratch folder."""
DEEPEST = 64
"""Folders inside each other in the scratch folder."""
_SPARE_MEMORY = _SPARE_DISK = 256 * MEGABYTE
"""Memory and disk that are left to the machine."""
_SHARE = 0.8
"""Part of what the machine has free that a command may take, whatever its limits say."""
_WALK_SHARE = 5
"""Counting files takes at most one part in so many of the time."""


@dataclass(frozen=True)
class Usage:
    """What the processes use at a moment.

    Attributes:
        processes: processes and threads.
        memory: bytes of resident memory of all of them.
        shared: the part of it that is mapped files, on disk or in memory.
    """

    processes: int
    memory: int
    shared: int


@dataclass(frozen=True)
class Room:
    """What the machine has at a moment, in bytes.

    Attributes:
        disk: free where the scratch folder is.
        memory: that programs could get.
        shared: memory that is in use without belonging to a process, such as segments of System V.
    """

    disk: int
    memory: int
    shared: int


@dataclass(frozen=True)
class Held:
    """Files without a name that processes hold open, in bytes.

    Attributes:
        disk: of deleted files on the disk of the scratch folder.
        memory: of files in memory.
    """

    disk: int = 0
    memory: int = 0


@dataclass(frozen=True)
class Written:
    """What a folder holds.

    Attributes:
        size: bytes on disk.
        files: files and folders.
        depth: folders inside each other.
    """

    size: int = 0
    files: int = 0
    depth: int = 0


class Watch:
    """Holds one command against its limits.

    Not seen is what belongs to no process and has no name: files that are mapped and closed, or under way from one
    process to another. It ends with the command; until then the machine keeps something to spare.

    Args:
        pid: of the process that was started.
        scratch: the folder it writes to; what is there already does not count.
        limits: what it may use.
        orphans: of its processes those that lost their parents.
        start: what the machine had before.
    """

    def __init__(self, pid: int, scratch: Path, limits: Limits, orphans: Orphans, start: Room) -> None:
        self.peak = 0
        self.seen: set[psutil.Process] = set()
        self._pid, self._scratch, self._limits, self._orphans, self._start = pid, scratch, limits, orphans, start
        self._started, self._next_walk = time.monotonic(), 0.0
        self._before, self._held = written(scratch), Held()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def check(self) -> Stop:
        """The limit that is broken, or nothing.

        Raises:
            EnvironmentProblem: memory or disk of the machine are used up, and not by the command.
        """
        if self.seconds > self._limits.seconds:  # first: a busy machine takes long to answer the rest
            return "time"
        alive = [*descendants(self._pid), *self._orphans.found(self._pid)]
        self.seen.update(alive)
        now = usage(alive)
        if now.processes > self._limits.processes:
            return "processes"
        return "memory" if self._too_much_memory(now, alive) else "output" if self._too_much_written(alive) else ""

    def _too_much_memory(self, now: Usage, alive: list[psutil.Process]) -> bool:
        most = self._limits.memory_mb * MEGABYTE
        memory = shared_once(alive) if now.memory > most else now.memory
        memory += max(0, self._held.memory - now.shared)  # what of it is mapped was counted
        self.peak = max(self.peak, memory)
        room = room_of(self._scratch)
        if memory > most or room.memory >= _SPARE_MEMORY:
            return memory > most
        taken, gone = max(memory, room.shared - self._start.shared), self._start.memory - room.memory
        if to_blame(taken, gone, _SPARE_MEMORY):
            return True
        raise EnvironmentProblem(
            f"the memory of this machine is used up: {room.memory // MEGABYTE} MB are left, and the command has only "
            f"{taken // MEGABYTE} MB; end other programs and run again"
        )

    def _too_much_written(self, alive: list[psutil.Process]) -> bool:
        started = time.monotonic()
        if started < self._next_walk:
            return False
        now, self._held = written(self._scratch), held(alive, self._scratch)
        self._next_walk = time.monotonic() + (_WALK_SHARE - 1) * (time.monotonic() - started)
        size, files = now.size - self._before.size + self._held.disk, now.files - self._before.files
        if size > self._limits.output_mb * MEGABYTE or files > MOST_FILES or now.depth > DEEPEST:
            return True
        free = room_of(self._scratch).disk
        return free < _SPARE_DISK and self._disk_is_full(size, free)

    def _disk_is_full(self, size: int, free: int) -> bool:
        if to_blame(size, self._start.disk - free, _SPARE_DISK):
            return True
        raise EnvironmentProblem(_full_disk(self._scratch, free, f", and the command wrote only {size // MEGABYTE} MB"))

    def written_too_much(self) -> bool:
        """The last look, when the command has ended by itself."""
        self._next_walk = 0.0
        return self._too_much_written([])


def to_blame(taken: int, gone: int, spare: int) -> bool:
    """Whether a command that took so many bytes is to blame for a machine of which so many are gone since it began."""
    return taken >= spare and 2 * taken >= gone


def room_of(folder: Path) -> Room:
    """What the machine has now; ``folder`` says on which disk."""
    memory = psutil.virtual_memory()
    return Room(shutil.disk_usage(folder).free, memory.available, int(getattr(memory, "shared", 0)))


def affordable(limits: Limits, folder: Path, room: Room) -> Limits:
    """The limits, no wider than the machine can bear.

    Raises:
        EnvironmentProblem: it has hardly anything left.
    """
    if room.disk < _SPARE_DISK:
        raise EnvironmentProblem(_full_disk(folder, room.disk))
    if room.memory < _SPARE_MEMORY:
        raise EnvironmentProblem(
            f"the memory of this machine is used up: {room.memory // MEGABYTE} MB are left; end other programs"
        )
    memory = min(limits.memory_mb, _SHARE * room.memory / MEGABYTE)
    output = min(limits.output_mb, _SHARE * room.disk / MEGABYTE)
    return limits.model_copy(update={"memory_mb": memory, "output_mb": output})


def _full_disk(folder: Path, free: int, more: str = "") -> str:
    return (
        f"the disk of {one_line(folder.parent)} is full: {free // MEGABYTE} MB are free{more}; free some space there, or "
        "set TMPDIR to a folder on another disk"
    )


def held(processes: list[psutil.Process], folder: Path) -> Held:
    """Files that were deleted and are still open, which no walk through folders finds; each counts once."""
    device, sizes = folder.stat().st_dev, dict[tuple[int, int], tuple[bool, int]]()
    for process in processes:
        for path in _nameless(process.pid):
            with suppress(OSError):
                status = path.stat()
                sizes[status.st_dev, status.st_ino] = (status.st_dev == device, status.st_blocks * 512)
    return Held(
        sum(size for on_disk, size in sizes.values() if on_disk),
        sum(size for on_disk, size in sizes.values() if not on_disk),
    )


def _nameless(pid: int) -> Iterator[Path]:
    """Open files of a process that have no name any more, where the system tells."""
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as found:
        for entry in found:
            with suppress(OSError):
                if str(Path(entry.path).readlink()).endswith(" (deleted)"):
                    yield Path(entry.path)


def descendants(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it, as far as they still do."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def usage(processes: list[psutil.Process]) -> Usage:
    """Cheap: memory that several processes share counts several times."""
    count = memory = shared = 0
    for process in processes:
        with suppress(psutil.Error), process.oneshot():
            count += process.num_threads()
            resident = process.memory_info()
            memory += resident.rss
            shared += getattr(resident, "shared", 0)
    return Usage(count, memory, shared)


def shared_once(processes: list[psutil.Process]) -> int:
    """Bytes of resident memory in which shared memory counts once, where the system tells."""
    return sum(_proportional(process) for process in processes)


def _proportional(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        try:
            full: Any = process.memory_full_info()
            return int(getattr(full, "pss", full.uss))
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
    return 0


def written(folder: Path) -> Written:
    """What a folder holds, without following links, and no further than the limits on number and depth."""
    size = files = depth = 0
    for found, status in _entries(folder):
        size, files, depth = size + status.st_blocks * 512, files + 1, max(depth, found)
        if files > 2 * MOST_FILES:
            break
    return Written(size, files, depth)


def _entries(folder: Path) -> Iterator[tuple[int, os.stat_result]]:
    """Depth and status of everything below a folder; a folder that was closed to us counts, its content does not."""
    pending = [(1, str(folder))]
    while pending:
        depth, path = pending.pop()
        with suppress(OSError), os.scandir(path) as found:
            for entry in found:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    yield depth, status
                    if stat.S_ISDIR(status.st_mode) and depth <= DEEPEST:
                        pending.append((depth + 1, entry.path))
