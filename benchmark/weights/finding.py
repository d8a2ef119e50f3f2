"""Finding weight files on this machine; nothing here downloads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import EnvironmentProblem
from benchmark.protocols import Missing
from benchmark.store import cache_root
from benchmark.weights.content import file_hash, trouble
from benchmark.weights.entries import WeightEntry, entry_of, remedy_of

GIVEN = "ANONBENCH_WEIGHTS"
CACHE = "the cache"


class Unusable(EnvironmentProblem):
    """There is no usable weight file.

    Attributes:
        reason: what is not there, or what is wrong with what is there.
        remedy: what to do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)  # both, so that the error survives the way between processes
        self.reason, self.remedy = reason, remedy

    def __str__(self) -> str:
        return f"{self.reason}: {self.remedy}"


class WeightsMissing(Unusable):
    """A weight file is not on this machine; the message says how to get it here."""


class WrongWeights(Unusable):
    """Somebody put a file under the name of the weights that is something else."""


@dataclass(frozen=True)
class Copy:
    """A weight file on this machine.

    Attributes:
        path: the file.
        place: ``ANONBENCH_WEIGHTS`` or ``the cache``.
        sha256: of the whole file, empty if it cannot be read.
        problem: why it is not the file of the registry; empty if it is.
    """

    path: Path
    place: str
    sha256: str
    problem: str


def copies(entry: WeightEntry, hash_of: Callable[[Path], str] = file_hash) -> Iterator[Copy]:
    """The copies of a weight file on this machine, good or not, in the order in which they are taken.

    Args:
        entry: the file of the registry.
        hash_of: gives the sha256 of a file.
    """
    given = _given(entry, hash_of)
    if given is not None:
        yield _examined(entry, given, GIVEN, hash_of)
    if entry.sha256 and cached(entry).is_file():
        yield _examined(entry, cached(entry), CACHE, hash_of)


def cached(entry: WeightEntry) -> Path:
    """Where the cache keeps the file; the hash in the name keeps versions apart."""
    return cache_root() / "weights" / f"{entry.sha256[:16]}-{entry.file}"


def locate(name: str) -> Path:
    """Finds a weight file on this machine; never downloads.

    The folder named by ``ANONBENCH_WEIGHTS`` comes first, by file name, then by content under any name; then the
    cache. A wrong file of that name in that folder is an error, since somebody put it there on purpose; a damaged one
    in the cache counts as absent.

    Raises:
        UsageError: no entry of the registry has this name.
        WeightsMissing: the file is in neither place.
        WrongWeights: the file in ``ANONBENCH_WEIGHTS`` is something else, or cannot be read.
    """
    return _located(name).path


def found_hash(name: str) -> str:
    """The whole sha256 of the file that ``locate`` finds; raises what ``locate`` raises."""
    return _located(name).sha256


def first_located(names: Sequence[str]) -> tuple[str, Path, str]:
    """The first of several alternatives that is on this machine: its name, path and whole sha256.

    Raises:
        UsageError: a name is unknown.
        Unusable: none can be used; says why and what to do.
    """
    troubles: list[tuple[WeightEntry, Unusable]] = []
    for name in names:
        try:
            copy = _located(name)
        except Unusable as error:
            troubles.append((entry_of(name), error))
        else:
            return name, copy.path, copy.sha256
    raise _together(troubles)


def missing(names: Sequence[str]) -> Missing | None:
    """What a metric says that needs any one of several weight files; None if one of them is there.

    Args:
        names: the alternatives, the preferred one first.

    Raises:
        UsageError: a name is unknown.
    """
    try:
        first_located(names)
    except Unusable as error:
        return Missing(error.reason, error.remedy)
    return None


def _together(troubles: Sequence[tuple[WeightEntry, Unusable]]) -> Unusable:
    """One error for several alternatives: wrong files first, since they are what surprises."""
    wrong = [error for _, error in troubles if isinstance(error, WrongWeights)]
    absent = [entry.name for entry, error in troubles if isinstance(error, WeightsMissing)]
    reasons = [error.reason for error in wrong]
    if absent:
        reasons.append(f"{' and '.join(absent)} weights unavailable{astray()}")
    if wrong:
        return WrongWeights("; ".join(reasons), wrong[0].remedy)
    fetchable = next((f"anonbench weights fetch {entry.name}" for entry, _ in troubles if entry.fetchable), None)
    return WeightsMissing("; ".join(reasons), fetchable or troubles[0][1].remedy)


def _located(name: str) -> Copy:
    entry = entry_of(name)
    for copy in copies(entry):
        if not copy.problem:
            return copy
        if copy.place == GIVEN:
            raise wrong(entry, copy)
    raise WeightsMissing(f"{name} weights unavailable{astray()}", remedy_of(entry))


def wrong(entry: WeightEntry, copy: Copy) -> WrongWeights:
    """The error about a copy that is not the file of the registry."""
    if entry.fetchable:
        then = f"type: anonbench weights fetch {entry.name}"
    else:
        then = f"put {entry.file} there again{f', from {entry.url}' if entry.url else ''}"
    reason = f"{copy.path} is not the {entry.name} file of the registry: {copy.problem}"
    return WrongWeights(reason, f"remove it, then {then}")


def _given(entry: WeightEntry, hash_of: Callable[[Path], str]) -> Path | None:
    """The file in ``ANONBENCH_WEIGHTS``: by name, else by size and hash."""
    folder = _folder()
    if folder is None:
        return None
    path = folder / entry.file
    if path.is_file():
        return path
    return _of_content(entry, folder, hash_of) if entry.size and entry.sha256 else None


def _folder() -> Path | None:
    """The folder ``ANONBENCH_WEIGHTS`` names, whether or not it exists."""
    given = os.environ.get(GIVEN)
    if not given:
        return None
    try:
        return Path(given).expanduser()
    except RuntimeError:  # ~somebody who has no home here
        return Path(given)


def astray() -> str:
    """Ends a sentence about absent weights where ``ANONBENCH_WEIGHTS`` is set to something that is no folder."""
    folder = _folder()
    return "" if folder is None or folder.is_dir() else f" ({GIVEN} is set to {folder}, which is no folder)"


def _of_content(entry: WeightEntry, folder: Path, hash_of: Callable[[Path], str]) -> Path | None:
    """A file of the right size and hash under another name; files that cannot be read are none."""
    try:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.stat().st_size == entry.size and hash_of(path).startswith(entry.sha256):
                return path
    except OSError:  # no such folder, or not ours to read
        return None
    return None


def _examined(entry: WeightEntry, path: Path, place: str, hash_of: Callable[[Path], str]) -> Copy:
    try:
        sha256 = hash_of(path)
        return Copy(path, place, sha256, trouble(entry, path, sha256))
    except OSError as error:
        return Copy(path, place, "", f"it cannot be read ({error.strerror or error})")
