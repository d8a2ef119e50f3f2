"""``reproduce``: runs a claimed entrant again and holds everything it says against what comes of it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.decode import one_line
from benchmark.errors import EntrantError, NothingComparable, UsageError
from benchmark.records import RISK, Claims, MetricCard, Record, result_id
from benchmark.specs import parse_spec
from benchmark.store import Store, write_atomic
from benchmark.submission.comparing import Comparison, compared
from benchmark.submission.facts import plain

if TYPE_CHECKING:
    from benchmark.pipeline import Pipeline
    from benchmark.registry import Entrant

TOLERANCE = 0.01
"""Of a share, absolute; of any other number, relative to the claimed one. A claim is marked with no more than this."""
SAME = ("kind", "params", "entry_hash", "uses", "deterministic", "k_anonymity")
"""What of an entrant must be the record's, or it is another one."""


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        claimed: the record as it was.
        again: the record made here.
        comparisons: everything that was held against each other.
        share: the tolerance.
    """

    claimed: Record
    again: Record
    comparisons: tuple[Comparison, ...]
    share: float = TOLERANCE

    @property
    def disagreements(self) -> list[Comparison]:
        """What is not the same."""
        return [part for part in self.comparisons if not part.agrees]

    @property
    def left_out(self) -> list[Comparison]:
        """What could not be compared here."""
        return [part for part in self.comparisons if part.left_out]

    @property
    def same_bytes(self) -> bool:
        """Whether every released image is the same, byte for byte."""
        return self.claimed.release_sha256 == self.again.release_sha256 != ""

    @property
    def largest(self) -> Comparison | None:
        """The score that differs most, measured by what is allowed; None where none has a value."""
        values = [part for part in self.comparisons if part.is_value and part.difference is not None]
        return max(values, key=lambda part: part.share_of_limit, default=None)


def further_metrics(record: Record, of_suite: Sequence[str]) -> tuple[str, ...]:
    """Metrics of a record that its suite does not have itself; ``of_suite`` are names on cards."""
    return tuple(card.name for card in record.metrics if card.name != RISK and card.name not in of_suite)


def installed_spec(record: Record) -> str:
    """The entrant's name, where an installed one is called so: a name from a record must not make any file run.

    Raises:
        UsageError: none is.
    """
    from benchmark.registry import names

    if parse_spec(record.entry.name).family not in names("anonymizers"):
        raise UsageError(f"{record.entry.name} is not installed here. Name its file, folder or archive with -e")
    return record.entry.name


def reproduce(record: Record, pipeline: Pipeline, entrant: Entrant, share: float = TOLERANCE) -> Outcome:
    """Runs and scores the entrant again, whatever was kept of it before, and compares all that the record says.

    Args:
        record: what is claimed.
        pipeline: on the suite of that name, with a result folder of its own.
        entrant: what to run.
        share: see ``TOLERANCE``.

    Raises:
        NothingComparable: another suite, other versions of metrics, another method, or attackers that cannot be run here.
        UsageError: the entrant has another name.
        EntrantError: it failed.
    """
    _comparable(record, pipeline, entrant)
    pipeline.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="store-", dir=pipeline.out) as folder:  # which no entrant may read
        # The suite keeps its own images and models; nothing that was ever made of an entrant is read.
        fresh = dataclasses.replace(pipeline, store=Store(Path(folder), pipeline.store.threads))
        again = fresh.run(entrant, record.seed)
    if again.status == "failed":
        raise EntrantError(
            f"{record.entry.name} failed here: {again.coverage.failures[0].message}. Mend it and try again"
        )
    excused = _excused(record, again)
    outcome = Outcome(record, again, tuple(compared(record, again, excused, share)), share)
    if outcome.largest is None:
        raise NothingComparable("no number could be compared. Try: anonbench weights list")
    return outcome


def _comparable(record: Record, pipeline: Pipeline, entrant: Entrant) -> None:
    if entrant.facts.name != record.entry.name:
        raise UsageError(
            f"the record is of {record.entry.name}, and -e names {entrant.facts.name}. Give the same parameters"
        )
    if record.status == "failed":
        raise NothingComparable(f"{record.entry.name} failed in the record; there are no numbers to compare")
    here = pipeline.suite.facts
    if here.suite_hash != record.suite.suite_hash:
        raise NothingComparable(
            f"the record is of {record.suite.name} {record.suite.suite_hash[:12]}, here it is {here.suite_hash[:12]}. Install "
            "the same version of anonbench, or name the same data with --data"
        )
    _same_method(record, entrant)
    _same_cards(record, pipeline.scorer.cards_of(entrant))


def _same_method(record: Record, entrant: Entrant) -> None:
    for name in SAME:
        have, right = getattr(record.entry, name), getattr(entrant.facts, name)
        if have != right:
            commit = record.run.harness_commit[:12]
            with_it = f" (the record was made with commit {commit} of anonbench)" if commit else ""
            raise NothingComparable(
                f"the {name} of {record.entry.name} is {_short(have)} in the record and {_short(right)} here. "
                f"Run the method that was measured{with_it}, or measure this one anew"
            )


def _short(value: object) -> str:
    text = one_line(str(value))
    return f"'{text[:20]}...'" if len(text) > 60 else f"'{text}'"


def _same_cards(record: Record, installed: Sequence[MetricCard]) -> None:
    cards, named = {card.name: card for card in installed}, {card.name for card in record.metrics}
    lacking = next((name for name in cards if name not in named), None)
    if lacking is not None:
        raise NothingComparable(f"the record has no {lacking}, which this suite measures. Score the entrant again")
    for card in record.metrics:
        have = cards.get(card.name)
        if have is None or have.version != card.version:
            found = "missing" if have is None else f"version {have.version}"
            text = f"{card.name} has version {card.version} in the record and is {found} here"
            raise NothingComparable(f"{text}. Install the same version of anonbench")
        other = [name for name in have.weights.keys() & card.weights.keys() if have.weights[name] != card.weights[name]]
        if other or (card.name != RISK and _worded(card) != _worded(have)):  # the risk's follows from the attackers'
            what = f"weights {min(other)}" if other else "card"
            raise NothingComparable(f"{card.name} has another {what} in the record than here. Score the entrant again")


def _worded(card: MetricCard) -> MetricCard:
    return card.model_copy(update={"weights": {}})


def _excused(record: Record, again: Record) -> dict[str, str]:
    """Metrics that cannot be computed on this machine now, with the reason.

    Raises:
        NothingComparable: an attacker is among them: the risk is the worst of all.
    """
    from benchmark.scoring import PROBES_ALONE

    found = {}
    for card in record.metrics:
        claimed, made = record.score(card.name), again.score(card.name)
        if claimed is None or made is None or made.status != "unavailable" or claimed.status == "unavailable":
            continue
        if card.rung:
            raise NothingComparable(
                f"{card.name} cannot be run here ({made.reason}), so the risk cannot be compared. "
                f"{made.remedy or 'Try: anonbench weights list'}"
            )
        if made.reason != PROBES_ALONE.reason and card.name != RISK:
            found[card.name] = f"unavailable here: {made.reason}"
    return found


def claimed_again(outcome: Outcome, by: str) -> Claims:
    """The claims of a record that agrees."""
    largest = outcome.largest
    update = {
        "reproduced_by": by,
        "reproduced_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "max_abs_diff": None if largest is None else largest.difference,
        "max_abs_diff_metric": "" if largest is None else largest.what,
    }
    return outcome.claimed.claims.model_copy(update=update)


def mark_reproduced(path: Path, outcome: Outcome, by: str) -> Record:
    """Writes into a claimed record that it was reproduced; its id stays.

    Raises:
        UsageError: it was changed since it was read, its id is not that of its content, or more was allowed to differ
            than a claim may.
    """
    from benchmark.submission.validating import read_safely

    if outcome.share > TOLERANCE or outcome.disagreements:
        raise UsageError(f"only what agrees within {TOLERANCE} is marked. Leave --tolerance out")
    record = outcome.claimed.model_copy(update={"claims": claimed_again(outcome, by)})
    if read_safely(path) != outcome.claimed or result_id(record) != record.result_id:
        raise UsageError(
            f"{one_line(path)} is not what was reproduced. Type: anonbench validate {one_line(path.parent)}"
        )
    write_atomic(path, (record.model_dump_json(indent=1) + "\n").encode())
    return record


def nobody_certifies_itself(record: Record, by: str) -> None:
    """Whoever reproduces a claim is not who made it.

    Raises:
        UsageError: it is.
    """
    if record.claims.self_reported and plain(by) == plain(record.claims.submitted_by):
        raise UsageError(
            f"{one_line(by)} submitted it, and a claim is reproduced by somebody else. Name them with --by"
        )
