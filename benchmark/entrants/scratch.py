"""Scratch folders of commands; what a harness left behind that was killed is cleared away by the next."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil

from benchmark.errors import EnvironmentProblem
from benchmark.hashing import sha256_bytes


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder under the system's folder for temporary files, gone afterwards; its name says whose it is.

    Raises:
        EnvironmentProblem: it cannot be made.
    """
    from benchmark.sandbox.ending import clear

    place = Path(tempfile.gettempdir())
    clear_abandoned(place)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"anonbench-{_world()}-{os.getpid()}-", dir=place)).resolve()
    except OSError as error:
        raise EnvironmentProblem(
            f"no folder can be made in {place} ({error.strerror}); free some space there, or set TMPDIR to another folder"
        ) from error
    try:
        yield folder
    finally:
        clear(folder)


@cache
def clear_abandoned(place: Path) -> None:
    """Removes scratch folders of processes of this user that live no more; done once per process.

    Only names of exactly the form that ``scratch_folder`` gives are touched, made on this machine, and no links.
    """
    from benchmark.sandbox.ending import clear

    form = re.compile(rf"anonbench-{_world()}-([1-9][0-9]{{0,9}})-[a-z0-9_]{{8}}")
    with suppress(OSError), os.scandir(place) as found:
        for entry in found:
            match = form.fullmatch(entry.name)
            if match and _is_own(entry) and not psutil.pid_exists(int(match[1])):
                clear(Path(entry.path))


def _is_own(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()


@cache
def _world() -> str:
    """Where a number of a process means something: containers and machines may share a folder."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return sha256_bytes(f"{platform.node()} {space}".encode())[:8]
