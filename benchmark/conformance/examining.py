"""The whole examination of one entrant."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.conformance import checks, pictures
from benchmark.conformance.calling import Caller, Outcome
from benchmark.conformance.checks import Kit, trouble
from benchmark.conformance.examination import Examination, Finding
from benchmark.conformance.precomputed import look_at_files
from benchmark.entrants.precomputed import PrecomputedEntrant
from benchmark.entrants.process import ProcessEntrant
from benchmark.errors import EnvironmentProblem
from benchmark.protocols import Report, quiet
from benchmark.registry import Entrant, build_entrant
from benchmark.sandbox import at_most

PEOPLE = 8
"""People on the pictures, unless an entrant claims that more share an image."""
MOST_PEOPLE = 100
SECONDS = 60.0
"""Time of one call of a command, so that an examination ends, whatever its own limit is."""
CHECKS = (
    checks.repeatable,
    checks.order,
    checks.single,
    checks.sizes,
    checks.contents,
    checks.uses,
    checks.claim,
    checks.effect,
)


def examine(entrant: Entrant | str, report: Report = quiet) -> Examination:
    """Tries an entrant on generated pictures; nothing is downloaded and nothing is kept.

    Args:
        entrant: an entrant or its spec, such as ``my_blur.py:MyBlur(size=4)``.
        report: shows progress.

    Raises:
        AnonbenchError: it cannot be built, or it says that the machine is in the way; of that error's class.
    """
    built = build_entrant(entrant) if isinstance(entrant, str) else entrant
    name, first = built.facts.name, [Finding("builds", "pass", _told(built))]
    if isinstance(built.anonymizer, PrecomputedEntrant):
        return Examination(name, (*first, *look_at_files(built.anonymizer, report)))
    if isinstance(built.anonymizer, ProcessEntrant):
        first += _command(built.anonymizer)
    with at_most(SECONDS):
        return _tried(built, name, first, report)


def _command(entrant: ProcessEntrant) -> Iterator[Finding]:
    """What it runs, and what of it nobody will notice to be another one."""
    command, *reads = entrant.told
    yield Finding("command", "pass", command)
    for read in reads:
        yield Finding("may read", "pass", read)
    if entrant.not_hashed:
        text = f"{entrant.not_hashed} files beside its description are too many or too large to be part of its hash"
        yield Finding("hash", "note", f"{text}; name those that make the method under 'files'")


def _tried(built: Entrant, name: str, first: list[Finding], report: Report) -> Examination:
    plain = pictures.faces(_people(built))
    caller = Caller(built, plain, report)
    base = caller.call(caller.hand(plain))
    if base.machine:
        raise EnvironmentProblem(base.text)
    seconds = base.seconds / len(plain)
    return Examination(name, (*first, *_findings(caller, base)), None if base.released is None else seconds)


def _told(entrant: Entrant) -> str:
    """What it says about itself."""
    facts = entrant.facts
    cut = "may" if entrant.shardable else "may not"
    return f"{facts.kind}; uses: {', '.join(facts.uses) or 'nothing'}; the set {cut} be cut into parts"


def _people(entrant: Entrant) -> int:
    return min(MOST_PEOPLE, max(PEOPLE, 2 * (entrant.facts.k_anonymity or 0)))


def _findings(caller: Caller, base: Outcome) -> Iterator[Finding]:
    if base.trouble:
        yield _stopped(caller, base)
        return
    count, kit = len(base.given), Kit(caller, base)
    yield Finding("protocol", "pass", f"{count} plain faces in, {count} 8-bit RGB images of the same size out")
    found = [finding for check in CHECKS for finding in check(kit)]
    yield _input(caller)
    yield from found
    isolation = str(getattr(caller.entrant.anonymizer, "isolation", ""))
    if isolation:
        yield Finding("isolation", "pass" if isolation.startswith("bubblewrap") else "note", isolation)
    yield Finding(
        "time", "pass", f"{1000 * base.seconds / count:.3g} ms per image of {pictures.SIDE} x {pictures.SIDE}"
    )


def _stopped(caller: Caller, base: Outcome) -> Finding:
    """Why it did not get through the plain faces, on which everything else depends."""
    extra = () if base.trouble == "broken" else checks.undeclared(caller)
    if extra:
        text = f"it works only with what it does not declare ({', '.join(extra)}); without, {trouble(base)}"
        return Finding("uses", "fail", f"{text}. Add it to uses")
    return Finding("protocol", "fail", f"{len(base.given)} plain faces: {trouble(base)}")


def _input(caller: Caller) -> Finding:
    if caller.changed:
        return Finding("input", "fail", "it changes the images or labels it is handed; work on a copy")
    return Finding("input", "pass", "what it is handed stays as it is")
