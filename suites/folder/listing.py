"""Which images a folder holds, and whose they are by the folder they lie in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from benchmark.decode import one_line
from benchmark.errors import AnonbenchError, EnvironmentProblem, UsageError

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""File names that count as images, in any case."""

PATH = "path"
IDENTITY = "identity"


def check_folder(root: Path) -> None:
    """Refuses what is not a folder.

    Raises:
        UsageError: nothing is there, or it is a file.
        EnvironmentProblem: it may not be read.
    """
    if not exists(root):
        raise UsageError(f"{one_line(root)} does not exist; name an existing folder: --data DIR")
    if not root.is_dir():
        raise UsageError(f"{one_line(root)} is a file, not a folder; name the folder it lies in: --data DIR")


def exists(path: Path) -> bool:
    """Whether there is a file or folder at ``path``.

    Raises:
        EnvironmentProblem: nobody can say, because a folder on the way may not be read.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(error) from error
    return True


def list_paths(root: Path) -> list[str]:
    """Paths of all images below ``root``, relative, with forward slashes, sorted by code point.

    Hidden files and folders and other extensions are left out. Links are followed, except one that leads back to a
    folder it lies in.

    Raises:
        UsageError: ``root`` is no folder, or a name in it is not Unicode.
        EnvironmentProblem: a folder may not be read.
    """
    check_folder(root)
    return sorted(_walk(root))


def by_folder(root: Path, take: Callable[[str], bool] = lambda _: True) -> pd.DataFrame:
    """Table of the images below ``root`` with the first folder of their path as identity.

    Args:
        root: the folder.
        take: which relative paths to keep.

    Returns:
        Columns ``path`` and ``identity``; images directly in ``root`` have the identity ``""``.
    """
    paths = [path for path in list_paths(root) if take(path)]
    return pd.DataFrame({PATH: paths, IDENTITY: [folder_of(path) for path in paths]}, dtype=str)


def folder_of(path: str) -> str:
    """First folder of a relative path, or ``""``."""
    first, slash, _ = path.partition("/")
    return first if slash else ""


def sub_folders(root: Path) -> list[Path]:
    """The folders directly in ``root`` that are not hidden, sorted by name."""
    check_folder(root)
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise unreadable(error) from error


def some_of(paths: list[str]) -> str:
    """Counts paths and names the first, for an error message."""
    return f"{one_line(paths[0])} and {len(paths) - 1} more" if len(paths) > 1 else one_line(paths[0])


def _walk(root: Path) -> Iterator[str]:
    # Without ``onerror`` a folder that may not be read would silently count as empty.
    walked: dict[Path, str] = {}
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_raise):
        other = walked.setdefault(Path(folder).resolve(), folder)
        if other != folder:
            raise UsageError(f"{one_line(folder)} and {one_line(other)} are the same folder; remove the link")
        folders[:] = [name for name in folders if not name.startswith(".") and not _is_loop(Path(folder, name))]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(EXTENSIONS):
                yield _key(Path(folder, name).relative_to(root))


def _is_loop(folder: Path) -> bool:
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _key(path: Path) -> str:
    key = PurePosixPath(*path.parts).as_posix()
    if not _is_unicode(key):
        raise UsageError(f"the file name {one_line(key)} is not valid UTF-8; rename it")
    return key


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _raise(error: OSError) -> None:
    raise unreadable(error) from error


def unreadable(error: OSError) -> AnonbenchError:
    """What to tell the user about a folder that the system does not open."""
    name = one_line(error.filename)
    if isinstance(error, PermissionError):
        return EnvironmentProblem(f"{name} may not be read; give yourself access with: chmod -R u+rX '{name}'")
    return EnvironmentProblem(f"{name} cannot be read ({error.strerror}); check the disk")
