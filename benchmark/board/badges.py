"""Badges: what a reader has to know about an entrant before believing its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.board.load import Entrant
from benchmark.board.numbers import counted
from benchmark.board.standing import loud_flags
from benchmark.records import Claims, Failure, Record


@dataclass(frozen=True)
class Badge:
    """A short word with its explanation."""

    kind: str
    """``quiet``, ``warn`` or ``bad``: how loud it is."""
    text: str
    title: str


def badges_of(entrant: Entrant) -> list[Badge]:
    """All badges of an entrant, the loudest first."""
    record = entrant.record
    found = [*_status(record), *_flags(record), *_claims(record.claims), *_nature(record)]
    if len(entrant.runs) > 1:
        title = f"The row shows seed {record.seed}; the other seeds are on the entrant's page."
        found.append(Badge("quiet", counted(len(entrant.runs), "seed"), title))
    return found


def provenance(claims: Claims) -> str:
    """Who measured, in a sentence."""
    if not claims.self_reported:
        return "Measured by the maintainers of this board."
    if not claims.reproduced_by:
        return f"Claimed by {_submitter(claims)}, and not reproduced by anybody else."
    when = f" on {claims.reproduced_utc}" if claims.reproduced_utc else ""
    return f"Claimed by {_submitter(claims)}, reproduced by {claims.reproduced_by}{when}{_apart(claims)}."


def _submitter(claims: Claims) -> str:
    return claims.submitted_by or "somebody who is not named"


def _apart(claims: Claims) -> str:
    """How far the reproduced numbers are from the claimed ones, with the metric that differs most."""
    if claims.max_abs_diff is None:
        return ""
    where = f" in {claims.max_abs_diff_metric}" if claims.max_abs_diff_metric else ""
    return f", largest difference {claims.max_abs_diff:g}{where}"


def main_failure(record: Record) -> Failure | None:
    """The failure that explains a failed entrant: one of the whole entrant rather than one of an image."""
    failures = sorted(record.coverage.failures, key=lambda failure: bool(failure.key))
    return failures[0] if failures else None


def failure_text(record: Record) -> str:
    """Why an entrant failed, in a line."""
    failure = main_failure(record)
    if failure is None:
        return "The record names no cause."
    where = f" ({failure.key})" if failure.key else ""
    return f"{failure.stage}{where}: {failure.message}"


def _status(record: Record) -> list[Badge]:
    coverage = record.coverage
    if record.status == "failed":
        return [Badge("bad", "failed", failure_text(record))]
    if record.status == "partial":
        lost = f"{coverage.n_failed} of {counted(coverage.n_expected, 'image')} failed"
        images = [f"{lost}. The denominator stays {coverage.n_expected}."] if coverage.n_failed else []
        broken = [score.metric for score in record.scores if score.status == "failed"]
        metrics = [f"Could not be scored with: {', '.join(broken)}."] if broken else []
        return [Badge("warn", "partial", " ".join([*images, *metrics]) or "The record names no cause.")]
    return []


def _flags(record: Record) -> list[Badge]:
    """What makes the result no result, then what its scores object to."""
    worst = [Badge("bad", name, text) for name, text in sorted(record.flags.items())]
    return [*worst, *(Badge("warn", name, text) for name, text in loud_flags(record))]


def _claims(claims: Claims) -> list[Badge]:
    if not claims.self_reported:
        return []
    return [Badge("quiet" if claims.reproduced_by else "warn", _claim_word(claims), provenance(claims))]


def _claim_word(claims: Claims) -> str:
    return "reproduced" if claims.reproduced_by else "claimed"


def _nature(record: Record) -> list[Badge]:
    entry = record.entry
    found = []
    if entry.control:
        found.append(Badge("quiet", "control", "A row that exists to check the benchmark, not to compete."))
    if not entry.deterministic:
        found.append(Badge("warn", "non-deterministic", "Two runs with one seed may release different images."))
    if entry.kind != "python":
        found.append(Badge("quiet", entry.kind, _KINDS[entry.kind]))
    if entry.uses:
        needs = ", ".join(entry.uses)
        found.append(Badge("quiet", f"uses {needs}", f"Besides the images the method is handed: {needs}."))
    return found


_KINDS = {
    "process": "Runs as a command of its own, outside the harness.",
    "precomputed": "Released images were handed in; the method itself was not run here.",
}
