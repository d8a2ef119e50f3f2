"""Where there is no namespace: processes that leave the family of a command come back to the harness, and are ended."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

_SET, _GET = 36, 37
"""``PR_SET_CHILD_SUBREAPER`` and ``PR_GET_CHILD_SUBREAPER`` of Linux."""
_one_at_a_time = threading.Lock()


class Orphans:
    """Processes that come of a command and have lost their parents.

    A command begins a session of its own, and nothing that comes of it can get into ours: that, and what was there
    before, tells its orphans from our own children.
    """

    def __init__(self) -> None:
        self._ours, self._before = os.getsid(0), set(psutil.Process().children())
        self._known: set[psutil.Process] = set()

    def found(self, pid: int) -> list[psutil.Process]:
        """Those that live now, with all that descends from them; ``pid`` is the command itself, which is none."""
        family: list[psutil.Process] = []
        for child in psutil.Process().children():
            with suppress(psutil.Error, OSError):
                if child.pid != pid and child not in self._before and os.getsid(child.pid) != self._ours:
                    self._known.add(child)
                    family += [child, *child.children(recursive=True)]
        return family

    def reap(self) -> None:
        """Takes note of the end of those that were found, so that no zombies are left."""
        for child in self._known:
            with suppress(OSError):
                os.waitpid(child.pid, os.WNOHANG)


class Nobody(Orphans):
    """Where the kernel ends everything with the namespace, and where orphans cannot be had."""

    def found(self, pid: int) -> list[psutil.Process]:
        """Nobody."""
        return []


@contextmanager
def adopting(wanted: bool) -> Iterator[Orphans]:
    """Makes this process the parent of all orphans among its descendants, as init is, on Linux.

    One command at a time, so that what is adopted belongs to it.

    Args:
        wanted: False does nothing.
    """
    if not wanted or sys.platform != "linux":
        yield Nobody()
        return
    system, before = ctypes.CDLL(None), ctypes.c_int()
    with _one_at_a_time:
        system.prctl(_GET, ctypes.byref(before), 0, 0, 0)
        system.prctl(_SET, 1, 0, 0, 0)
        try:
            yield Orphans()
        finally:
            system.prctl(_SET, before.value, 0, 0, 0)
