"""Rules about what a record was measured with: metric cards and the suite against those installed here."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.records import RISK, MetricCard, Record, SuiteFacts
from benchmark.submission.facts import Finding
from benchmark.submission.known import Known

DECISIVE = ("version", "unit", "higher_is_better", "range", "group", "rung", "needs_copy", "about_claim", "per_count")
"""What of a card says how to read a number, or which rules it falls under; wording and weights may differ."""
WORDS = ("title", "definition", "source", "calibration", "referees")
PINNED = ("version", "suite_hash", "splits", "image_size", "attributes", "synthetic", "shows_faces", "seed")


def findings_of_cards(record: Record, known: Known) -> Iterator[Finding]:
    """Metrics and suite that are not the installed ones of the same name."""
    names = [card.name for card in record.metrics]
    if len(set(names)) < len(names):
        yield "cards", "two cards have one name", "Run and score the entrant again"
    for card in record.metrics:
        installed = None if card.name == RISK else known.card(card.name)
        yield from _unlike(card, installed) if installed is not None else ()
    yield from _suite(record, known)


def _unlike(card: MetricCard, installed: MetricCard) -> Iterator[Finding]:
    for name in DECISIVE:
        have, right = getattr(card, name), getattr(installed, name)
        if have != right:
            text = f"{card.name}: {name} is {have!r}, the installed metric has {right!r}"
            yield "cards", text, "Install the same version of anonbench and score again"


def _suite(record: Record, known: Known) -> Iterator[Finding]:
    installed = known.suite(record.suite.name)
    if installed is None:
        return
    for name in PINNED:
        if getattr(record.suite, name) != getattr(installed, name):
            text = f"{record.suite.name} is of another version: its {name} differs from the installed suite's"
            yield "suite", text, "Install the same version of anonbench and run again"
            return


def findings_of_words(record: Record, beside: SuiteFacts | None, known: Known) -> Iterator[Finding]:
    """Wording that would stand on the board for all rows, against that of the installed metrics and of the other rows."""
    if beside is not None and record.suite != beside:
        changed = [name for name in SuiteFacts.model_fields if getattr(record.suite, name) != getattr(beside, name)]
        text = f"the suite's {', '.join(changed)} is not that of the rows beside it"
        yield "suite", text, "Install the same version of anonbench and run again"
    for card in record.metrics:
        installed = known.card(card.name)
        for name in WORDS if installed is not None and card.name != RISK else ():
            if getattr(card, name) != getattr(installed, name):
                text = f"{card.name}: its {name} is worded otherwise than the installed metric's"
                yield "cards", text, "Install the same version of anonbench and score again"


def notes_of_cards(record: Record, known: Known) -> Iterator[str]:
    """What could not be compared, because it is not installed here or needs data."""
    for card in record.metrics:
        if card.name != RISK and known.card(card.name) is None:
            yield f"the metric {card.name} is not installed here; its card and values per image were not checked"
    if known.suite(record.suite.name) is None:
        yield f"the suite {record.suite.name} needs data or is not installed here; its hash was not checked"
