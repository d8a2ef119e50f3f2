"""Rules about flags: only those that a measurement can raise, in the words that its numbers give."""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmark.records import BELOW_CHANCE, RISK, TOO_WEAK, MetricCard, Record, Score
from benchmark.risk import number_flags
from benchmark.submission.facts import AGAIN, Finding, is_audit

NO_OP, CONSTANT, SENTINEL, BROKEN = "no-op", "constant", "sentinel", "claim broken"
COUNT = "([0-9]{1,9})"
_PERCENT = r"([0-9]{1,3}\.[0-9]%)"
WORDS = {
    NO_OP: f"{COUNT} of {COUNT} released images are their originals, bit for bit\\.",
    CONSTANT: f"{COUNT} of {COUNT} released images are of one colour\\.|All released images are the same\\.",
    TOO_WEAK: f"It names {_PERCENT} of the originals where guessing names {_PERCENT}: less than [0-9]+% of what there is "
    "to find, so its failure on released images says nothing\\.",
    BELOW_CHANCE: f"It names at most {_PERCENT} where guessing names {_PERCENT}: the attack, or the labels, must be wrong\\.",
    BROKEN: f"Claimed are {COUNT} people per released image, and one is shared by {COUNT} alone\\.|"
    "Released as several images each, which may tell them apart within their group: [0-9]+ people\\.|"
    "Published groups with several images instead of one: [0-9]+\\.|"
    "Claimed are groups of [0-9]+ people, and one published group has [0-9]+\\.|"
    "The note 'group' is not one whole number per image\\.",
}
"""What a flag says, as a pattern; its numbers are held against the record's."""


def findings_of_flags(record: Record) -> Iterator[Finding]:
    """Flags that the numbers demand and the record lacks, and flags that nothing could have raised."""
    cards = {card.name: card for card in record.metrics}
    if any(score.metric not in cards for score in record.scores):
        return
    demanded = number_flags(record.metrics, record.scores)
    for name, text in demanded.items():
        if record.flags.get(name) != text:
            yield "consistency", f"the flag '{name}' is missing: {text}", AGAIN
    for score in record.scores:
        if 2 * score.details.get("identical images", 0) > record.coverage.n_expected and NO_OP not in record.flags:
            yield "consistency", f"the flag 'no-op' is missing: {score.metric} counts mostly identical images", AGAIN
        yield from of_score(cards[score.metric], score)
    for name, text in record.flags.items():
        if name not in demanded and not (name in (NO_OP, CONSTANT) and _fits(name, text, _counts(record))):
            yield "consistency", f"its numbers raise no flag '{name}' that says: {text}", AGAIN


def _counts(record: Record) -> list[str]:
    return [str(record.coverage.n_expected), str(record.coverage.n_output)]


def of_score(card: MetricCard, score: Score) -> Iterator[Finding]:
    """The flags of one score, those of the risk excepted, which follow from its attackers'."""
    for name, text in score.flags.items() if card.name != RISK else ():
        allowed = ((TOO_WEAK, BELOW_CHANCE) if card.rung else ()) + ((BROKEN,) if is_audit(card) else ())
        if name not in allowed or not _says(name, text, score):
            yield "consistency", f"{score.metric}: its numbers raise no flag '{name}' that says: {text}", AGAIN
    least = score.details.get("claimed")
    broken = is_audit(card) and score.value is not None and least is not None and score.value < least
    if broken and BROKEN not in score.flags:
        yield "consistency", f"{score.metric} is {score.value:g}, {least:g} are claimed, and nothing says so", AGAIN


def _says(name: str, text: str, score: Score) -> bool:
    """Whether a sentence is the flag's, with the score's own numbers in it."""
    found = re.fullmatch(WORDS[name], text)
    if found is None:
        return False
    if name == TOO_WEAK:
        numbers = [score.anchors.get("originals"), score.anchors.get("chance")]
        return list(found.groups()) == [None if number is None else f"{number:.1%}" for number in numbers]
    if name == BELOW_CHANCE:
        return score.interval is not None and found[1] == f"{score.interval.high:.1%}"
    return True


def _fits(name: str, text: str, totals: list[str]) -> bool:
    """Whether a sentence counts more than half of the images."""
    found = re.fullmatch(WORDS[name], text)
    if found is None or found[1] is None:
        return found is not None
    return found[2] in totals and int(found[2]) < 2 * int(found[1]) <= 2 * int(found[2])
