"""Ends everything that a command started, and clears away what it left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from benchmark.errors import EnvironmentProblem
from benchmark.sandbox.adopting import Orphans
from benchmark.sandbox.watching import descendants

_PATIENCE = 20.0
"""Seconds until processes that were killed are gone, on a machine that is busy."""


def end_all(
    started: subprocess.Popen[bytes], seen: Iterable[psutil.Process], home: Path, orphans: Orphans, hidden: bool
) -> None:
    """Kills a command, its group and whatever descends from it.

    Args:
        started: the process that was started, leader of its group. It goes first: where there is a namespace, the
            kernel then kills all that is in it.
        seen: processes that descended from it at some time.
        home: the ``HOME`` of the command, by which its processes are known where orphans cannot be had.
        orphans: those of it that lost their parents.
        hidden: whether there is no namespace, so that a daemon may have left the family of the command.

    Raises:
        EnvironmentProblem: something does not end.
    """
    suspects = {*seen, *descendants(started.pid)}
    deadline = time.monotonic() + _PATIENCE
    while True:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(started.pid, signal.SIGKILL)
        started.poll()
        suspects |= {*_strays(home), *orphans.found(started.pid)} if hidden else set()
        alive = [process for process in suspects if _kill(process)]
        if not alive and started.poll() is not None:
            orphans.reap()
            return
        if time.monotonic() > deadline:
            raise EnvironmentProblem(f"a process of the command does not end; end it with: kill -9 {started.pid}")
        time.sleep(0.01)


def _kill(process: psutil.Process) -> bool:
    """Kills a process; whether it was still alive."""
    try:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        process.kill()
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
    return True


def _strays(home: Path) -> list[psutil.Process]:
    """Processes anywhere on the machine that still have the home folder of the command."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _home(process) == str(home)]


def _home(process: psutil.Process) -> str | None:
    with suppress(psutil.Error, OSError):
        variables: dict[str, str] = process.environ()
        return variables.get("HOME")
    return None


def clear(folder: Path) -> None:
    """Removes a folder that a stranger filled: closed folders are opened, links are removed and not followed."""
    pending = [folder]
    while pending:
        path = pending.pop()
        with suppress(OSError):
            path.chmod(0o700)
            pending += [Path(entry.path) for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():  # folders nested deeper than Python's own stack
        subprocess.run(["rm", "-rf", "--", str(folder)], check=False, stderr=subprocess.DEVNULL)  # noqa: S603, S607
