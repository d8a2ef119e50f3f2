"""The hash of a command: its description, and the files beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from benchmark.entrants.described import FILE, DescribedProcess
from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.files import one_line
from benchmark.hashing import sha256_bytes, sha256_file, sha256_json

MOST_FILES, MOST_BYTES = 2000, 200_000_000
"""Files beside a description that are hashed without being named; where there are more, none is."""
_COUNTED = 100_000
_SKIPPED = frozenset({"__pycache__", "node_modules"})
_RESULTS = frozenset({"records", "originals", "board"})
"""What a run leaves in its folder for results, which may be this one."""
_LARGE = 1_000_000
"""Bytes from which on a file is hashed once per process, as long as it does not change."""


@dataclass(frozen=True)
class Content:
    """What a command consists of.

    Attributes:
        sha256: over the description and the files that belong to it.
        left_out: files beside it that are not in the hash, because they are too many or too large.
    """

    sha256: str
    left_out: int


def content_of(description: DescribedProcess, here: Path) -> Content:
    """Hashes the description, as it was understood, and what lies beside it.

    All files under ``here`` belong to it but those in hidden folders, in environments of Python or Node, and results of
    runs. Where they are more than ``MOST_FILES`` or ``MOST_BYTES``, only those belong to it that ``files`` or the
    command name.

    Args:
        description: what ``entrant.toml`` says.
        here: the folder it lies in, without links.

    Raises:
        UsageError: a pattern of ``files`` matches nothing or leaves the folder.
        EnvironmentProblem: a file may not be read.
    """
    beside = list(islice(_beside(here), _COUNTED))
    said = {*_named(description, here), *_arguments(description, here)}
    small = len(beside) <= MOST_FILES and sum(_size(path) for path in beside) <= MOST_BYTES
    files = sorted({*said, *(beside if small else ())})
    content = [[one_line(path.relative_to(here).as_posix()), _hashed(path)] for path in files]
    left_out = 0 if small else len({*beside} - said)
    return Content(sha256_json([sha256_bytes(description.model_dump_json().encode()), content]), left_out)


def _beside(here: Path) -> Iterator[Path]:
    """Ordinary files, and links to such; the description itself counts by what it says."""
    for place, folders, files in os.walk(here):
        folder = Path(place)
        results = _RESULTS if any(folder.glob("records/*/seed-*/record.json")) else frozenset[str]()
        folders[:] = sorted(name for name in folders if _belongs(folder / name) and name not in results)
        paths = [folder / name for name in sorted(files) if not name.endswith(".pyc")]
        yield from (path for path in paths if path.is_file() and path != here / FILE)


def _belongs(folder: Path) -> bool:
    hidden = folder.name.startswith(".")
    return not hidden and folder.name not in _SKIPPED and not (folder / "pyvenv.cfg").exists()


def _named(description: DescribedProcess, here: Path) -> list[Path]:
    found: list[Path] = []
    for pattern in description.files:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts or not pattern:
            raise UsageError(
                f"'{one_line(pattern)}' in 'files' of {FILE} leaves its folder; write it as in src/**/*.py"
            )
        matches = [path for path in here.glob(pattern) if path.is_file()]
        if not matches:
            raise UsageError(f"no file matches '{one_line(pattern)}' in 'files' of {FILE}; mend or remove the pattern")
        found += matches
    return found


def _arguments(description: DescribedProcess, here: Path) -> list[Path]:
    """Files beside the description that the command names, also behind an equals sign."""
    words = [word.replace("{here}", str(here)) for word in description.command]
    paths = [Path(part) for word in words for part in (word, word.partition("=")[2]) if part and len(part) < 1000]
    whole = [Path(os.path.normpath(path)) for path in paths if path.is_absolute()]
    return [path for path in whole if path.is_relative_to(here) and path.is_file()]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _hashed(path: Path) -> str:
    try:
        status = path.stat()
        if status.st_size < _LARGE:
            return sha256_file(path)
        return _hashed_once(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except OSError as error:
        raise EnvironmentProblem(
            f"{one_line(path)} cannot be read ({error.strerror}); it belongs to the method: mend its permissions, or move it"
        ) from error


@cache
def _hashed_once(path: Path, size: int, changed: int, status_changed: int) -> str:
    return sha256_file(path)
