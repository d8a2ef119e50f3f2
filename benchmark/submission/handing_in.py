"""``submit``: a branch that holds a result and nothing else, made without touching what the user has checked out."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from benchmark.decode import one_line
from benchmark.errors import AnonbenchError, EnvironmentProblem, UsageError
from benchmark.records import Claims, Record
from benchmark.store import write_atomic
from benchmark.submission.admission import refusals
from benchmark.submission.changes import open_submission, validate_submission
from benchmark.submission.git import GitRefused, folders_in, git, known_ref, line, paths_in, top_of
from benchmark.submission.known import Known
from benchmark.submission.pictures import pictures_named
from benchmark.submission.places import LARGEST, PACKAGES, RECORD, TABLE, Place, largest, places_under
from benchmark.submission.problems import Problem
from benchmark.submission.validating import Unreadable, read_safely

RESULTS = "results"
BASES = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/heads/main", "refs/heads/master")
"""What a branch starts from: the first that exists, else what is checked out."""


@dataclass(frozen=True)
class Answers:
    """What the submitter says, in the submitter's words."""

    submitted_by: str
    conflict_of_interest: str
    training_overlap: str
    publishable: bool


@dataclass(frozen=True)
class HandedIn:
    """A branch that is ready to be pushed.

    Attributes:
        branch: its name.
        base: what it started from.
        rows: folders of the records, from the top of the repository.
        records: what they hold.
        without_pictures: whether pictures were left out, because they may show real people.
    """

    branch: str
    base: str
    rows: tuple[str, ...]
    records: tuple[Record, ...]
    without_pictures: bool


class Refused(UsageError):
    """A result that breaks rules; carries all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problems; nothing was changed. Mend them and run the same command again")
        self.problems = tuple(problems)


def submit(result: Path, repo: Path, answers: Answers, known: Known | None = None) -> HandedIn:
    """Makes the branch ``submit/<suite>/<slug>`` with the records of one entrant; on any failure nothing is left of it.

    Args:
        result: a record's folder, or an entrant's with all its seeds.
        repo: a folder of the repository that holds ``results``.
        answers: the claims.
        known: what is installed; default: what really is.

    Raises:
        Refused: the result breaks rules.
        UsageError: it cannot be handed in here.
        EnvironmentProblem: git or the disk refuses.
    """
    known, top = known or Known(), top_of(repo)
    if not answers.publishable:
        raise UsageError(
            "what may not be published cannot be handed in. Ask whoever owns the images, then give --publishable"
        )
    rows = [(place, _readable(place)) for place in _places(result)]
    records = [_claimed(record, answers, known) for _, record in rows]
    _fits(rows[0][1], top, _base(top))
    for place, record in zip([place for place, _ in rows], records, strict=True):
        _refuse(place, record, known)
    branch, base = branch_of(rows[0][1], rows[0][0].slug), _base(top)
    _may_begin(top, branch)
    with _worktree(top, branch, base) as tree:
        made = [_copied(place, record, tree) for (place, _), record in zip(rows, records, strict=True)]
        _commit(tree, made, records)
        found = validate_submission(open_submission(tree, base, Path(RESULTS)), known)
        if found.problems:
            raise Refused(found.problems)
    bare = any(record.examples and not mine.examples for (_, record), mine in zip(rows, records, strict=True))
    return HandedIn(branch, base, tuple(made), tuple(records), bare)


def _places(result: Path) -> list[Place]:
    places = places_under(result)
    if len({(place.result, place.slug) for place in places}) > 1:
        raise UsageError(f"{one_line(result)} holds several entrants. Name one: {one_line(places[0].folder.parent)}")
    return places


def _readable(place: Place) -> Record:
    try:
        return read_safely(place.record)
    except Unreadable as error:
        raise UsageError(f"{one_line(place.record)} {error}. Run the entrant again") from error


def _claimed(record: Record, answers: Answers, known: Known) -> Record:
    """The record with the submitter's claims; without pictures where they may show real people."""
    if record.claims.reproduced_by:
        raise UsageError(
            f"{record.entry.name} is reproduced already and cannot be handed in as a claim. Run it yourself"
        )
    said = Claims(
        self_reported=True,
        submitted_by=answers.submitted_by,
        conflict_of_interest=answers.conflict_of_interest,
        training_overlap=answers.training_overlap,
        publishable=answers.publishable,
    )
    record = record.model_copy(update={"claims": said, "supersedes": ""})
    suite = known.suite(record.suite.name)
    return record if suite is not None and suite.synthetic else _without_pictures(record)


def _without_pictures(record: Record) -> Record:
    trace = None if record.trace is None else record.trace.model_copy(update={"sequences": ()})
    if not pictures_named(record):
        return record
    return record.model_copy(update={"examples": (), "trace": trace, "sheet": None}).identified()


def _refuse(place: Place, record: Record, known: Known) -> None:
    found = [Problem(one_line(place.record), *finding) for finding in refusals(record, known)]
    if found:
        raise Refused(found)


def _fits(record: Record, top: Path, base: str) -> None:
    """Whether the commit that the branch starts from has results of this suite, of this very version."""
    there, name = folders_in(top, base, RESULTS), record.suite.name
    if name not in there:
        known = f"It has results of {', '.join(sorted(there))}" if there else "Name one with --repo"
        raise UsageError(f"{one_line(top)} ({base}) has no results of {one_line(name)} to stand beside. {known}")
    for path in paths_in(top, base, f"{RESULTS}/{name}/records"):
        if not path.endswith(f"/{RECORD}"):
            continue
        other = _committed(top, base, path)
        if other.suite.suite_hash != record.suite.suite_hash:
            raise UsageError(
                f"{record.entry.name} was measured on {name} {record.suite.suite_hash[:12]}, the rows of {one_line(top)} on "
                f"{other.suite.suite_hash[:12]}. Install the anonbench of that repository and run again"
            )
        return  # all rows of a folder are of one version: `validate` sees to it


def _committed(top: Path, base: str, path: str) -> Record:
    try:
        return Record.model_validate_json(git(top, "cat-file", "blob", f"{base}:{path}"))
    except ValidationError as error:
        raise UsageError(f"{path} of {base} is no record. Type: anonbench validate {RESULTS}") from error


def branch_of(record: Record, slug: str) -> str:
    """A name that git takes, whatever the slug."""
    return f"submit/{record.suite.name}/" + re.sub(r"^[.-]|\.{2,}|\.lock$|\.$", "-", slug)


def _base(top: Path) -> str:
    return next((name for name in BASES if known_ref(top, name)), "HEAD")


def _may_begin(top: Path, branch: str) -> None:
    for above in [parent.as_posix() for parent in PurePosixPath(branch).parents][:-1]:
        if known_ref(top, f"refs/heads/{above}"):
            raise UsageError(
                f"your branch '{above}' is in the way of {branch}. Type: git branch -m {above} {above}-old"
            )
    if known_ref(top, f"refs/heads/{branch}"):
        raise UsageError(f"the branch {branch} exists already. Push it, or remove it with: git branch -D {branch}")
    try:
        git(top, "var", "GIT_AUTHOR_IDENT")
        git(top, "var", "GIT_COMMITTER_IDENT")
    except GitRefused as error:
        raise EnvironmentProblem(
            "git does not know who you are. Type: git config user.name NAME, and git config user.email ADDRESS"
        ) from error


@contextmanager
def looked_at(top: Path, branch: str) -> Iterator[Path]:
    """A checkout of a branch to look at, which leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="anonbench-look-"))
    tree = folder / "tree"
    try:
        git(top, "worktree", "add", "--quiet", "--detach", str(tree), f"refs/heads/{branch}")
        yield tree
    except GitRefused as error:
        raise EnvironmentProblem(
            f"git refused: {error}. Nothing was changed; mend it and run the same command again"
        ) from error
    finally:
        _clear(top, folder, tree, "")


@contextmanager
def _worktree(top: Path, branch: str, base: str) -> Iterator[Path]:
    """A checkout of its own on a new branch; the branch stays if all goes well, and otherwise nothing does."""
    folder = Path(tempfile.mkdtemp(prefix="anonbench-submit-"))
    tree, done = folder / "tree", False
    try:
        git(top, "worktree", "add", "--quiet", "--no-track", "-b", branch, str(tree), base)
        yield tree
        done = True
    except GitRefused as error:
        raise EnvironmentProblem(
            f"git refused: {error}. Nothing was changed; mend it and run the same command again"
        ) from error
    except OSError as error:
        raise EnvironmentProblem(
            f"{error.filename or folder}: {error.strerror or error}. Nothing was changed; mend it and run the same command again"
        ) from error
    finally:
        _clear(top, folder, tree, "" if done else branch)


def _clear(top: Path, folder: Path, tree: Path, branch: str) -> None:
    """Takes the checkout away, and the branch if there is one to take; each step is tried whatever the others do."""
    for words in (("worktree", "remove", "--force", str(tree)), ("worktree", "prune")):
        with suppress(GitRefused):
            git(top, *words)
    shutil.rmtree(folder, ignore_errors=True)
    if branch and known_ref(top, f"refs/heads/{branch}"):
        with suppress(GitRefused):
            git(top, "worktree", "prune")
            git(top, "branch", "--quiet", "-D", branch)


def _copied(place: Place, record: Record, tree: Path) -> str:
    """Copies the files that a record names, and no others, and writes the record."""
    row = Path(RESULTS, record.suite.name, "records", place.slug, f"seed-{record.seed}")
    target = tree / row
    before = target / RECORD
    if before.is_file():
        there = read_safely(before)
        same = record.result_id == there.result_id
        record = record.model_copy(update={"supersedes": there.supersedes if same else there.result_id})
        shutil.rmtree(target)
    for name in (*LARGEST, *pictures_named(record)):
        source = place.folder / name
        if name == RECORD or (name in (TABLE, PACKAGES) and not source.is_file()):
            continue
        if source.is_symlink() or source.stat().st_size > largest(name):
            raise UsageError(f"{one_line(source)} is a link or too large. Run the entrant again")
        write_atomic(target / name, source.read_bytes())
    write_atomic(target / RECORD, (record.model_dump_json(indent=1) + "\n").encode())
    return row.as_posix()


def _commit(tree: Path, rows: Sequence[str], records: Sequence[Record]) -> None:
    git(tree, "add", "--force", "--all", "--", *rows)
    if not git(tree, "status", "--porcelain"):
        raise UsageError(f"{records[0].entry.name} stands there already, word for word. There is nothing to hand in")
    record = records[0]
    seeds = ", ".join(str(one.seed) for one in records)
    text = f"Row of {record.entry.name} on {record.suite.name}, seed {seeds}"
    git(tree, "commit", "--quiet", "--no-verify", "-m", text, "-m", f"Claimed by {record.claims.submitted_by}.")


def author_of(folder: Path) -> str:
    """The name git knows the user by; empty where it knows none."""
    with suppress(GitRefused, AnonbenchError):
        return line(folder, "config", "user.name")
    return ""
