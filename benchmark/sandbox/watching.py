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

Stop = Literal["", "time", "memory", "processes", "output"]
MEGABYTE = 1_000_000
MOST_FILES = 200_000
"""Files and folders a command may leave in its scratch folder."""
DEEPEST = 64
"""Folders inside each other in the scratch folder."""
_SPARE = 256 * MEGABYTE
"""Memory and disk that are left to the machine: what no process owns (deleted files, memory files) is seen only there."""
_WALK_SHARE = 5
"""Counting files takes at most one part in so many of the time."""


@dataclass(frozen=True)
class Usage:
    """What the processes use at a moment.

    Attributes:
        processes: processes and threads.
        memory: bytes of resident memory of all of them.
    """

    processes: int
    memory: int


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

    Args:
        pid: of the process that was started.
        scratch: the folder it writes to; what is there already does not count.
        limits: what it may use.
    """

    def __init__(self, pid: int, scratch: Path, limits: Limits) -> None:
        self.peak = 0
        self.seen: set[psutil.Process] = set()
        self._pid, self._scratch, self._limits = pid, scratch, limits
        self._started, self._next_walk = time.monotonic(), 0.0
        self._before = written(scratch)

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def check(self) -> Stop:
        """The limit that is broken, or nothing."""
        if self.seconds > self._limits.seconds:  # first: a busy machine takes long to answer the rest
            return "time"
        alive = descendants(self._pid)
        self.seen.update(alive)
        now = usage(alive)
        if now.processes > self._limits.processes:
            return "processes"
        if now.memory > self._limits.memory_mb * MEGABYTE:
            now = Usage(now.processes, shared_once(alive))
        self.peak = max(self.peak, now.memory)
        if now.memory > self._limits.memory_mb * MEGABYTE or psutil.virtual_memory().available < _SPARE:
            return "memory"
        return "output" if self._too_much_written() else ""

    def _too_much_written(self) -> bool:
        started = time.monotonic()
        if started < self._next_walk:
            return False
        now = written(self._scratch)
        self._next_walk = time.monotonic() + (_WALK_SHARE - 1) * (time.monotonic() - started)
        size, files = now.size - self._before.size, now.files - self._before.files
        full = shutil.disk_usage(self._scratch).free < _SPARE
        return full or size > self._limits.output_mb * MEGABYTE or files > MOST_FILES or now.depth > DEEPEST

    def written_too_much(self) -> bool:
        """The last look, when the command has ended by itself."""
        self._next_walk = 0.0
        return self._too_much_written()


def descendants(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it, as far as they still do."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def usage(processes: list[psutil.Process]) -> Usage:
    """Cheap: memory that several processes share counts several times."""
    count = memory = 0
    for process in processes:
        with suppress(psutil.Error), process.oneshot():
            count += process.num_threads()
            memory += process.memory_info().rss
    return Usage(count, memory)


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
