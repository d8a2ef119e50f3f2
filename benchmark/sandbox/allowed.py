"""Which folders a stranger's description may have shown to its command, and which never."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.files import one_line
from benchmark.sandbox.programs import SYSTEM, is_environment, is_home

CLOSED = ("/proc", "/sys", "/dev", "/run", "/var/run", "/etc", "/tmp", "/var/tmp", "/root", "/home", "/Users")  # noqa: S108
"""Folders of the system, of running programs and of other people: nothing in them may be read, nor what holds them."""
TOOLS = (
    ".pyenv", ".venvs", ".virtualenvs", ".conda/envs", ".local/lib", ".local/share/pipx", ".local/share/uv/python",
    ".local/share/uv/tools", ".cache/torch", ".cache/huggingface/hub",
)  # fmt: skip
"""The only hidden folders of a home that may be read; others hold keys, passwords and histories."""
_LOOKED_AT = 100_000
"""Names that are looked at in search of sockets."""
_REMEDY = "name the one folder that is needed under 'reads' in entrant.toml, or put what is needed beside entrant.toml"


def check_here(here: Path, private: tuple[Path, ...]) -> None:
    """Refuses the folder of a description that would show what must stay hidden.

    Args:
        here: the folder, absolute and without links.
        private: folders and files that hold labels.

    Raises:
        UsageError: it is or holds the user's home, or lies in what is private.
    """
    if is_home(here):
        raise UsageError(f"{one_line(here)} is or holds your home folder; move entrant.toml into a folder of its own")
    if _inside(here, private):
        raise UsageError(
            f"{one_line(here)} is or lies in a folder of data that the command may not see; move entrant.toml and what "
            "belongs to it into a folder elsewhere"
        )


def check_read(read: Path, here: Path, scratch: Path, private: tuple[Path, ...]) -> None:
    """Refuses a folder or file to read that a stranger has no business with.

    Args:
        read: absolute and without links.
        here: the folder of the description, which the command sees anyway.
        scratch: its working folder.
        private: folders and files that hold labels.

    Raises:
        UsageError: it is not there, or one of those that are never shown.
    """
    if not os.path.exists(read):  # noqa: PTH110 - Path.exists raises where a folder above is closed to us
        raise UsageError(f"{one_line(read)} does not exist, or you may not look at it; mend 'reads' in entrant.toml")
    if _inside(read, private):
        raise UsageError(f"{one_line(read)} may not be read: it lies in the data or the cache; {_REMEDY}")
    if not (read.is_dir() or read.is_file()):
        raise UsageError(f"{one_line(read)} may not be read: it is a socket, a pipe or a device; {_REMEDY}")
    if not _inside(read, (here, *SYSTEM)):
        reason = _closed(read, scratch)
        if reason:
            raise UsageError(f"{one_line(read)} may not be read: {reason}; {_REMEDY}")


def _closed(read: Path, scratch: Path) -> str:
    """Why a folder or file outside of what is shown anyway may not be read, or nothing."""
    home = Path.home().resolve()
    closed = [Path(name).resolve() for name in CLOSED]
    holds = next((folder for folder in (home, scratch, *closed) if folder.is_relative_to(read)), None)
    if holds is not None:
        return "it is or holds your home folder" if holds == home else f"it is or holds {one_line(holds)}"
    if is_environment(read):  # installed programs, wherever somebody installed them
        return ""
    if read.is_relative_to(home):
        return _hidden(read.relative_to(home))
    inside = next((name for name, folder in zip(CLOSED, closed, strict=True) if read.is_relative_to(folder)), None)
    return f"it lies in {inside}" if inside else ""


def _hidden(path: Path) -> str:
    """Whether a path below the home folder is hidden in it and belongs to no tool that is known."""
    if not path.parts[0].startswith(".") or _inside(path, tuple(Path(name) for name in TOOLS)):
        return ""
    return f"it is hidden in your home folder, where nothing may be read but {', '.join(TOOLS)}"


def _inside(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def endpoints(folder: Path) -> Iterator[Path]:
    """Sockets, pipes and devices at the two upper levels of a folder: who is shown one can talk through it."""
    for entry in islice(_two_levels(folder), _LOOKED_AT):
        with suppress(OSError):
            if not (entry.is_symlink() or entry.is_file() or entry.is_dir()):
                yield Path(entry.path)


def _two_levels(folder: Path) -> Iterator[os.DirEntry[str]]:
    for entry in _entries(folder):
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path)


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as found:
        yield from found
