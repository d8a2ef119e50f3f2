"""``reproduce``: runs a claimed entrant again and holds the numbers against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.decode import one_line
from benchmark.errors import EntrantError, NothingComparable, UsageError
from benchmark.records import RISK, Claims, MetricCard, Record, Score, result_id
from benchmark.specs import parse_spec
from benchmark.store import write_atomic

if TYPE_CHECKING:
    from benchmark.pipeline import Pipeline
    from benchmark.registry import Entrant

TOLERANCE = 0.01
"""Of a share, absolute; of any other number, relative to the claimed one."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Comparison:
    """One number, claimed and made again.

    Attributes:
        card: of its metric.
        claimed, again: the two scores.
        limit: largest difference that still agrees, in the metric's unit.
        left_out: why it was not compared; empty if it was.
    """

    card: MetricCard
    claimed: Score
    again: Score
    limit: float
    left_out: str = ""

    @property
    def difference(self) -> float | None:
        """Absolute difference of the values; None where one has none."""
        if self.claimed.value is None or self.again.value is None or self.left_out:
            return None
        return abs(self.claimed.value - self.again.value)

    @property
    def share_of_limit(self) -> float:
        """The difference as a multiple of what is allowed."""
        return (self.difference or 0.0) / self.limit

    @property
    def agrees(self) -> bool:
        """Whether status and value agree, or nothing could be compared."""
        if self.left_out:
            return True
        same = self.claimed.status == self.again.status
        return same and (self.difference is None or self.difference <= self.limit)


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        claimed: the record as it was.
        again: the record made here.
        comparisons: one per metric of the claimed record.
    """

    claimed: Record
    again: Record
    comparisons: tuple[Comparison, ...]

    @property
    def disagreements(self) -> list[Comparison]:
        """Numbers that are not the same."""
        return [part for part in self.comparisons if not part.agrees]

    @property
    def same_bytes(self) -> bool:
        """Whether every released image is the same, byte for byte."""
        return self.claimed.release_sha256 == self.again.release_sha256 != ""

    @property
    def largest(self) -> Comparison | None:
        """The number that differs most, measured by what is allowed; None where none has a value."""
        compared = [part for part in self.comparisons if part.difference is not None]
        return max(compared, key=lambda part: part.share_of_limit, default=None)


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
    """Runs the entrant again, even if it was run here before, and compares every score.

    Args:
        record: what is claimed.
        pipeline: on the suite of that name, with a result folder of its own.
        entrant: what to run.
        share: see ``TOLERANCE``.

    Raises:
        NothingComparable: another suite, other versions of metrics, or attackers that cannot be run here.
        UsageError: the entrant is another one.
        EntrantError: it failed.
    """
    from benchmark.release import cell_key, find_release, forget_release

    _comparable(record, pipeline, entrant)
    kept = find_release(pipeline.store, cell_key(pipeline.suite, entrant, record.seed))
    if kept is not None:
        forget_release(pipeline.store, kept)
    again = pipeline.run(entrant, record.seed)
    if again.status == "failed":
        raise EntrantError(
            f"{record.entry.name} failed here: {again.coverage.failures[0].message}. Mend it and try again"
        )
    outcome = Outcome(record, again, tuple(_compared(record, again, share)))
    _faced_all(outcome)
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
    cards = {card.name: card for card in pipeline.scorer.cards}
    for card in record.metrics:
        have = cards.get(card.name)
        if have is None or have.version != card.version:
            found = "missing" if have is None else f"version {have.version}"
            text = f"{card.name} has version {card.version} in the record and is {found} here"
            raise NothingComparable(f"{text}. Install the same version of anonbench")


def _compared(record: Record, again: Record, share: float) -> list[Comparison]:
    found = []
    for card in record.metrics:
        claimed, made = record.score(card.name), again.score(card.name)
        if claimed is None or made is None:
            raise NothingComparable(f"{card.name} has no score in the record or here. Score the entrant again")
        scale = 1.0 if card.unit == "share" else abs(claimed.value or 0.0)
        found.append(Comparison(card, claimed, made, share * scale + ROUNDING, _left_out(card, claimed, made, again)))
    if not any(part.difference is not None for part in found):
        raise NothingComparable("no number could be compared. Try: anonbench weights list")
    return found


def _left_out(card: MetricCard, claimed: Score, made: Score, again: Record) -> str:
    """Why a number is not compared: it could not be had here, or it could not be had there."""
    if "unavailable" not in (claimed.status, made.status) or claimed.status == made.status:
        return ""
    if card.name == RISK:  # some attacker is lacking on one side, or the sides disagree
        return ""
    where, score = ("here", made) if made.status == "unavailable" else ("in the record", claimed)
    return f"unavailable {where}: {score.reason}"


def _faced_all(outcome: Outcome) -> None:
    """Without every attacker nothing is reproduced: the risk is the worst of them."""
    for part in outcome.comparisons:
        if part.left_out and part.card.rung and part.again.status == "unavailable":
            raise NothingComparable(
                f"{part.card.name} cannot be run here ({part.again.reason}), so the risk cannot be compared. "
                f"{part.again.remedy or 'Try: anonbench weights list'}"
            )


def claimed_again(outcome: Outcome, by: str) -> Claims:
    """The claims of a record whose numbers agree."""
    largest = outcome.largest
    update = {
        "reproduced_by": by,
        "reproduced_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "max_abs_diff": None if largest is None else largest.difference,
        "max_abs_diff_metric": "" if largest is None else largest.card.name,
    }
    return outcome.claimed.claims.model_copy(update=update)


def mark_reproduced(path: Path, outcome: Outcome, by: str) -> Record:
    """Writes into a claimed record that it was reproduced; its id stays.

    Raises:
        UsageError: it was changed since it was read, or its id is not that of its content.
    """
    from benchmark.submission.validating import read_safely

    record = outcome.claimed.model_copy(update={"claims": claimed_again(outcome, by)})
    if read_safely(path) != outcome.claimed or result_id(record) != record.result_id:
        raise UsageError(
            f"{one_line(path)} is not what was reproduced. Type: anonbench validate {one_line(path.parent)}"
        )
    write_atomic(path, (record.model_dump_json(indent=1) + "\n").encode())
    return record


def as_table(comparisons: Sequence[Comparison], shown: Callable[[float], str] = "{:.6g}".format) -> str:
    """Claimed, reproduced and difference, one metric a line."""
    rows = [("metric", "claimed", "reproduced", "difference", "allowed")]
    for part in comparisons:
        values = [score.status if score.value is None else shown(score.value) for score in (part.claimed, part.again)]
        apart = "" if part.difference is None else shown(part.difference)
        rows.append((one_line(part.card.name), values[0], values[1], apart, shown(part.limit)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
