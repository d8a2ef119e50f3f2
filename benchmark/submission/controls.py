"""Rules about records beside each other: the controls land where they must, and every row faces what they face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmark.records import RISK, TOO_WEAK, MetricCard, Record, Score
from benchmark.submission.facts import AGAIN, CLOSE, Finding

UNCHANGED, EMPTY = "identity", "black"
"""The control that releases originals, and the one that releases nothing."""
NEAR = 0.03
"""How far an anchor made by training may lie from the control's: other processors round otherwise, absolute for shares,
relative to the control's for other units."""
STANDARD_ERRORS = 3.0

Controls = Mapping[str, Record]
"""The control rows of a result folder by name."""


def missing_controls(records: list[Record], controls: Controls) -> Iterator[Finding]:
    """Controls that a result folder lacks."""
    suite = records[0].suite.name
    lacking = [name for name in (UNCHANGED, EMPTY) if name not in controls]
    if lacking:
        remedy = f"Type: anonbench run {suite} -e {UNCHANGED} -e {EMPTY} --out THIS_FOLDER"
        yield "controls", f"no row of the control {' and '.join(lacking)} stands here", remedy


def findings_of_control(record: Record) -> Iterator[Finding]:
    """Whether a control lands where it must."""
    if record.entry.name == UNCHANGED:
        yield from _unchanged(record)
    if record.entry.name == EMPTY:
        yield from _empty(record)


def _unchanged(record: Record) -> Iterator[Finding]:
    for score in record.scores:
        right = score.anchors.get("originals")
        if score.value is not None and right is not None and abs(score.value - right) > CLOSE:
            yield "controls", f"{score.metric} of the originals is {score.value:g} and not {right:g}", AGAIN
        same = score.details.get("identical images", record.coverage.n_expected)
        if same != record.coverage.n_expected:
            yield "controls", f"{score.metric} finds {same:g} of the originals identical to themselves", AGAIN
    if record.status != "ok" or "no-op" not in record.flags:
        yield "controls", "the control that changes nothing must be ok and flagged 'no-op'", AGAIN


def _empty(record: Record) -> Iterator[Finding]:
    for card in record.metrics:
        score = record.score(card.name)
        if (card.rung or card.name == RISK) and score is not None and not _at_chance(score):
            yield "controls", f"{card.name} names people on empty images: {score.value:g}", AGAIN
    if record.status != "ok" or "constant" not in record.flags:
        yield "controls", "the control that releases nothing must be ok and flagged 'constant'", AGAIN


def _at_chance(score: Score) -> bool:
    chance = score.anchors.get("chance")
    if score.value is None or chance is None:
        return True
    margin = STANDARD_ERRORS * (max(0.0, chance * (1 - chance)) / max(1, score.n_clusters)) ** 0.5
    return bool(abs(score.value - chance) <= margin)


def findings_beside(record: Record, controls: Controls) -> Iterator[Finding]:
    """A row against the controls of its folder."""
    for name, control in controls.items():
        if record.suite.suite_hash != control.suite.suite_hash:
            text = f"{record.suite.suite_hash[:12]} is not the suite of the control {name}, {control.suite.suite_hash[:12]}"
            yield "suite", text, "Run it on that suite, or put it into a folder of its own"
            return
    for control in controls.values():
        if record.release_sha256 == control.release_sha256 != "" and set(control.flags) - set(record.flags):
            yield "consistency", f"it releases what {control.entry.name} releases and lacks its flag", AGAIN
    unchanged = controls.get(UNCHANGED)
    if unchanged is not None and record.entry.name != UNCHANGED and record.status != "failed":
        yield from _faces_the_same(record, unchanged)


def _faces_the_same(record: Record, control: Record) -> Iterator[Finding]:
    cards = {card.name: card for card in record.metrics}
    for card in control.metrics:
        theirs, score = control.score(card.name), record.score(card.name)
        if card.name not in cards or score is None or theirs is None:
            yield "controls", f"{card.name} is missing, which the control {UNCHANGED} has", AGAIN
            continue
        if card.rung and _got_away(card, score, theirs):
            yield "controls", f"{card.name} is '{score.status}', and the control {UNCHANGED} was attacked by it", AGAIN
        if card.rung and theirs.interval and score.value is not None and score.interval is None:
            yield "controls", f"{card.name} has no interval, and the control {UNCHANGED} has one", AGAIN
        if card.rung and (TOO_WEAK in score.flags) != (TOO_WEAK in theirs.flags) and score.value is not None:
            yield "controls", f"{card.name}: too weak for one row and not for the control {UNCHANGED}", AGAIN
        if card.name != RISK:
            yield from _anchors(card, score, theirs)


def _got_away(card: MetricCard, score: Score, theirs: Score) -> bool:
    """Whether an attacker that could be run was not; what needs a copy is a gap that the risk shows."""
    excused = score.status == "failed" or (card.needs_copy and score.status == "unavailable")
    return theirs.value is not None and score.value is None and not excused


def findings_of_whole(record: Record, control: Record, empty: Record | None) -> Iterator[Finding]:
    """What is handed in has every number, with its interval, that the controls have.

    Args:
        record: the row.
        control: releases originals.
        empty: releases nothing; has the numbers that originals do not have (PSNR).
    """
    if record.status == "failed":
        return
    for card in control.metrics:
        both = [one.score(card.name) for one in (control, empty) if one is not None]
        numbers = [score for score in both if score is not None and score.value is not None]
        score = record.score(card.name)
        if score is None or not numbers or card.name == RISK:
            continue
        if score.value is None and not card.rung and not _excused(card, score, record):
            yield "controls", f"{card.name} is '{score.status}' ({score.reason}), and the controls have a value", AGAIN
        wanted = any(one.interval is not None for one in numbers)
        if wanted and score.value is not None and score.interval is None and score.n_clusters > 1:
            yield "controls", f"{card.name} has no interval, and the controls have one", AGAIN


def _excused(card: MetricCard, score: Score, record: Record) -> bool:
    """Why a row may lack a number that its controls have: no weights here, no copy to learn from, nothing to compare."""
    mine = next((one for one in record.metrics if one.name == card.name), card)
    if score.status == "unavailable":
        return card.needs_copy or bool(card.weights.keys() - mine.weights.keys())
    if score.status == "failed":
        return card.needs_copy
    same = score.details.get("identical images")
    return (
        card.about_claim
        or same == record.coverage.n_expected
        or 2 * record.coverage.n_failed > record.coverage.n_expected
    )


def _anchors(card: MetricCard, score: Score, theirs: Score) -> Iterator[Finding]:
    for name, right in theirs.anchors.items() if score.value is not None and theirs.value is not None else ():
        have = score.anchors.get(name)
        limit = NEAR if card.unit == "share" else NEAR * abs(right)
        limit = limit if name == "originals" else CLOSE
        if have is None or abs(have - right) > limit:
            said = "missing" if have is None else f"{have:g}"
            yield "controls", f"{card.name}: the anchor {name} is {said}, the control {UNCHANGED} has {right:g}", AGAIN
