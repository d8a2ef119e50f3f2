"""Who may hand in what: rules for a row that is new on a board, or replaces its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from benchmark.errors import AnonbenchError, UsageError
from benchmark.records import EntrantFacts, Record
from benchmark.specs import parse_spec
from benchmark.submission.controls import EMPTY, UNCHANGED
from benchmark.submission.facts import Finding, plain
from benchmark.submission.known import Known
from benchmark.submission.measures import findings_of_brought
from benchmark.submission.places import RECORD, RECORDS, Place
from benchmark.submission.unchecked import not_recomputed
from benchmark.submission.validating import Unreadable, read_safely
from benchmark.tuning import names_folder

FIRST_RECORDS = "2026"
"""No record is older."""


def parse_family(name: str) -> str:
    """The family of an entrant's name; empty where it cannot be read, which other rules say."""
    try:
        return parse_spec(name).family
    except UsageError:
        return ""


def refusals(record: Record, known: Known) -> Iterator[Finding]:
    """Why a record cannot be handed in, whoever does it."""
    said = record.claims
    if not said.self_reported:
        yield "claims", "it does not say that it is self-reported", "Hand it in with: anonbench submit RESULT"
    if said.reproduced_by or said.reproduced_utc or said.max_abs_diff is not None or said.max_abs_diff_metric:
        yield "claims", "it says that it was reproduced, and only the maintainers say so", "Empty these fields"
    if record.entry.control or parse_family(record.entry.name) in (UNCHANGED, EMPTY):
        yield "entry", "it is a control row of the benchmark", "Hand in an entrant"
    if record.status == "failed":
        yield "entry", "the entrant failed", "Mend it and run it again"
    if record.invalidated is not None:
        yield "claims", "it is invalidated, and only the maintainers do that", "Empty the field"
    suite = known.suite(record.suite.name)
    pictured = bool(record.examples or record.sheet or (record.trace and record.trace.sequences))
    if pictured and (suite is None or not suite.synthetic):
        yield "pictures", "it shows pictures that may be of real people", "Hand it in with: anonbench submit RESULT"
    yield from _impostor(record)


def _impostor(record: Record) -> Iterator[Finding]:
    """Whether an entrant bears the name of an installed one and is another, or leaves out what that one brings along."""
    from benchmark.registry import build_entrant, build_metric, names

    entry = record.entry
    if parse_family(entry.name) not in names("anonymizers"):
        return
    if any(map(names_folder, parse_spec(entry.name).params.values())):  # its writer would choose what is read here
        yield "entry", f"{entry.name} names a file by its path", _OTHER_NAME
        return
    try:
        entrant = build_entrant(entry.name)
    except AnonbenchError as error:
        yield (
            "entry",
            f"{entry.name} cannot be built here: {error}",
            "Install the same version of anonbench and run again",
        )
        return
    yield from _unlike(entry, entrant.facts)
    yield from findings_of_brought(record, [build_metric(spec).card.name for spec in entrant.measures])


def _unlike(entry: EntrantFacts, installed: EntrantFacts) -> Iterator[Finding]:
    pairs = [(field, getattr(entry, field), getattr(installed, field)) for field in SHARED]
    pairs.append(("weights", _digests(entry), _digests(installed)))
    different = next((field for field, mine, right in pairs if mine != right), None)
    if different is not None:
        text = f"{entry.name} is an entrant of anonbench, and its {different} is not that of the installed one"
        yield "entry", text, "Give your method a name of its own, or install the same version and run again"


SHARED = ("entry_hash", "kind", "params", "uses", "k_anonymity")


def _digests(entry: EntrantFacts) -> dict[str, str]:
    return {model.name: model.sha256 for model in entry.weights}


def replaces(record: Record, before: Record | None) -> Iterator[Finding]:
    """Whether the row that stood there may be replaced, and the new one says so."""
    if before is None:
        if record.supersedes:
            yield "diff", "it supersedes a row, and none stands there", "Empty supersedes"
        return
    theirs = before.claims
    if (
        not theirs.self_reported
        or theirs.submitted_by != record.claims.submitted_by
        or before.entry.name != record.entry.name
    ):
        yield "diff", "another's row stands there", "Give your method a name of its own"
    elif theirs.reproduced_by:
        yield "diff", "the row that stands there is reproduced", "Ask the maintainers to replace it"
    elif record.result_id != before.result_id and record.supersedes != before.result_id:
        yield "diff", "it replaces a row and does not name it", f"Set supersedes to {before.result_id}"


def findings_of_place(
    place: Place, record: Record, committed: Collection[tuple[str, str]], touched: Collection[Place]
) -> Iterator[Finding]:
    """Whether a row stands in a folder of the board, under a name that is nobody else's.

    Args:
        place: where it stands.
        record: what stands there.
        committed: result folder and slug of every row that stood there before.
        touched: all places of the submission.
    """
    result, names = place.result.name, {folder for folder, _ in committed}
    if result not in names:
        known = f"there are: {', '.join(sorted(names))}" if names else "there are none yet"
        yield "diff", f"{result} is no board that exists ({known})", "Hand it in with: anonbench submit RESULT"
    if result != record.suite.name:
        yield "path", f"it was measured on {record.suite.name} and lies among the results of {result}", "Move it there"
    there = {slug for folder, slug in committed if folder == result}
    there |= {one.slug for one in touched if one.result == place.result}
    twin = next((slug for slug in sorted(there) if slug != place.slug and plain(slug) == plain(place.slug)), None)
    if twin is not None:
        yield "path", f"{place.slug} differs from {twin}, which stands there, in capital letters alone", _OTHER_NAME
    shown = record.entry.display_name
    if shown != record.entry.name and _slug(shown) in {plain(slug) for slug in there}:
        yield "entry", f"it is shown as {shown}, which is another row's name", _OTHER_NAME
    yield from _of_seeds(place)
    yield from _like_a_control(place, record)


def _slug(name: str) -> str:
    try:
        return plain(parse_spec(name).slug)
    except UsageError:
        return ""


_OTHER_NAME = "Give your method a name of its own"


def _of_seeds(place: Place) -> Iterator[Finding]:
    """Nobody shows the best of their seeds: the first that the controls have is there."""
    first = min((_seed(path.parent.name) for path in _records(place, UNCHANGED)), default=0)
    if first not in {_seed(path.parent.name) for path in _records(place, place.slug)}:
        yield "controls", f"seed {first}, under which the controls stand, is missing", f"Run it with --seed {first} too"


def _records(place: Place, slug: str) -> list[Path]:
    return sorted((place.result / RECORDS / slug).glob(f"seed-*/{RECORD}"), key=lambda path: _seed(path.parent.name))


def _seed(run: str) -> int:
    number = run.removeprefix("seed-")
    return int(number) if number.isascii() and number.isdigit() else -1


def _like_a_control(place: Place, record: Record) -> Iterator[Finding]:
    """Controls of a board need not be the usual two."""
    family = parse_family(record.entry.name)
    for path in sorted((place.result / RECORDS).glob(f"*/*/{RECORD}")):
        if not family or path == place.record or not path.parent.parent.name.startswith(family):
            continue
        with suppress(Unreadable):
            other = read_safely(path).entry
            if other.control and other.family == family:
                yield "entry", f"{family} is a control of this board", _OTHER_NAME
                return


def control_beside(place: Place) -> Record | None:
    """The control that releases originals, from the folder a row stands in."""
    return _first(place, UNCHANGED)


def empty_beside(place: Place) -> Record | None:
    """The control that releases nothing."""
    return _first(place, EMPTY)


def _first(place: Place, slug: str) -> Record | None:
    for path in _records(place, slug):
        with suppress(Unreadable):
            return read_safely(path)
    return None


def notes_of_row(record: Record, before: Record | None, known_row: bool) -> Iterator[str]:
    """What no rule decides, and whoever merges has to know.

    Args:
        record: the row.
        before: what stood there.
        known_row: whether other seeds of it stood there.
    """
    name, who = record.entry.name, record.claims.submitted_by
    if before is not None and before.claims.self_reported:
        yield f"{name} replaces the row of {who}: a maintainer must confirm that {who} asks for it"
    elif before is None and known_row:
        yield f"{name} adds seed {record.seed} to the row of {who}: a maintainer must confirm that {who} asks for it"
    if record.run.harness_dirty:
        yield f"{name} was measured with an anonbench that somebody had changed (harness_dirty)"
    if not record.run.packages:
        yield f"{name} names no versions of the packages it was measured with"
    if record.created_utc < FIRST_RECORDS or record.created_utc > datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"):
        yield f"{name} says that it was made at {record.created_utc}"
    open_numbers = not_recomputed(record)
    if open_numbers:
        yield f"{name}: claimed numbers that nothing in the record checks: {', '.join(open_numbers)}"
