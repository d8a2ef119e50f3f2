"""Where records lie: ``RESULT/records/<slug>/seed-<n>``, and which files may lie there."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.decode import one_line
from benchmark.errors import NothingComparable, UsageError

RECORDS = "records"
REPORTED = "reported"
"""Folder of published figures, which are no records."""
RECORD, TABLE, PACKAGES = "record.json", "per_image.parquet", "environment.txt"
LARGEST = {RECORD: 5_000_000, TABLE: 10_000_000, PACKAGES: 1_000_000}
"""Bytes by file name; pictures have ``LARGEST_PICTURE``."""
LARGEST_PICTURE = 1_000_000
MOST_FILES = 600
"""Files of one record: a trace has at most 16 x 32 pictures."""
PICTURE = re.compile(r"examples/[0-9]{1,7}-released\.png|rounds/[0-9]{1,2}-[0-9]{1,5}\.webp|groups\.webp")


@dataclass(frozen=True, order=True)
class Place:
    """The folder of one record.

    Attributes:
        result: the result folder around it.
        slug: folder name of the entrant.
        run: ``seed-<n>``.
    """

    result: Path
    slug: str
    run: str

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.result / RECORDS / self.slug / self.run

    @property
    def record(self) -> Path:
        """The record's file."""
        return self.folder / RECORD


def places_under(path: Path) -> list[Place]:
    """The records that a path names: one record, one entrant, a result folder, or a folder of result folders.

    Raises:
        UsageError: there is no such folder.
        NothingComparable: it holds no records.
    """
    if not path.is_dir():
        raise UsageError(
            f"{one_line(path)} is no folder. Name a result folder, as in: anonbench validate leaderboard/NAME"
        )
    named = _named(path)
    if named is not None:
        return named
    results = [path] if (path / RECORDS).is_dir() else _children(path)
    found = [place for result in results if result.name != REPORTED for place in _of_result(result)]
    if not found:
        raise NothingComparable(f"{one_line(path)} holds no records. Type `anonbench run` first")
    return found


def _named(path: Path) -> list[Place] | None:
    """The records of a path that is a record's folder or an entrant's."""
    whole = path.absolute()
    if whole.parent.name == RECORDS:
        result = _relative(path, 2)
        return [Place(result, path.resolve().name, run.name) for run in _children(path)]
    if whole.parent.parent.name == RECORDS:
        return [Place(_relative(path, 3), whole.parent.name, whole.name)]
    return None


def _relative(path: Path, up: int) -> Path:
    """The folder ``up`` levels above, as short as it was typed where that is possible."""
    return path.parents[up - 1] if len(path.parts) > up else path.absolute().parents[up - 1]


def _of_result(result: Path) -> list[Place]:
    return [Place(result, slug.name, run.name) for slug in _children(result / RECORDS) for run in _children(slug)]


def _children(folder: Path) -> list[Path]:
    if not folder.is_dir() or folder.is_symlink():
        return []
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.is_symlink())


def strays(result: Path) -> Iterator[Path]:
    """What lies under ``records`` and is no folder of a record: files, links."""
    records = result / RECORDS
    if records.is_symlink():
        yield records
        return
    for slug in sorted(records.iterdir()):
        if slug.is_symlink() or not slug.is_dir():
            yield slug
            continue
        runs = sorted(slug.iterdir())
        yield from (run for run in runs if run.is_symlink() or not run.is_dir())
        if not runs:
            yield slug


@dataclass(frozen=True)
class Entry:
    """What lies in a record's folder.

    Attributes:
        name: relative to the record, with forward slashes.
        ordinary: whether it is a plain file.
        size: in bytes.
    """

    name: str
    ordinary: bool
    size: int


def entries_of(folder: Path) -> list[Entry]:
    """Everything in a record's folder, links not followed; at most one more than there may be."""
    found: list[Entry] = []
    for place, folders, files in os.walk(folder, followlinks=False):
        for name in sorted([*files, *(part for part in folders if (Path(place) / part).is_symlink())]):
            found.append(_entry(folder, Path(place) / name))
        if len(found) > MOST_FILES:
            break
    return sorted(found[: MOST_FILES + 1], key=lambda entry: entry.name)


def _entry(folder: Path, path: Path) -> Entry:
    facts = path.lstat()
    return Entry(path.relative_to(folder).as_posix(), stat.S_ISREG(facts.st_mode), facts.st_size)


def allowed(name: str) -> bool:
    """Whether a file of this name may lie in a record's folder."""
    return name in LARGEST or PICTURE.fullmatch(name) is not None


def largest(name: str) -> int:
    """Bytes a file of this name may have."""
    return LARGEST.get(name, LARGEST_PICTURE)


def shown(path: Path, root: Path) -> str:
    """A path as it is named to the user: relative to ``root`` where it lies there."""
    try:
        return one_line(path.relative_to(root).as_posix())
    except ValueError:
        return one_line(path)


def results_of(places: Sequence[Place]) -> list[Path]:
    """The result folders of records, each once."""
    return list(dict.fromkeys(place.result for place in places))
