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


def findings_of_same_cards(record: Record, control: Record, known: Known) -> Iterator[Finding]:
    """A row that is handed in is measured with what its controls were measured with, in their order.

    Who claims something may be measured in it with further metrics that are installed here. Weights may lack where the
    submitter has no such file and the score is unavailable for it.
    """
    theirs = {card.name: card for card in control.metrics}
    mine = [card.name for card in record.metrics]
    if set(mine) == set(theirs) and mine != list(theirs):
        yield "cards", f"its metrics stand in another order than those of the control {control.entry.name}", _ALONE
    for card in record.metrics:
        if card.name not in theirs and _of_its_kind(card, record, known):
            continue
        if card.name not in theirs:
            yield "cards", f"{card.name} is no metric of the control {control.entry.name}", _ALONE
        elif card.name != RISK:  # which follows from its attackers' cards
            yield from _unlike_control(card, theirs[card.name], record, control.entry.name)


def _of_its_kind(card: MetricCard, record: Record, known: Known) -> bool:
    return card.about_claim and record.entry.k_anonymity is not None and known.card(card.name) is not None


_ALONE = "Score it with the suite's metrics alone: run it without --metric"


def _unlike_control(card: MetricCard, right: MetricCard, record: Record, control: str) -> Iterator[Finding]:
    for name in (*DECISIVE, "definition", "title", "source", "calibration", "referees"):
        if getattr(card, name) != getattr(right, name):
            yield "cards", f"{card.name}: its {name} is not that of the control {control}", _ALONE
    other = sorted(name for name, digest in card.weights.items() if right.weights.get(name) != digest)
    if other:
        text = f"{card.name} was computed with the weights {other[0]}, and the control {control} was not"
        yield "cards", text, "Score it without this file, or ask the maintainers to score the controls with it"
    score = record.score(card.name)
    if right.weights.keys() - card.weights.keys() and score is not None and score.value is not None:
        text = f"{card.name} has a value and names other weights than the control {control}"
        yield "cards", text, "Type: anonbench weights fetch, and score it again"


def notes_of_cards(record: Record, known: Known) -> Iterator[str]:
    """What could not be compared, because it is not installed here or needs data."""
    for card in record.metrics:
        if card.name != RISK and known.card(card.name) is None:
            yield f"the metric {card.name} is not installed here; its card and values per image were not checked"
    if known.suite(record.suite.name) is None:
        yield f"the suite {record.suite.name} needs data or is not installed here; its hash was not checked"
