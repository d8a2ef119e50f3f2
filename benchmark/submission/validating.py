"""Holds results against all rules. Nothing that lies in a result is executed, unpickled or followed out of its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from benchmark.errors import EnvironmentProblem
from benchmark.records import Record
from benchmark.submission import cards, controls, facts, flagged, measures, pictures, sweeps, values
from benchmark.submission.facts import AGAIN, Finding
from benchmark.submission.known import Known
from benchmark.submission.places import (
    LARGEST,
    RECORD,
    TABLE,
    Place,
    entries_of,
    places_under,
    results_of,
    shown,
    strays,
)
from benchmark.submission.problems import Problem, Report, merged
from benchmark.submission.tables import BadTable, Table, read_table


class Unreadable(ValueError):
    """A record's file is no record; says why."""


def read_safely(path: Path) -> Record:
    """Reads a record of a stranger: an ordinary file of bounded size.

    Raises:
        Unreadable: it is not.
    """
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST[RECORD]:
            raise Unreadable("is missing, a link, or too large")
        data = path.read_bytes()
        record = Record.model_validate_json(data)
        json.loads(data, object_pairs_hook=_once)
        return record
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise Unreadable(f"is no record ({where}: {first['msg']})") from error
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror}. Give yourself access to it") from error


def _once(pairs: list[tuple[str, object]]) -> None:
    """Refuses an object that says one thing twice: readers would differ in which they believe."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise Unreadable(f"is no record ({next(name for name in names if names.count(name) > 1)} stands there twice)")


@dataclass
class Beside:
    """A result folder: what stands in it, read once.

    Attributes:
        result: the folder.
        records: every readable record by its place.
        known: what is installed here.
    """

    result: Path
    known: Known
    records: dict[Place, Record] = field(init=False)

    def __post_init__(self) -> None:
        self.records = dict(self._read())
        self._keys: list[tuple[str, str]] | None = None
        self._columns: frozenset[str] = frozenset()
        self._read_keys()

    def _read(self) -> Iterator[tuple[Place, Record]]:
        for place in places_under(self.result):
            try:
                yield place, read_safely(place.record)
            except Unreadable:
                continue

    @property
    def controls(self) -> dict[str, Record]:
        """The control rows by name."""
        wanted = (controls.UNCHANGED, controls.EMPTY)
        return {record.entry.name: record for record in self.records.values() if record.entry.name in wanted}

    def _read_keys(self) -> None:
        """The images and people of the control that releases originals, and of which metrics it has values."""
        for place, record in self.records.items():
            if record.entry.name == controls.UNCHANGED:
                table = _readable(place)
                if table is not None and table.metrics:
                    self._keys = table.keys(next(iter(table.metrics)))
                    self._columns = frozenset(table.metrics)

    def findings(self, place: Place, record: Record) -> Iterator[Finding]:
        """A record against the others of its folder."""
        yield from controls.findings_of_control(record)
        yield from controls.findings_beside(record, self.controls)
        for other, theirs in self.records.items():
            if other != place and other.slug == place.slug:
                yield from _of_one_method(record, theirs, other)
            if other != place and record.supersedes and record.supersedes == theirs.result_id:
                yield "claims", f"it supersedes {other.slug}/{other.run}, which is another row", "Empty supersedes"

    def findings_of_table(self, record: Record, table: Table) -> Iterator[Finding]:
        """Values per image against those of the control."""
        if self._keys is None or not table.metrics:
            return
        if table.keys(next(iter(table.metrics))) != self._keys:
            yield "values", f"is of other images or people than the control {controls.UNCHANGED}", AGAIN
        for name in sorted(self._columns - table.metrics.keys()):
            score = record.score(name)
            if score is not None and score.value is not None:
                yield "values", f"holds no values of {name}, and the control {controls.UNCHANGED} does", AGAIN


SHARED = ("name", "entry_hash", "kind", "params", "uses", "k_anonymity")


def _of_one_method(record: Record, theirs: Record, other: Place) -> Iterator[Finding]:
    """The seeds of a row are one method's, handed in by one person."""
    pairs = [(name, getattr(record.entry, name), getattr(theirs.entry, name)) for name in SHARED]
    pairs += [
        (name, getattr(record.claims, name), getattr(theirs.claims, name)) for name in ("self_reported", "submitted_by")
    ]
    for name, mine, right in pairs:
        if mine != right:
            yield "consistency", f"its {name} is not that of {other.run}: seeds of another method, or another's", AGAIN
            return


def _readable(place: Place) -> Table | None:
    path = place.folder / TABLE
    try:
        fits = not path.is_symlink() and path.is_file() and path.stat().st_size <= LARGEST[TABLE]
        return read_table(path) if fits else None
    except (BadTable, OSError):
        return None


def validate(paths: Sequence[Path], root: Path | None = None, known: Known | None = None) -> Report:
    """Holds all records under some paths against all rules.

    Args:
        paths: result folders, folders of result folders, or folders of single records.
        root: what paths in problems are told relative to; default: the working directory.
        known: what is installed; default: what really is.

    Raises:
        UsageError: a path is no folder.
        NothingComparable: a path holds no records.
    """
    return validate_places(
        [place for path in paths for place in places_under(path)], root or Path.cwd(), known or Known()
    )


def validate_places(places: Sequence[Place], root: Path, known: Known) -> Report:
    """The same for records that were found already; their result folders are looked at as a whole."""
    reports = []
    for result in results_of(places):
        beside = Beside(result, known)
        reports.append(Report(0, tuple(_of_result(beside, root)), tuple(sweeps.notes_of_reports(result))))
        reports += [_of_place(place, beside, root) for place in dict.fromkeys(places) if place.result == result]
    return merged(reports)


def _of_result(beside: Beside, root: Path) -> Iterator[Problem]:
    for path in strays(beside.result):
        yield Problem(shown(path, root), "path", "is no folder of a record", "Remove it")
    for path, found in sweeps.findings_of_reports(beside.result):
        yield _problem(path, root, found)
    if beside.records:
        where = shown(beside.result, root)
        for rule, text, remedy in controls.missing_controls(list(beside.records.values()), beside.controls):
            yield Problem(where, rule, text, remedy.replace("THIS_FOLDER", where))


def _of_place(place: Place, beside: Beside, root: Path) -> Report:
    entries = entries_of(place.folder)
    problems = [_problem(place.folder / name, root, found) for name, found in pictures.findings_of_files(entries)]
    try:
        record = read_safely(place.record)
    except Unreadable as error:
        return Report(1, (*problems, Problem(shown(place.record, root), "schema", str(error), AGAIN)))
    named = pictures.findings_of_named(record, place.folder, entries)
    problems += [_problem(place.folder / name, root, found) for name, found in named]
    problems += [_problem(place.record, root, found) for found in _of_record(record, place, beside)]
    problems += [_problem(place.folder / TABLE, root, found) for found in _of_table(record, place, beside)]
    return Report(1, tuple(problems), tuple(cards.notes_of_cards(record, beside.known)))


def _of_record(record: Record, place: Place, beside: Beside) -> Iterator[Finding]:
    yield from facts.findings_of_facts(record, place)
    yield from flagged.findings_of_flags(record)
    yield from cards.findings_of_cards(record, beside.known)
    yield from measures.findings_of_measures(record, beside.known)
    yield from pictures.findings_of_examples(record, place.result)
    yield from beside.findings(place, record)


def _of_table(record: Record, place: Place, beside: Beside) -> Iterator[Finding]:
    path = place.folder / TABLE
    if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST[TABLE]:
        return  # said already
    try:
        table = read_table(path)
    except BadTable as error:
        yield "values", str(error), AGAIN
        return
    yield from values.findings_of_values(record, table, beside.known)
    yield from beside.findings_of_table(record, table)


def _problem(path: Path, root: Path, found: Finding) -> Problem:
    rule, text, remedy = found
    return Problem(shown(path, root), rule, text, remedy)
