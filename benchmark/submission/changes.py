"""What a submission may change: it adds records of its own, or replaces its own, and touches nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from benchmark.decode import one_line
from benchmark.errors import UsageError
from benchmark.records import Record
from benchmark.submission.admission import (
    control_beside,
    empty_beside,
    findings_of_place,
    notes_of_row,
    refusals,
    replaces,
)
from benchmark.submission.cards import findings_of_same_cards, findings_of_words
from benchmark.submission.controls import findings_of_whole
from benchmark.submission.examples import findings_of_shown
from benchmark.submission.facts import Finding
from benchmark.submission.git import GitRefused, commit_of, git, line, paths_in, top_of
from benchmark.submission.known import Known
from benchmark.submission.places import PICTURE, RECORD, REPORTED, Place, allowed
from benchmark.submission.problems import Problem, Report, merged
from benchmark.submission.validating import Unreadable, read_safely, validate_places

FILE = re.compile(r"([A-Za-z0-9._+-]+)/records/([A-Za-z0-9.=+_-]+)/(seed-[0-9]{1,19})/(.+)")
ORDINARY = "100644"
MODES = {"120000": "a link", "160000": "a submodule", "100755": "marked as a program"}
_TAKE_OUT = "Take it out of the branch; `anonbench submit RESULT` makes one that holds nothing else"


@dataclass(frozen=True)
class Change:
    """One file that differs between two commits.

    Attributes:
        path: from the top of the repository.
        status: ``A``, ``M``, ``D`` or another letter of git.
        mode: of the file afterwards, six octal digits.
    """

    path: str
    status: str
    mode: str


def changes_between(top: Path, before: str, after: str) -> list[Change]:
    """The files that differ, renames taken apart."""
    words = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-textconv", "--no-ext-diff", before, after)
    parts = git(top, *words).decode(errors="surrogateescape").split("\0")[:-1]
    heads, paths = parts[::2], parts[1::2]
    return [Change(path, head.split()[-1], head.split()[1]) for head, path in zip(heads, paths, strict=True)]


@dataclass(frozen=True)
class Submission:
    """A branch that wants to add rows.

    Attributes:
        top: top folder of its checkout.
        base: commit it branched off.
        changes: what differs.
        results: folder of the result folders, from the top, as in ``results``.
    """

    top: Path
    base: str
    changes: tuple[Change, ...]
    results: str

    def place_of(self, path: str) -> Place | None:
        """The record a file belongs to; None where it is no file of a record."""
        prefix = f"{self.results}/"
        found = FILE.fullmatch(path.removeprefix(prefix)) if path.startswith(prefix) else None
        if found is None or not allowed(found[4]) or found[1] in (".", "..", REPORTED):
            return None
        return Place(self.top / self.results / found[1], found[2], found[3])

    @cached_property
    def committed(self) -> frozenset[tuple[str, str]]:
        """Result folder and slug of every row that stood there before."""
        found = (self.place_of(path) for path in paths_in(self.top, self.base, self.results))
        return frozenset((place.result.name, place.slug) for place in found if place is not None)

    @property
    def places(self) -> list[Place]:
        """The records it touches."""
        found = [self.place_of(change.path) for change in self.changes]
        return sorted({place for place in found if place is not None})

    def before(self, place: Place) -> Record | None:
        """The record that stood there before, or None.

        Raises:
            GitRefused: git cannot show it.
            ValidationError: it is no record.
        """
        path = place.record.relative_to(self.top).as_posix()
        if not git(self.top, "ls-tree", "--full-tree", self.base, "--", path):
            return None
        return Record.model_validate_json(git(self.top, "cat-file", "blob", f"{self.base}:{path}"))


def open_submission(root: Path, base: str, results: Path) -> Submission:
    """Compares what is checked out under ``root`` with where it left ``base``.

    Raises:
        UsageError: no repository, no such commit, no common history, or files that are not committed.
    """
    top = top_of(root).resolve()
    folder = (root / results).resolve()
    if not folder.is_relative_to(top) or folder == top:
        raise UsageError(f"{one_line(results)} is not in the repository {one_line(top)}. Name its folder of results")
    head, ahead = commit_of(top, "HEAD"), commit_of(top, base)
    try:
        fork = line(top, "merge-base", ahead, head)
    except GitRefused as error:
        raise UsageError(f"{base} and HEAD have no common history here. Try: git fetch --unshallow origin") from error
    if git(top, "status", "--porcelain", "--untracked-files=all", "--", str(folder)):
        raise UsageError(
            f"{one_line(folder)} holds files that are not committed. Type: git add and git commit, or remove them"
        )
    found = tuple(changes_between(top, fork, head))
    return Submission(top, fork, found, folder.relative_to(top).as_posix())


def validate_submission(submission: Submission, known: Known) -> Report:
    """Holds a branch against the rules for submissions, and the records it touches against all others."""
    found = [Problem(one_line(change.path), *finding) for change, finding in _of_changes(submission)]
    there = [place for place in submission.places if place.folder.is_dir() and not _linked(place, submission.top)]
    found += [_problem(place, submission, finding) for place in there for finding in _of_row(place, submission, known)]
    notes = tuple(_notes(there, submission)) if submission.changes else ("the branch changes nothing",)
    rest = validate_places(there, submission.top, known)
    return merged([Report(0, tuple(found), notes), rest])


def _what(change: Change, submission: Submission) -> str:
    """Why a file belongs to no record."""
    if change.path.startswith(f"{submission.results}/{REPORTED}/"):
        return "lies among the figures from publications, which are no records"
    return "is no file of a record"


def _problem(place: Place, submission: Submission, finding: Finding) -> Problem:
    return Problem(one_line(place.record.relative_to(submission.top).as_posix()), *finding)


def _linked(place: Place, top: Path) -> bool:
    """Whether a folder on the way to a record is a link, which could lead out of the checkout."""
    return any(folder.is_symlink() for folder in (place.folder, *place.folder.parents) if folder.is_relative_to(top))


def _of_changes(submission: Submission) -> Iterator[tuple[Change, Finding]]:
    records = {
        change.path for change in submission.changes if change.path.endswith(f"/{RECORD}") and change.status in "AM"
    }
    for change in submission.changes:
        place = submission.place_of(change.path)
        if change.status != "D" and change.mode in MODES:
            yield change, ("diff", f"is {MODES[change.mode]}", _TAKE_OUT)
            continue
        if place is None:
            yield change, ("diff", f"{_what(change, submission)}, and a submission touches nothing else", _TAKE_OUT)
            continue
        path = place.record.relative_to(submission.top).as_posix()
        name = change.path.removeprefix(path.removesuffix(RECORD))
        replaced = path in records
        if change.status == "D" and not (replaced and PICTURE.fullmatch(name)):
            yield change, ("diff", "is deleted, and a submission deletes nothing", _TAKE_OUT)
        elif change.status not in ("A", "M", "D"):
            yield change, ("diff", "changes its kind", _TAKE_OUT)
        elif change.status != "D" and change.mode != ORDINARY:
            yield change, ("diff", "is no ordinary file", _TAKE_OUT)
        elif not replaced:
            yield change, ("diff", f"changes beside a {RECORD} that stays as it was", _TAKE_OUT)


def _of_row(place: Place, submission: Submission, known: Known) -> Iterator[Finding]:
    """The rules for a row that is handed in."""
    try:
        record = read_safely(place.record)
    except Unreadable:
        return  # said by the others
    try:
        before = submission.before(place)
    except (GitRefused, ValidationError) as error:
        yield "diff", f"the row that stands there cannot be read ({error})", "Ask the maintainers"
        return
    yield from refusals(record, known)
    yield from replaces(record, before)
    yield from findings_of_place(place, record, submission.committed, submission.places)
    control = control_beside(place)
    yield from findings_of_words(record, None if control is None else control.suite, known)
    if control is not None:
        yield from findings_of_same_cards(record, control, known)
        yield from findings_of_whole(record, control, empty_beside(place))
        yield from findings_of_shown(record, place, control)


def _notes(places: Sequence[Place], submission: Submission) -> Iterator[str]:
    """What a maintainer has to look at, and no rule decides."""
    for place in places:
        with suppress(Unreadable, GitRefused, ValidationError):
            record = read_safely(place.record)
            known_row = (place.result.name, place.slug) in submission.committed
            yield from notes_of_row(record, submission.before(place), known_row)
