"""Finds the records of a result folder and decides which of them share a board."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from benchmark.correlations import CorrelationTable, read_correlations
from benchmark.errors import EnvironmentProblem, NothingComparable, UsageError
from benchmark.records import ORIGINALS, Record, SuiteFacts, read_record
from benchmark.tuning import FOLDER, Tuning, read_tuning

T = TypeVar("T")


@dataclass(frozen=True)
class LoadedRecord:
    """A record and the file it was read from."""

    path: Path
    """``OUT/records/<slug>/seed-<n>/record.json``."""
    record: Record

    @property
    def folder(self) -> Path:
        """Where its pictures, per-image values and environment lie."""
        return self.path.parent

    @property
    def originals(self) -> Path:
        """Where the originals lie that the examples of all records show."""
        return self.folder.parents[2] / ORIGINALS

    @property
    def slug(self) -> str:
        """Folder name of the entrant, the name of its page."""
        return self.path.parent.parent.name

    @property
    def address(self) -> str:
        """The record's folder seen from the result folder, with forward slashes."""
        return f"records/{self.slug}/{self.folder.name}"


@dataclass(frozen=True)
class LoadedTable:
    """A table of correlations and the file it was read from."""

    path: Path
    """``OUT/correlations/<name>.json``."""
    table: CorrelationTable


@dataclass(frozen=True)
class LoadedTuning:
    """A tuning report and the file it was read from."""

    path: Path
    """``OUT/tuning/<name>.json``."""
    tuning: Tuning


@dataclass(frozen=True)
class Entrant:
    """All records of one entrant on the board's suite, smallest seed first."""

    slug: str
    runs: tuple[LoadedRecord, ...]

    @property
    def main(self) -> LoadedRecord:
        """The run whose numbers stand in the entrant's row: numbers of a record, not an average over records."""
        return self.runs[0]

    @property
    def record(self) -> Record:
        """The record of the main run."""
        return self.main.record


@dataclass(frozen=True)
class Selection:
    """What one board shows, and what it leaves out."""

    suite: SuiteFacts
    entrants: tuple[Entrant, ...]
    other_suite: int
    """Number of records of another suite or another version of this one."""
    withdrawn: tuple[LoadedRecord, ...]
    """Records that no longer count, each with its reason."""

    @property
    def runs(self) -> tuple[LoadedRecord, ...]:
        """Every record shown, by entrant and seed."""
        return tuple(run for entrant in self.entrants for run in entrant.runs)


def load_records(out: Path) -> list[LoadedRecord]:
    """Reads ``out/records/<slug>/seed-<n>/record.json``, in the order of slug and seed.

    Raises:
        UsageError: ``out`` is not a folder, or one of the files is not a record.
    """
    if not out.is_dir():
        raise UsageError(f"No result folder at {out}. Give the folder that `anonbench run` wrote to.")
    return sorted((LoadedRecord(path, _read(path)) for path in _record_files(out / "records")), key=_place)


def load_correlations(out: Path) -> list[LoadedTable]:
    """Reads ``out/correlations/*.json``, in the order of their names.

    Raises:
        UsageError: one of the files is not a table of correlations.
    """
    paths = _json_files(out / "correlations")
    return [LoadedTable(path, _parsed(path, "table of correlations", read_correlations)) for path in paths]


def load_tunings(out: Path) -> list[LoadedTuning]:
    """Reads ``out/tuning/*.json``, in the order of their names.

    Raises:
        UsageError: one of the files is no tuning report.
    """
    return [LoadedTuning(path, _parsed(path, "tuning report", read_tuning)) for path in _json_files(out / FOLDER)]


def _json_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".json") if folder.exists() else []
    except OSError as error:
        raise EnvironmentProblem(f"{folder} cannot be read: {error.strerror}. Give yourself access to it") from error


def _record_files(folder: Path) -> Iterator[Path]:
    # A glob would pass over a folder that may not be read, and its row would be missing without a word.
    for place, _, files in os.walk(folder, onerror=_unreadable):
        if "record.json" in files and Path(place).name.startswith("seed-"):
            yield Path(place) / "record.json"


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise EnvironmentProblem(f"{error.filename} cannot be read: {error.strerror}. Give yourself access to it")


def select(records: Sequence[LoadedRecord]) -> Selection:
    """Keeps the records that share the newest record's suite; the order of ``records`` does not matter.

    Raises:
        NothingComparable: nothing is left to show.
    """
    if not records:
        raise NothingComparable("There are no records to show. Type `anonbench run` first.")
    ordered = sorted(records, key=_place)
    valid = [item for item in ordered if item.record.invalidated is None]
    newest = max(
        valid or ordered, key=lambda item: (item.record.created_utc, item.record.suite.suite_hash)
    ).record.suite
    same = [item for item in ordered if item.record.suite.suite_hash == newest.suite_hash]
    replaced = {item.record.supersedes for item in same} - {""}
    shown = [item for item in same if item.record.invalidated is None and item.record.result_id not in replaced]
    if not shown:
        raise NothingComparable("Every record of this suite was withdrawn. Type `anonbench run` to measure again.")
    withdrawn = tuple(item for item in same if item.record.invalidated is not None)
    return Selection(newest, _entrants(shown), len(ordered) - len(same), withdrawn)


def _entrants(records: Sequence[LoadedRecord]) -> tuple[Entrant, ...]:
    grouped = groupby(records, key=lambda item: item.slug)
    return tuple(Entrant(slug, tuple(runs)) for slug, runs in grouped)


def _place(item: LoadedRecord) -> tuple[str, int, str]:
    return item.slug, item.record.seed, item.folder.name


def _read(path: Path) -> Record:
    return _parsed(path, "record", read_record, _MEND)


def _parsed(path: Path, what: str, read: Callable[[Path], T], remedy: str = "Delete it or make it again.") -> T:
    try:
        return read(path)
    except ValidationError as error:
        raise _broken(path, what, error, remedy) from error
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror}. Give yourself access to it") from error


def _broken(path: Path, what: str, error: ValidationError, remedy: str) -> UsageError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    return UsageError(f"{path} is not a readable {what} ({where}: {first['msg']}). {remedy}")


_MEND = "Delete its folder and score the entrant again, or restore the file."
