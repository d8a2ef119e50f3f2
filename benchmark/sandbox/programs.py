"""Which folders a program needs besides those of the system: its environment, and that of its interpreter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

SYSTEM = tuple(
    Path(name) for name in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store")
)
"""Folders of programs and libraries that every user of a machine may read."""
_HOPS = 8
_SHEBANG = 512


def find_program(name: str, path: str) -> Path | None:
    """The program a command names, absolute; a link stays a link, as environments of Python tell themselves by it.

    Args:
        name: of a program in ``path``, or an absolute path.
        path: folders as in ``PATH``.
    """
    if "/" in name and not Path(name).is_absolute():
        return None
    found = shutil.which(name, path=path)
    return None if found is None else _plain(Path(found))


def _plain(path: Path) -> Path:
    return path.parent.resolve() / path.name


def needed(program: Path, path: str, forbidden: tuple[Path, ...] = ()) -> list[Path]:
    """Folders and files that a program needs to start, without those of the system.

    Args:
        program: see ``find_program``.
        path: folders as in ``PATH``, for scripts that ask ``env`` for their interpreter.
        forbidden: folders of which nothing but the very file may be needed.
    """
    found: list[Path] = []
    for file in _files(program, path, _HOPS):
        if not any(file.is_relative_to(folder) for folder in SYSTEM):
            found += _around(file, forbidden)
    return list(dict.fromkeys(found))


def _files(program: Path, path: str, hops: int) -> Iterator[Path]:
    """The program, every link on the way to its file, and the same for the interpreter it names."""
    if hops <= 0:
        return
    yield program
    if program.is_symlink():
        yield from _files(_plain(program.parent / program.readlink()), path, hops - 1)
        return
    interpreter = _interpreter(program, path)
    if interpreter is not None:
        yield from _files(interpreter, path, hops - 1)


def _interpreter(program: Path, path: str) -> Path | None:
    try:
        with program.open("rb") as file:
            line = file.read(_SHEBANG).split(b"\n", 1)[0]
    except OSError:
        return None
    words = os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return find_program(words[0], path) if words else None


def _around(file: Path, forbidden: tuple[Path, ...]) -> list[Path]:
    """The environment a file is installed in: the folder above its ``bin``, where that looks like one."""
    prefix, home = file.parent.parent, Path.home().resolve()
    if file.parent.name != "bin" or is_home(prefix) or any(prefix.is_relative_to(folder) for folder in forbidden):
        return [file]
    if prefix == home / ".local":  # holds a person's files beside the programs
        return [file, *(folder for folder in [prefix / "lib"] if folder.is_dir())]
    return [prefix] if is_environment(prefix) or (prefix / "lib").is_dir() else [file]


def is_environment(folder: Path) -> bool:
    """Whether a folder is an environment of Python or conda, or a whole Python."""
    marks = (folder / "pyvenv.cfg", folder / "conda-meta")
    if not os.access(folder, os.R_OK | os.X_OK):
        return False
    return any(mark.exists() for mark in marks) or any((folder / "lib").glob("python*/os.py"))


def is_home(folder: Path) -> bool:
    """Whether a folder is the user's home or holds it."""
    return Path.home().resolve().is_relative_to(folder)
